// Rows of a mixture that were sent to other experts: what rounding explains is right, what it does not is not.
#include "suites/support/routing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "oracles/compare/tensors.h"
#include "suites/parity/parity.h"
#include "suites/testing/planted.h"

namespace assay {
namespace {

// A router that, while `on`, takes the next expert instead of its last one where that is worse by less than `within` in
// log-probability: another rounding's choice. Host ops.
class OtherRounding : public ForwardingOps {
 public:
  struct Settings {
    bool on = false;
    double within = 0;
    int swaps = 0;
  };
  OtherRounding(Ops& inner, std::shared_ptr<Settings> settings)
      : ForwardingOps(inner), settings_(std::move(settings)) {}
  void Route(const RouteArgs& args) override {
    ForwardingOps::Route(args);
    if (!settings_->on) return;
    const int k = args.top_k;
    std::vector<std::int32_t> expert(static_cast<std::size_t>(args.rows * (k + 1)));
    std::vector<float> weight(expert.size());
    RouteArgs more = args;
    more.expert = expert.data();
    more.weight = weight.data();
    more.expert_scale = nullptr;
    more.top_k = k + 1;
    ForwardingOps::Route(more);
    for (int r = 0; r < args.rows; ++r) {
      const auto at = static_cast<std::size_t>(r * (k + 1));
      if (std::log(weight[at + k - 1]) - std::log(weight[at + k]) > settings_->within) continue;
      ++settings_->swaps;
      std::swap(expert[at + k - 1], expert[at + k]);
      std::swap(weight[at + k - 1], weight[at + k]);
      float sum = 0;
      for (int i = 0; i < k; ++i) sum += weight[at + i];
      for (int i = 0; i < k; ++i) {
        args.expert[r * k + i] = expert[at + i];
        const float scale = args.expert_scale != nullptr ? args.expert_scale[expert[at + i]] : 1.0f;
        args.weight[r * k + i] = weight[at + i] / sum * scale;
      }
    }
  }

