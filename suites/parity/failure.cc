#include <algorithm>

#include "oracles/probes/faulty_ops.h"
#include "oracles/probes/poison_memory.h"
#include "suites/parity/parity.h"

namespace assay {
namespace {

// Every op of a step fails once: lengths stand, and what follows is what would have followed.
void StepThatThrows(const Subject& subject, Judge& judge) {
  const WeightStore& store = StoreOf(subject);
  const std::unique_ptr<Ops> ops = MakeOpsOf(subject);
  FaultyOps faulty(*ops, Fault::kNone);
  const int window = std::clamp(SmallestWindow(store.spec()), 3, 12);
  Engine engine(store, faulty, SmallOptions(subject, 2, 3 * window + 60));
  const Tokens a = MadeUpTokens(subject, 1000, 3 * window + 50), b = MadeUpTokens(subject, 1001, 3 * window + 50);
  const SessionId one = engine.Open(), two = engine.Open();
  engine.Prefill(one, std::span(a).first(static_cast<std::size_t>(2 * window)), Want::kNone);
  engine.Prefill(two, std::span(b).first(3), Want::kNone);
  int failures = 0;
  const int calls = 4 + 7 * store.spec().layer_count();
  for (int call = 0; call < calls; call += std::max(1, calls / 24)) {
    const int before_one = engine.Length(one), before_two = engine.Length(two);
    const std::vector<Feed> feeds{{one, std::span(a).subspan(static_cast<std::size_t>(before_one), 1)},
                                  {two, std::span(b).subspan(static_cast<std::size_t>(before_two), 2), Want::kAll}};
    faulty.Arm(call);
    try {
      engine.Step(feeds);
      faulty.Arm(-1);
      break;  // the step has fewer calls than this
    } catch (const DeviceError&) {
      ++failures;
    }
    faulty.Arm(-1);
    judge.True(engine.Length(one) == before_one && engine.Length(two) == before_two, "lengths",
               fmt::format("call {}", call));
    judge.True(engine.healthy(), "healthy", fmt::format("call {}", call));
    if (failures % 6 == 0) engine.Step(feeds);
  }
  judge.True(failures >= 8, "failures injected", "all", fmt::format("expected at least 8, found {}", failures));
  Stage clean(subject, SmallOptions(subject, 2, 3 * window + 60));
  const SessionId clean_one = clean.Opened(std::span(a).first(static_cast<std::size_t>(engine.Length(one))));
  const SessionId clean_two = clean.Opened(std::span(b).first(static_cast<std::size_t>(engine.Length(two))));
  for (int step = 0; step < 4; ++step) {
    const auto at_one = std::span(a).subspan(static_cast<std::size_t>(engine.Length(one)), 1);
    const auto at_two = std::span(b).subspan(static_cast<std::size_t>(engine.Length(two)), 1);
    const std::vector<Feed> feeds{{one, at_one}, {two, at_two}}, clean_feeds{{clean_one, at_one}, {clean_two, at_two}};
    const StepResult after = engine.Step(feeds), never = clean.engine().Step(clean_feeds);
    for (int row = 0; row < 2; ++row)
      SameRows(judge, subject, never.Raw(row), after.Raw(row), false, fmt::format("session {} step {}", row, step));
  }
}

void LostDevice(const Subject& subject, Judge& judge) {
  const std::unique_ptr<Ops> ops = MakeOpsOf(subject);
  FaultyOps faulty(*ops, Fault::kNone);
  Engine engine(StoreOf(subject), faulty, SmallOptions(subject, 1, 8));
  const SessionId session = engine.Open();
  const Tokens tokens = MadeUpTokens(subject, 1010, 2);
  faulty.Arm(3, /*lost=*/true);
  bool threw = false;
  try {
    engine.Prefill(session, tokens);
  } catch (const DeviceError& error) {
    threw = error.lost;
  }
  faulty.Arm(-1);
  const Feed feed{session, tokens};
  const Support support = engine.CanStep(std::span(&feed, 1));
  judge.True(threw && !engine.healthy() && !support.ok && !support.reason.empty(), "says it cannot go on",
             "after a lost device", support.reason);
  judge.True(engine.Length(session) == 0, "length", "after a lost device");
}

// Ops whose memory is poisoned and can refuse an allocation.
class PoisonedOps final : public ForwardingOps {
 public:
  explicit PoisonedOps(Ops& inner) : ForwardingOps(inner), memory_(inner.memory()) {}
  PoisonMemory& memory() override { return memory_; }

 private:
  PoisonMemory memory_;
};

// An engine that is refused one of its allocations says which and leaves nothing behind; one that gets them all, full
// of NaN, computes what it computes in any memory: no step reads what no step has written.
void RefusedAllocation(const Subject& subject, Judge& judge) {
  constexpr int kTries = 16, kSteps = 3;
  const EngineOptions options = SmallOptions(subject, 3, 32);
  const std::unique_ptr<Ops> ops = MakeOpsOf(subject);
  PoisonedOps poisoned(*ops);
  const std::vector<Tokens> tokens{MadeUpTokens(subject, 1020, 5 + kSteps), MadeUpTokens(subject, 1021, 2 + kSteps)};
  const auto run = [&](Engine& engine) {
    std::vector<SessionId> sessions;
    for (const Tokens& each : tokens) {
      sessions.push_back(engine.Open());
      engine.Prefill(sessions.back(), std::span(each).first(each.size() - kSteps), Want::kNone);
    }
    std::vector<float> rows;
    for (int step = kSteps; step > 0; --step) {
      std::vector<Feed> feeds;
      for (std::size_t i = 0; i < tokens.size(); ++i)
        feeds.push_back(
            {sessions[i], std::span(tokens[i]).subspan(tokens[i].size() - static_cast<std::size_t>(step), 1)});
      const StepResult result = engine.Step(feeds);
      rows.insert(rows.end(), result.raw.begin(), result.raw.end());
    }
    return rows;
  };
  std::int64_t needed = 0;
  {
    Engine engine(StoreOf(subject), poisoned, options);
    needed = poisoned.memory().allocations();
    Stage clean(subject, options);
    judge.Bits(run(clean.engine()), run(engine), "in memory full of NaN");
  }
  judge.True(poisoned.memory().live() == 0, "nothing left", "closed",
             fmt::format("{} allocations are still live", poisoned.memory().live()));
  for (int i = 0; i < kTries; ++i) {
    const std::int64_t number = (needed - 1) * i / (kTries - 1);
    poisoned.memory().refuse = poisoned.memory().allocations() + number;
    std::string said = "no exception";
    try {
      Engine(StoreOf(subject), poisoned, options);
    } catch (const OutOfMemory& error) {
      said = error.what();
    }
    const std::string where = fmt::format("allocation {} of {}", number, needed);
    judge.True(said.ends_with("refused on purpose"), "refusal", where, said);
    judge.True(poisoned.memory().live() == 0, "nothing left", where,
               fmt::format("{} allocations are still live", poisoned.memory().live()));
  }
}

}  // namespace

std::vector<Case> FailureCases(const Subject& subject) {
  std::vector<Case> cases;
  cases.push_back(
      MakeCase("Failure", "StepThatThrows", subject, "", [subject](Judge& judge) { StepThatThrows(subject, judge); }));
  cases.push_back(
      MakeCase("Failure", "LostDevice", subject, "", [subject](Judge& judge) { LostDevice(subject, judge); }));
  cases.push_back(MakeCase("Failure", "RefusedAllocation", subject, "",
                           [subject](Judge& judge) { RefusedAllocation(subject, judge); }));
  return cases;
}

}  // namespace assay
