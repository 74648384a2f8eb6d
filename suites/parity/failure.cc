#include <algorithm>

#include "oracles/probes/faulty_ops.h"
#include "oracles/probes/forwarding_memory.h"
#include "oracles/probes/poison_memory.h"
#include "suites/parity/parity.h"

namespace assay {
namespace {

// Every op of a step fails once (of large models one in so many): lengths stand, and what follows is what would have
// followed.
void StepThatThrows(CaseState& state) {
  constexpr int kLargeFailures = 24, kPerSuccess = 6;  // failures between steps that succeed
  RowAgreement same(state);
  const std::unique_ptr<Ops> ops = state.bench.MakeOps(state.target);
  FaultyOps faulty(*ops, Fault::kNone);
  const int window = WindowWithin(state.spec(), 3, 12), most = 32 + 40 * state.spec().layer_count() / kPerSuccess;
  const EngineOptions options = SmallOptions(state.spec(), 2, 3 * window + 2 * most);
  const auto system = state.bench.OpenEngine(state.target, options, faulty);
  Engine& engine = system->inside();
  const Tokens a = state.MadeUp(1000, options.capacity), b = state.MadeUp(1001, options.capacity);
  const SessionId one = system->OpenWith(Slice(a, 0, 2 * window)), two = system->OpenWith(Slice(b, 0, 3));
  const auto feeds = [&] {
    return std::vector<Feed>{{one, Slice(a, engine.Length(one), 1)},
                             {two, Slice(b, engine.Length(two), 2), Want::kAll}};
  };
  faulty.Arm(-1);
  engine.Step(feeds());
  const std::int64_t calls = faulty.calls();
  const std::int64_t stride = IsLarge(state.spec()) ? std::max<std::int64_t>(1, calls / kLargeFailures) : 1;
  constexpr int kAfter = 4;
  for (const char* metric : {"lengths", "healthy"}) state.check.AtLeast(metric, (calls + stride - 1) / stride);
  same.AtLeast(2 * kAfter);
  std::int64_t failures = 0, expected = 0;
  for (std::int64_t call = 0; call < calls; call += stride) {
    const int before_one = engine.Length(one), before_two = engine.Length(two);
    ++expected;
    faulty.Arm(call);
    try {
      engine.Step(feeds());
    } catch (const DeviceError&) {
      ++failures;
    }
    faulty.Arm(-1);
    state.check.True(engine.Length(one) == before_one && engine.Length(two) == before_two, "lengths", {{"call", call}});
    state.check.True(engine.healthy(), "healthy", {{"call", call}});
    if (failures % kPerSuccess == 0) engine.Step(feeds());
  }
  state.check.True(failures == expected, "failures injected", {},
                   fmt::format("expected {} of {} calls, found {}", expected, calls, failures));
  const auto clean = state.bench.OpenEngine(state.target, options);
  const SessionId clean_one = clean->OpenWith(Slice(a, 0, engine.Length(one)));
  const SessionId clean_two = clean->OpenWith(Slice(b, 0, engine.Length(two)));
  for (int step = 0; step < kAfter; ++step) {
    const auto at_one = Slice(a, engine.Length(one), 1), at_two = Slice(b, engine.Length(two), 1);
    const std::vector<Feed> both{{one, at_one}, {two, at_two}}, clean_both{{clean_one, at_one}, {clean_two, at_two}};
    const StepResult after = engine.Step(both), never = clean->Step(clean_both);
    for (int row = 0; row < 2; ++row)
      same.Check(never.Raw(row), after.Raw(row), {{"session", row}, {"step", step}}, row == 0 ? a : b,
                 after.position[static_cast<std::size_t>(row)]);
  }
}

void LostDevice(CaseState& state) {
  const std::unique_ptr<Ops> ops = state.bench.MakeOps(state.target);
  FaultyOps faulty(*ops, Fault::kNone);
  const auto system = state.bench.OpenEngine(state.target, SmallOptions(state.spec(), 1, 8), faulty);
  Engine& engine = system->inside();
  const SessionId session = engine.Open();
  const Tokens tokens = state.MadeUp(1010, 2);
  faulty.Arm(3, /*lost=*/true);
  for (const char* metric : {"says it cannot go on", "length"}) state.check.AtLeast(metric, 1);
  bool threw = false;
  try {
    engine.Prefill(session, tokens);
  } catch (const DeviceError& error) {
    threw = error.lost;
  }
  faulty.Arm(-1);
  const Feed feed{session, tokens};
  const Support can = engine.CanStep(std::span(&feed, 1));
  state.check.True(threw && !engine.healthy() && !can.ok && !can.reason.empty(), "says it cannot go on",
                   "after a lost device", can.reason);
  state.check.True(engine.Length(session) == 0, "length", "after a lost device");
}

// Memory whose copies within the device fail while they are told to.
class FailingCopies final : public ForwardingMemory {
 public:
  using ForwardingMemory::ForwardingMemory;
  void Copy(void* to, const void* from, std::size_t bytes) override {
    if (fail) throw DeviceError("copy fails on purpose", false);
    ForwardingMemory::Copy(to, from, bytes);
  }
  bool fail = false;
};

// A fork whose copy fails takes no session's place, and leaves its origin as it was.
void ForkThatThrows(CaseState& state) {
  RowAgreement same(state);
  const std::unique_ptr<Ops> ops = state.bench.MakeOps(state.target);
  OpsOverMemory<FailingCopies> failing(*ops);
  const Tokens tokens = state.MadeUp(1040, 9);
  const auto system = state.bench.OpenEngine(state.target, SmallOptions(state.spec(), 2, 16), failing);
  for (const char* metric : {"fails", "sessions", "length"}) state.check.AtLeast(metric, 1);
  same.AtLeast(1);
  const SessionId origin = system->OpenWith(Slice(tokens, 0, 8));
  failing.memory().fail = true;
  for (int attempt = 0; attempt < 3; ++attempt) {
    bool threw = false;
    try {
      system->Fork(origin);
    } catch (const DeviceError& error) {
      threw = !error.lost;
    }
    state.check.True(threw, "fails", {{"attempt", attempt}});
  }
  failing.memory().fail = false;
  state.check.True(system->inside().open_sessions() == 1 && system->inside().CanOpen().ok, "sessions", {},
                   fmt::format("{} are open", system->inside().open_sessions()));
  state.check.True(system->Length(origin) == 8, "length", {});
  const SessionId copy = system->Fork(origin);
  const StepResult both = system->Step(std::vector<Feed>{{origin, Slice(tokens, 8, 1)}, {copy, Slice(tokens, 8, 1)}});
  same.Check(both.Raw(0), both.Raw(1), "copy and origin", tokens, 8);
}

// An engine that is refused one of its allocations says which and leaves nothing behind; one that gets them all, full
// of NaN, computes what it computes in any memory: no step reads what no step has written, and none, not the largest
// either, writes where nothing was allocated.
void RefusedAllocation(CaseState& state) {
  constexpr int kTries = 16, kSteps = 3;
  EngineOptions options = SmallOptions(state.spec(), 3, 48);
  options.max_chunk = std::min(options.max_chunk, 40);
  options.max_rows = options.max_sessions * options.max_chunk;
  const std::unique_ptr<Ops> ops = state.bench.MakeOps(state.target);
  OpsOverMemory<PoisonMemory> poisoned(*ops);
  const std::vector<Tokens> tokens{state.MadeUp(1020, 5 + kSteps), state.MadeUp(1021, 2 + kSteps)};
  std::vector<Tokens> chunks;
  for (int i = 0; i < options.max_sessions; ++i) chunks.push_back(state.MadeUp(1030 + i, options.max_chunk));
  const auto run = [&](SystemUnderTest& system) {
    std::vector<SessionId> sessions;
    std::vector<Feed> largest;
    for (const Tokens& chunk : chunks) largest.push_back({system.Open(), chunk, Want::kAll});
    const StepResult all = system.Step(largest);
    std::vector<float> rows = all.raw;
    rows.insert(rows.end(), all.capped.begin(), all.capped.end());
    for (const Feed& feed : largest) system.Close(feed.session);
    for (const Tokens& each : tokens)
      sessions.push_back(system.OpenWith(Slice(each, 0, static_cast<int>(each.size()) - kSteps)));
    for (int step = kSteps; step > 0; --step) {
      std::vector<Feed> feeds;
      for (int i = 0; i < std::ssize(tokens); ++i)
        feeds.push_back({sessions[i], Slice(tokens[i], static_cast<int>(tokens[i].size()) - step, 1)});
      const StepResult result = system.Step(feeds);
      rows.insert(rows.end(), result.raw.begin(), result.raw.end());
    }
    return rows;
  };
  state.check.AtLeast("ulp", 1);
  state.check.AtLeast("nothing beyond an allocation", 1);
  state.check.AtLeast("refusal", kTries);
  state.check.AtLeast("nothing left", kTries + 1);
  std::int64_t needed = 0;
  {
    const auto system = state.bench.OpenEngine(state.target, options, poisoned);
    needed = poisoned.memory().allocations();
    const auto clean = state.bench.OpenEngine(state.target, options);
    state.check.Bits(run(*clean), run(*system), "in memory full of NaN");
    const std::vector<std::string> overrun = poisoned.memory().Overrun();
    state.check.True(overrun.empty(), "nothing beyond an allocation", overrun.empty() ? "" : overrun.front().c_str());
  }
  state.check.True(poisoned.memory().live() == 0, "nothing left", "closed",
                   fmt::format("{} allocations are still live", poisoned.memory().live()));
  for (int i = 0; i < kTries; ++i) {
    const std::int64_t number = (needed - 1) * i / (kTries - 1);
    poisoned.memory().refuse = poisoned.memory().allocations() + number;
    std::string said = "no exception";
    try {
      state.bench.OpenEngine(state.target, options, poisoned);
    } catch (const OutOfMemory& error) {
      said = error.what();
    }
    const Place where{{"allocation", number}};
    state.check.True(said.ends_with("refused on purpose"), "refusal", where, said);
    state.check.True(poisoned.memory().live() == 0, "nothing left", where,
                     fmt::format("{} allocations are still live", poisoned.memory().live()));
  }
}

}  // namespace

std::vector<Case> FailureCases(Workbench&, const Target& target) {
  std::vector<Case> cases;
  const auto add = [&](const char* name, void (*body)(CaseState&)) {
    cases.push_back(MakeCase("Failure", name, target, {}, {Capability::kInternals}, body));
  };
  add("StepThatThrows", StepThatThrows);
  add("LostDevice", LostDevice);
  add("ForkThatThrows", ForkThatThrows);
  add("RefusedAllocation", RefusedAllocation);
  return cases;
}

}  // namespace assay