 private:
  std::shared_ptr<Settings> settings_;
};

struct Found {
  int beyond = 0;         // rows that differ by more than two computations may
  int unexplained = 0;    // of them, those that no choice explains
  CaseOutcome outcome{};  // of the choices and of the rows that are explained
  int swaps = 0;
};

// One text in one piece on both sides, the second with another rounding's choices and, in `damaged` rows, one logit
// that is off.
Found Compared(const char* model, double share, bool damaged = false, bool in_pieces = false) {
  const auto settings = std::make_shared<OtherRounding::Settings>();
  Workbench bench(Decorated<OtherRounding>(settings));
  Target target{.model = model, .precision = Precision::kBf16};
  target.seed = 3;
  CaseState state(bench, target);
  const Bound plain = state.references().Routing(target).logits.Between();
  settings->within = share * state.references().Routing(target).margin.hard;
  bench.RecordRouting();
  RoutingJudge judge(state);
  const Tokens tokens = state.MadeUp(1, 60);
  const auto rows = [&](bool on) {
    settings->on = on;
    const auto system = bench.OpenEngine(target, StraightOptions(state.spec(), 3, 64));
    const SessionId session = system->Open();
    StepResult all;
    if (on && in_pieces) {
      // Its first part comes from a fork of a session that went another way.
      const SessionId other = system->OpenWith(std::span(tokens).first(20));
      system->Prefill(other, std::span(tokens).subspan(40, 5));
      system->Truncate(other, 20);
      const SessionId copy = system->Fork(other);
      all = system->Prefill(session, std::span(tokens).first(20), Want::kAll);
      all.Append(system->Prefill(copy, std::span(tokens).subspan(20), Want::kAll, 7));
      return all;
    }
    return system->Prefill(session, tokens, Want::kAll);
  };
  const StepResult a = rows(false);
  StepResult b = rows(true);
  Found run;
  run.swaps = settings->swaps;
  for (int row = 0; row < a.rows(); ++row) {
    const Place where{{"row", row}};
    if (JudgeTensor(Widen(a.Raw(row)), Widen(b.Raw(row)), plain, "m", where).verdict == Verdict::kMatch) continue;
    ++run.beyond;
    std::vector<float> found(b.Raw(row).begin(), b.Raw(row).end());
    std::optional<Judgement> routed = judge.Between(a.Raw(row), found, where);
    if (damaged) {
      // The log still knows the row by what the system had said of it.
      const std::optional<RoutingLog::Node> node = bench.routing()->Of(found);
      found[3] += 2;
      bench.routing()->Follow(node.value_or(RoutingLog::kNone), found);
      routed = judge.Between(a.Raw(row), found, where);
    }
    if (!routed || !Passes(routed->verdict)) ++run.unexplained;
    if (routed) state.check.Add(*routed);
  }
  run.outcome = state.Finish();
  return run;
}

TEST(Routing, OtherChoicesWithinTheRoutersErrorExplainRows) {
  for (const char* model : {"gemma4-nano-moe", "tiny-gemma4-moe"}) {
    const Found run = Compared(model, 0.5);
    EXPECT_GT(run.swaps, 0) << model;
    EXPECT_GT(run.beyond, 0) << model << ": nothing cried wolf";
    EXPECT_EQ(run.unexplained, 0) << model;
    EXPECT_EQ(run.outcome.status, Status::kPass) << model << ": " << run.outcome.reason;
  }
}

TEST(Routing, IsKnownAcrossForksAndSteps) {
  const Found run = Compared("gemma4-nano-moe", 0.5, false, true);
  EXPECT_GT(run.beyond, 0);
  EXPECT_EQ(run.unexplained, 0);
  EXPECT_EQ(run.outcome.status, Status::kPass) << run.outcome.reason;
}

TEST(Routing, ARowThatIsOffIsNotExplained) {
  const Found run = Compared("gemma4-nano-moe", 0.5, true);
  EXPECT_GT(run.beyond, 0);
  EXPECT_EQ(run.unexplained, run.beyond);
}

TEST(Routing, ChoicesBeyondTheRoutersErrorAreWrong) {
  const Found run = Compared("gemma4-nano-moe", 20);
  EXPECT_GT(run.swaps, 0);
  EXPECT_EQ(run.outcome.status, Status::kFail);
  EXPECT_NE(run.outcome.reason.find("routing_margin"), std::string::npos) << run.outcome.reason;
}

TEST(Routing, MarginsAndGaps) {
  const std::vector<double> p{0.1, 0.4, 0.2, 0.3};
  EXPECT_EQ(DecisionOf(p, {1, 3}, {}).margin, 0);
  EXPECT_NEAR(DecisionOf(p, {1, 3}, {}).gap, std::log(1.5), 1e-12);
  EXPECT_NEAR(DecisionOf(p, {1, 2}, {}).margin, std::log(1.5), 1e-12);
  EXPECT_NEAR(DecisionOf(p, {0, 2}, {}).margin, std::log(4.0), 1e-12);
  EXPECT_THROW(DecisionOf(p, {1, 1}, {}), InputError);
  EXPECT_THROW(DecisionOf(p, {1, 4}, {}), InputError);
}

TEST(Routing, ALogIsATreeOfTexts) {
  RoutingLog log;
  const auto a = log.Add(RoutingLog::kNone, 7, {}), b = log.Add(a, 8, {}), c = log.Add(a, 9, {});
  EXPECT_EQ(log.Up(b, 1), a);
  EXPECT_EQ(log.Up(c, 2), c);
  EXPECT_EQ(log.Up(c, 0), RoutingLog::kNone);
  EXPECT_EQ(log.Path(c), (std::vector{a, c}));
  const std::vector<float> row{1, 2}, other{1, 3};
  log.Follow(b, row);
  EXPECT_EQ(log.Of(row), b);
  EXPECT_FALSE(log.Of(other).has_value());
}

}  // namespace
}  // namespace assay
