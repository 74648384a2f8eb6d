#include <algorithm>
#include <cstring>
#include <set>

#include "engine/base/ring.h"
#include "suites/parity/parity.h"

namespace assay {
namespace {

using Bytes = std::vector<std::byte>;

// Keys and values a session's layers read, in layer order, one entry per cache.
std::vector<Bytes> Snapshot(Stage& stage, SessionId session) {
  std::vector<Bytes> caches;
  std::set<void*> seen;
  for (int l = 0; l < stage.engine().spec().layer_count(); ++l) {
    const Engine::CacheBytes cache = stage.engine().Cache(session, l);
    for (void* data : {cache.keys, cache.values}) {
      if (!seen.insert(data).second) continue;
      Bytes bytes(cache.bytes);
      stage.ops().memory().CopyOut(bytes.data(), data, cache.bytes);
      caches.push_back(std::move(bytes));
    }
  }
  return caches;
}

void Poison(Stage& stage, SessionId session, unsigned char byte) {
  for (int l = 0; l < stage.engine().spec().layer_count(); ++l) {
    const Engine::CacheBytes cache = stage.engine().Cache(session, l);
    stage.ops().memory().Fill(cache.keys, byte, cache.bytes);
    stage.ops().memory().Fill(cache.values, byte, cache.bytes);
  }
}

void DonorMap(const Subject& subject, Judge& judge) {
  Stage stage(subject, SmallOptions(subject, 2, 24));
  const ModelSpec& spec = stage.engine().spec();
  const SessionId a = stage.engine().Open(), b = stage.engine().Open();
  for (int l = 0; l < spec.layer_count(); ++l) {
    const int source = spec.layers[static_cast<std::size_t>(l)].kv_source;
    const Engine::CacheBytes mine = stage.engine().Cache(a, l);
    judge.True(mine.writer == source, "writer", fmt::format("layer {}", l),
               fmt::format("expected {}, found {}", source, mine.writer));
    for (int other = 0; other < spec.layer_count(); ++other) {
      const Engine::CacheBytes theirs = stage.engine().Cache(a, other);
      const bool shared = spec.layers[static_cast<std::size_t>(other)].kv_source == source;
      judge.True((mine.keys == theirs.keys) == shared && (mine.values == theirs.values) == shared, "alias",
                 fmt::format("layers {} and {}", l, other),
                 shared ? "expected one cache, found two" : "expected two caches, found one");
    }
    judge.True(mine.keys != stage.engine().Cache(b, l).keys && mine.keys != mine.values, "own place",
               fmt::format("layer {}", l));
  }
}

// A step may write exactly the slots of its rows' positions in the caches of layers that own one.
void WritesOnlyItsSlots(const Subject& subject, Judge& judge) {
  Stage stage(subject, SmallOptions(subject, 3, 24));
  const KvPlan& plan = stage.engine().kv_plan();
  const std::size_t element = static_cast<std::size_t>(Info(OperandType(subject.precision)).bytes);
  std::vector<SessionId> sessions;
  for (int s = 0; s < 3; ++s) sessions.push_back(stage.Opened(MadeUpTokens(subject, 400 + s, 3 + s)));
  for (int step = 0; step < 12; ++step) {
    const std::vector<Bytes> before[3] = {Snapshot(stage, sessions[0]), Snapshot(stage, sessions[1]),
                                          Snapshot(stage, sessions[2])};
    const int count = 1 + step % 2, length = stage.engine().Length(sessions[1]);
    const Tokens tokens = MadeUpTokens(subject, 450 + step, count);
    const Feed feed{sessions[1], tokens};
    stage.engine().Step(std::span(&feed, 1));
    for (const std::size_t s : {0u, 2u})
      judge.True(Snapshot(stage, sessions[s]) == before[s], "neighbour untouched",
                 fmt::format("session {} step {}", s, step));
    const std::vector<Bytes> after = Snapshot(stage, sessions[1]);
    std::size_t at = 0;
    for (std::size_t c = 0; c < plan.caches.size(); ++c)
      for (int half = 0; half < 2; ++half, ++at) {
        const KvCacheSpec& cache = plan.caches[c];
        const std::size_t row = static_cast<std::size_t>(cache.head_dim) * element;
        for (int head = 0; head < cache.kv_heads; ++head)
          for (int slot = 0; slot < cache.slots; ++slot) {
            const std::size_t offset = (static_cast<std::size_t>(head) * static_cast<std::size_t>(cache.slots) +
                                        static_cast<std::size_t>(slot)) *
                                       row;
            const bool changed = std::memcmp(after[at].data() + offset, before[1][at].data() + offset, row) != 0;
            bool mine = false;
            for (int i = 0; i < count; ++i) mine = mine || (length + i) % cache.slots == slot;
            judge.True(changed == mine, "slots written",
                       fmt::format("layer {} head {} slot {} step {}", cache.writer, head, slot, step),
                       mine ? "expected a write, found none" : "written by a step that does not own it");
          }
      }
  }
}

// Bytes nobody has written yet must not matter: NaN, zero or large.
void UnusedPlacesDoNotMatter(const Subject& subject, Judge& judge) {
  const Tokens tokens = MadeUpTokens(subject, 480, 14);
  std::vector<StepResult> runs;
  for (const int byte : {0x00, 0xff, 0x7b}) {
    Stage stage(subject, SmallOptions(subject, 3, 24));
    const SessionId neighbour = stage.engine().Open(), session = stage.engine().Open(), other = stage.engine().Open();
    for (const SessionId s : {neighbour, session, other}) Poison(stage, s, static_cast<unsigned char>(byte));
    stage.engine().Close(neighbour);
    StepResult rows = stage.engine().Prefill(session, std::span(tokens).first(5), Want::kAll);
    for (std::size_t i = 5; i < tokens.size(); ++i) {
      const Feed feed{session, std::span(tokens).subspan(i, 1)};
      const StepResult one = stage.engine().Step(std::span(&feed, 1));
      rows.raw.insert(rows.raw.end(), one.raw.begin(), one.raw.end());
      rows.best.push_back(one.best[0]);
    }
    runs.push_back(std::move(rows));
  }
  for (std::size_t run = 1; run < runs.size(); ++run)
    for (int row = 0; row < runs[0].rows(); ++row)
      judge.Bits(runs[0].Raw(row), runs[run].Raw(row), fmt::format("poison {} position {}", run, row));
}

// The key at distance W is out of sight, the one at W - 1 in sight: changing the cache under the engine shows which.
void WindowLocality(const Subject& subject, Judge& judge) {
  const ModelSpec& spec = StoreOf(subject).spec();
  const int window = SmallestWindow(spec);
  const int length = 2 * window + 1;
  Stage stage(subject, SmallOptions(subject, 3, length + 2));
  Engine& engine = stage.engine();
  const Tokens tokens = MadeUpTokens(subject, 490, length + 1);
  const SessionId session = stage.Opened(std::span(tokens).first(static_cast<std::size_t>(length)));
  const std::size_t element = static_cast<std::size_t>(Info(OperandType(subject.precision)).bytes);
  const auto next_with_poison_at = [&](int position) {
    const SessionId copy = engine.Fork(session);
    for (const KvCacheSpec& cache : engine.kv_plan().caches) {
      if (cache.window != window || position < 0) continue;
      const Engine::CacheBytes bytes = engine.Cache(copy, cache.writer);
      const std::size_t row = static_cast<std::size_t>(cache.head_dim) * element;
      for (int head = 0; head < cache.kv_heads; ++head) {
        const std::size_t offset = (static_cast<std::size_t>(head) * static_cast<std::size_t>(cache.slots) +
                                    static_cast<std::size_t>(RingSlot(position, cache.slots))) *
                                   row;
        // 0x41 in every byte is a finite number in every format: about 12 in fp32 and bf16, 2.6 in fp16.
        stage.ops().memory().Fill(static_cast<std::byte*>(bytes.keys) + offset, 0x41, row);
        stage.ops().memory().Fill(static_cast<std::byte*>(bytes.values) + offset, 0x41, row);
      }
    }
    const Feed feed{copy, std::span(tokens).subspan(static_cast<std::size_t>(length), 1)};
    StepResult result = engine.Step(std::span(&feed, 1));
    engine.Close(copy);
    return result;
  };
  const StepResult clean = next_with_poison_at(-1);
  const StepResult outside = next_with_poison_at(length - window), inside = next_with_poison_at(length - window + 1);
  judge.Bits(clean.Raw(0), outside.Raw(0), fmt::format("key at distance {}", window));
  judge.True(!std::equal(clean.raw.begin(), clean.raw.end(), inside.raw.begin()), "in sight",
             fmt::format("key at distance {}", window - 1),
             "expected the logits to change with a key inside the window");
}

void RingLength(const Subject& subject, int length, Judge& judge) {
  const Tokens tokens = MadeUpTokens(subject, 600 + length, length + 3);
  Stage ring(subject, SmallOptions(subject, 1, static_cast<int>(tokens.size()) + 2));
  // The same engine with rings as long as the capacity, that never wrap.
  EngineOptions straight_options = SmallOptions(subject, 1, static_cast<int>(tokens.size()) + 2);
  straight_options.max_chunk = straight_options.capacity;
  straight_options.max_rows = std::max(straight_options.max_rows, straight_options.capacity);
  Stage straight(subject, straight_options);
  StreamChecker checker(subject);
  const SessionId a = ring.Opened(std::span(tokens).first(static_cast<std::size_t>(length)));
  const SessionId b = straight.Opened(std::span(tokens).first(static_cast<std::size_t>(length)));
  for (int step = 0; step < 3; ++step) {
    const auto token = std::span(tokens).subspan(static_cast<std::size_t>(length + step), 1);
    const Feed to_ring{a, token}, to_straight{b, token};
    const StepResult wrapped = ring.engine().Step(std::span(&to_ring, 1)),
                     whole = straight.engine().Step(std::span(&to_straight, 1));
    SameRows(judge, subject, whole.Raw(0), wrapped.Raw(0), false, fmt::format("length {} step {}", length, step));
    checker.Add(wrapped, 0, tokens, fmt::format("length {} step {}", length, step));
  }
  checker.Finish(judge);
}

}  // namespace

std::vector<Case> CacheAliasingCases(const Subject& subject) {
  std::vector<Case> cases;
  const auto add = [&](const char* name, void (*body)(const Subject&, Judge&)) {
    cases.push_back(
        MakeCase("CacheAliasing", name, subject, "", [subject, body](Judge& judge) { body(subject, judge); }));
  };
  add("DonorMap", DonorMap);
  add("WritesOnlyItsSlots", WritesOnlyItsSlots);
  add("UnusedPlacesDoNotMatter", UnusedPlacesDoNotMatter);
  return cases;
}

std::vector<Case> RingWrapCases(const Subject& subject) {
  std::vector<Case> cases;
  const int window = SmallestWindow(StoreOf(subject).spec());
  if (window == 0 || window > 128) return cases;  // nothing wraps, or nothing can be made to in a test's time
  const int slots = window + SmallOptions(subject, 1, 8 * window).max_chunk - 1;
  std::set<int> lengths{1, 2, window - 1, window, window + 1, slots - 1, slots, slots + 1, 3 * window + 2};
  lengths.erase(0);
  for (const int length : lengths)
    cases.push_back(MakeCase("RingWrap", "MatchesStraightCache", subject, fmt::format("length{}", length),
                             [subject, length](Judge& judge) { RingLength(subject, length, judge); }));
  cases.push_back(
      MakeCase("RingWrap", "WindowLocality", subject, "", [subject](Judge& judge) { WindowLocality(subject, judge); }));
  return cases;
}

}  // namespace assay
