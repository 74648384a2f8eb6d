#include <algorithm>

#include "oracles/probes/faulty_ops.h"
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
    judge.True(engine.Length(one) == before_one && engine.Length(two) == before_two, "lengths", fmt::format("call {}", call));
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
    for (int row = 0; row < 2; ++row) SameRows(judge, subject, never.Raw(row), after.Raw(row), false, fmt::format("session {} step {}", row, step));
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
  const Gate gate = engine.CanStep(std::span(&feed, 1));
  judge.True(threw && !engine.healthy() && !gate.ok && !gate.reason.empty(), "says it cannot go on", "after a lost device", gate.reason);
  judge.True(engine.Length(session) == 0, "length", "after a lost device");
}

}  // namespace

std::vector<Case> FailureCases(const Subject& subject) {
  std::vector<Case> cases;
  cases.push_back(MakeCase("Failure", "StepThatThrows", subject, "", [subject](Judge& judge) { StepThatThrows(subject, judge); }));
  cases.push_back(MakeCase("Failure", "LostDevice", subject, "", [subject](Judge& judge) { LostDevice(subject, judge); }));
  return cases;
}

}  // namespace assay
