#include <algorithm>
#include <cstring>
#include <set>

#include "engine/base/ring.h"
#include "suites/parity/cache_bytes.h"
#include "suites/parity/parity.h"

namespace assay {
namespace {

using Bytes = std::vector<std::byte>;

// Keys and values a session's layers read, in layer order, two entries per cache.
std::vector<Bytes> Snapshot(EngineSystem& engine, SessionId session) {
  std::vector<Bytes> caches;
  std::set<void*> seen;
  for (int l = 0; l < engine.inside().spec().layer_count(); ++l) {
    const Engine::CacheBytes cache = engine.inside().Cache(session, l);
    for (void* data : {cache.keys, cache.values}) {
      if (!seen.insert(data).second) continue;
      Bytes bytes(cache.bytes);
      engine.memory().CopyOut(bytes.data(), data, cache.bytes);
      caches.push_back(std::move(bytes));
    }
  }
  return caches;
}

void Poison(EngineSystem& engine, SessionId session, unsigned char byte) {
  for (int l = 0; l < engine.inside().spec().layer_count(); ++l) {
    const Engine::CacheBytes cache = engine.inside().Cache(session, l);
    engine.memory().Fill(cache.keys, byte, cache.bytes);
    engine.memory().Fill(cache.values, byte, cache.bytes);
  }
}

void DonorMap(CaseState& state) {
  const auto system = state.bench.OpenEngine(state.target, SmallOptions(state.spec(), 2, 24));
  Engine& engine = system->inside();
  const ModelSpec& spec = engine.spec();
  const SessionId a = engine.Open(), b = engine.Open();
  state.check.AtLeast("writer", spec.layer_count());
  state.check.AtLeast("alias", std::int64_t{spec.layer_count()} * spec.layer_count());
  for (int l = 0; l < spec.layer_count(); ++l) {
    const int source = spec.layers[l].kv_source;
    const Engine::CacheBytes mine = engine.Cache(a, l);
    state.check.True(mine.writer == source, "writer", {{"layer", l}},
                     fmt::format("expected {}, found {}", source, mine.writer));
    for (int other = 0; other < spec.layer_count(); ++other) {
      const Engine::CacheBytes theirs = engine.Cache(a, other);
      const bool shared = spec.layers[other].kv_source == source;
      state.check.True((mine.keys == theirs.keys) == shared && (mine.values == theirs.values) == shared, "alias",
                       {{"layer", l}, {"other", other}},
                       shared ? "expected one cache, found two" : "expected two caches, found one");
    }
    state.check.True(mine.keys != engine.Cache(b, l).keys && mine.keys != mine.values, "own place", {{"layer", l}});
  }
}

// A step may write exactly the slots of its rows' positions in the caches of layers that own one. The slots it will
// write are filled before: a token that comes back into its own slot would leave the bytes that were there.
void WritesOnlyItsSlots(CaseState& state) {
  const auto system = state.bench.OpenEngine(state.target, SmallOptions(state.spec(), 3, 24));
  Engine& engine = system->inside();
  const KvPlan& plan = engine.kv_plan();
  const DType type = state.target.precision.kv;
  constexpr int kSteps = 12, kNeighbours = 2;
  state.check.AtLeast("neighbour untouched", kSteps * kNeighbours);
  for (const KvCacheSpec& cache : plan.caches)
    state.check.AtLeast("slots written", std::int64_t{2} * kSteps * cache.kv_heads * cache.slots);
  std::vector<SessionId> sessions;
  for (int s = 0; s < 3; ++s) sessions.push_back(system->OpenWith(state.MadeUp(400 + s, 3 + s)));
  for (int step = 0; step < kSteps; ++step) {
    const int count = 1 + step % 2, length = system->Length(sessions[1]);
    const auto owns = [&](int slot, int slots) {
      return RingSlot(length, slots) == slot || (count == 2 && RingSlot(length + 1, slots) == slot);
    };
    for (const KvCacheSpec& cache : plan.caches) {
      const Engine::CacheBytes bytes = engine.Cache(sessions[1], cache.writer);
      const CacheLayout layout(cache, type);
      for (int head = 0; head < cache.kv_heads; ++head)
        for (int slot = 0; slot < cache.slots; ++slot)
          if (owns(slot, cache.slots))
            for (void* half : {bytes.keys, bytes.values})
              system->memory().Fill(static_cast<std::byte*>(half) + layout.Offset(head, slot), 0x5a, layout.row_bytes);
    }
    const std::vector<Bytes> before[3] = {Snapshot(*system, sessions[0]), Snapshot(*system, sessions[1]),
                                          Snapshot(*system, sessions[2])};
    const Tokens tokens = state.MadeUp(450 + step, count);
    system->Step(Feed{sessions[1], tokens});
    for (const int s : {0, 2})
      state.check.True(Snapshot(*system, sessions[s]) == before[s], "neighbour untouched",
                       {{"session", s}, {"step", step}});
    const std::vector<Bytes> after = Snapshot(*system, sessions[1]);
    std::size_t at = 0;
    for (const KvCacheSpec& cache : plan.caches)
      for (int half = 0; half < 2; ++half, ++at) {
        const CacheLayout layout(cache, type);
        for (int head = 0; head < cache.kv_heads; ++head)
          for (int slot = 0; slot < cache.slots; ++slot) {
            const std::size_t offset = layout.Offset(head, slot);
            const bool changed =
                std::memcmp(after[at].data() + offset, before[1][at].data() + offset, layout.row_bytes) != 0;
            const bool mine = owns(slot, cache.slots);
            if (changed == mine) {
              state.check.True(true, "slots written", {});
              continue;
            }
            state.check.True(false, "slots written",
                             {{"layer", cache.writer}, {"head", head}, {"slot", slot}, {"step", step}},
                             mine ? "expected a write, found none" : "written by a step that does not own it");
          }
      }
  }
}

// Bytes nobody has written yet must not matter: NaN, zero or large.
void UnusedPlacesDoNotMatter(CaseState& state) {
  const Tokens tokens = state.MadeUp(480, 14);
  state.check.AtLeast("ulp", 2 * std::ssize(tokens));
  std::vector<StepResult> runs;
  for (const int byte : {0x00, 0xff, 0x7b}) {
    const auto system = state.bench.OpenEngine(state.target, SmallOptions(state.spec(), 3, 24));
    const SessionId neighbour = system->Open(), session = system->Open(), other = system->Open();
    for (const SessionId s : {neighbour, session, other}) Poison(*system, s, static_cast<unsigned char>(byte));
    system->Close(neighbour);
    StepResult rows = system->Prefill(session, Slice(tokens, 0, 5), Want::kAll);
    for (int i = 5; i < std::ssize(tokens); ++i) rows.Append(system->Step(Feed{session, Slice(tokens, i, 1)}));
    runs.push_back(std::move(rows));
  }
  for (int run = 1; run < std::ssize(runs); ++run)
    for (int row = 0; row < runs[0].rows(); ++row)
      state.check.Bits(runs[0].Raw(row), runs[run].Raw(row), {{"poison", run}, {"position", row}});
}

// The key at distance W is out of sight, the one at W - 1 in sight: changing the cache under the engine shows which.
void WindowLocality(CaseState& state) {
  const int window = SmallestWindow(state.spec()), length = 2 * window + 1;
  const auto system = state.bench.OpenEngine(state.target, SmallOptions(state.spec(), 3, length + 2));
  Engine& engine = system->inside();
  const Tokens tokens = state.MadeUp(490, length + 1);
  const SessionId session = system->OpenWith(Slice(tokens, 0, length));
  const auto next_with_poison_at = [&](int position) {
    const SessionId copy = engine.Fork(session);
    for (const KvCacheSpec& cache : engine.kv_plan().caches) {
      if (cache.window != window || position < 0) continue;
      const Engine::CacheBytes bytes = engine.Cache(copy, cache.writer);
      const CacheLayout layout(cache, state.target.precision.kv);
      // 0x41 in every byte is a finite number in every format: about 12 in fp32 and bf16, 2.6 in fp16, 2.25 in e4m3.
      for (int head = 0; head < cache.kv_heads; ++head)
        for (void* half : {bytes.keys, bytes.values})
          system->memory().Fill(static_cast<std::byte*>(half) + layout.Offset(head, RingSlot(position, cache.slots)),
                                0x41, layout.row_bytes);
    }
    StepResult result = system->Step(Feed{copy, Slice(tokens, length, 1)});
    engine.Close(copy);
    return result;
  };
  state.check.AtLeast("ulp", 1);
  if (window > 1) state.check.AtLeast("in sight", 1);
  const StepResult clean = next_with_poison_at(-1), outside = next_with_poison_at(length - window);
  state.check.Bits(clean.Raw(0), outside.Raw(0), {{"key at distance", window}});
  RequireVisible(state, clean.Raw(0), tokens);
  if (window == 1) return;  // the only key in sight is the step's own
  const StepResult inside = next_with_poison_at(length - window + 1);
  state.check.True(!std::equal(clean.raw.begin(), clean.raw.end(), inside.raw.begin()), "in sight",
                   {{"key at distance", window - 1}}, "expected the logits to change with a key inside the window");
}

void MatchesStraightCache(CaseState& state, int length) {
  LogitChecker checker(state);
  RowAgreement same(state);
  const Tokens tokens = state.MadeUp(600 + length, length + 3);
  same.AtLeast(3);
  checker.AtLeast(3);
  const int capacity = length + 5;
  const auto ring = state.Open(SmallOptions(state.spec(), 1, capacity)),
             straight = state.Open(StraightOptions(state.spec(), 1, capacity));
  const SessionId a = ring->OpenWith(Slice(tokens, 0, length)), b = straight->OpenWith(Slice(tokens, 0, length));
  for (int step = 0; step < 3; ++step) {
    const auto token = Slice(tokens, length + step, 1);
    const StepResult wrapped = ring->Step(Feed{a, token}), whole = straight->Step(Feed{b, token});
    same.Check(whole.Raw(0), wrapped.Raw(0), {{"length", length}, {"step", step}}, tokens, length + step);
    checker.Add(wrapped, 0, tokens, {{"length", length}, {"step", step}});
  }
  checker.Finish();
}

}  // namespace

std::vector<Case> CacheAliasingCases(Workbench&, const Target& target) {
  std::vector<Case> cases;
  const auto add = [&](const char* name, void (*body)(CaseState&)) {
    cases.push_back(MakeCase("CacheAliasing", name, target, {}, {Capability::kInternals}, body));
  };
  add("DonorMap", DonorMap);
  add("WritesOnlyItsSlots", WritesOnlyItsSlots);
  add("UnusedPlacesDoNotMatter", UnusedPlacesDoNotMatter);
  return cases;
}

std::vector<Case> RingWrapCases(Workbench& bench, const Target& target) {
  std::vector<Case> cases;
  const ModelSpec& spec = bench.Spec(target);
  const int window = SmallestWindow(spec);
  if (window == 0 || window > 128) return cases;  // nothing wraps, or nothing can be made to in a test's time
  const int slots = window + SmallOptions(spec, 1, 8 * window).max_chunk - 1;
  std::set<int> lengths{1, 2, window - 1, window, window + 1, slots - 1, slots, slots + 1, 3 * window + 2};
  lengths.erase(0);
  for (const int length : lengths) {
    cases.push_back(MakeCase("RingWrap", "MatchesStraightCache", target, {{"length", length}}, {Capability::kLogits},
                             [length](CaseState& state) { MatchesStraightCache(state, length); }));
    cases.back().tokens = 500;
  }
  cases.push_back(MakeCase("RingWrap", "WindowLocality", target, {}, {Capability::kInternals}, WindowLocality));
  return cases;
}

}  // namespace assay
