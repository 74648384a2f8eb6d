// What becomes of the comparisons of a case: the worst and the first of each metric, their number, and a budget for
// every metric that had soft verdicts.
#include "oracles/verdict/tally.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace assay {
namespace {

const Bound kBound{1, 2, "test"};

Judgement Value(double value, std::int64_t step, double soft_probability = 0, const char* metric = "m") {
  Judgement judgement = Judged(metric, value, kBound, {{"step", step}});
  judgement.soft_probability = soft_probability;
  return judgement;
}

const Judgement* Find(const std::vector<Judgement>& all, const std::string& metric) {
  for (const Judgement& judgement : all)
    if (judgement.metric == metric) return &judgement;
  return nullptr;
}

Verdict BudgetOf(const Tally& tally, const std::string& metric = "m") {
  const std::vector<Judgement> all = tally.Finish();
  const Judgement* budget = Find(all, metric + "_budget");
  return budget == nullptr ? Verdict::kVoid : budget->verdict;
}

TEST(PoissonQuantile, MatchesTheDistribution) {
  EXPECT_EQ(PoissonQuantile(0, 0.999), 0);
  EXPECT_EQ(PoissonQuantile(0.001, 0.999), 0);   // P(0) = 0.9990005
  EXPECT_EQ(PoissonQuantile(0.0011, 0.999), 1);  // P(0) = 0.9989
  EXPECT_EQ(PoissonQuantile(1, 0.999), 5);       // P(<=4) = 0.99634, P(<=5) = 0.99941
  EXPECT_NEAR(PoissonQuantile(1000, 0.999), 1000 + 3.09 * std::sqrt(1000.0), 3);
}

TEST(Tally, KeepsTheWorstTheFirstOutsideAndTheNumber) {
  Tally tally;
  EXPECT_TRUE(tally.empty());
  for (const auto& [value, step] : {std::pair{0.5, 0}, {1.2, 1}, {1.9, 2}, {1.5, 3}, {0.1, 4}})
    tally.Add(Value(value, step, 0.5));
  EXPECT_FALSE(tally.empty());
  const std::vector<Judgement> all = tally.Finish();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].verdict, Verdict::kDrift);
  EXPECT_EQ(all[0].value, 1.9);
  EXPECT_EQ(all[0].worst, (Place{{"step", 2}}));
  ASSERT_TRUE(all[0].first_outside);
  EXPECT_EQ(*all[0].first_outside, (Place{{"step", 1}})) << "the first, which is not the worst";
  EXPECT_EQ(all[0].comparisons, 5);
}

TEST(Tally, NothingOutsideHasNoFirst) {
  Tally tally;
  tally.Add({Value(0.5, 0), Value(0.9, 1)});
  const std::vector<Judgement> all = tally.Finish();
  ASSERT_EQ(all.size(), 1u) << "no soft verdict, no budget";
  EXPECT_FALSE(all[0].first_outside);
  EXPECT_EQ(all[0].worst, (Place{{"step", 1}}));
}

TEST(Tally, MetricsKeepTheirOrderAndTheirCounts) {
  Tally tally;
  tally.Add(Value(0.5, 0, 0, "b"));
  tally.Add(Value(0.6, 0, 0, "a"));
  tally.Add(Value(0.7, 1, 0, "b"));
  const std::vector<Judgement> all = tally.Finish();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].metric, "b");
  EXPECT_EQ(all[0].comparisons, 2);
  EXPECT_EQ(all[1].metric, "a");
  EXPECT_EQ(all[1].comparisons, 1);
}

TEST(Tally, AVoidComparisonIsOutsideAndStays) {
  Tally tally;
  tally.Add(Value(0.1, 0));
  tally.Add(Void("m", kBound, "nothing to compare"));
  tally.Add(Value(1.5, 1, 1));
  const std::vector<Judgement> all = tally.Finish();
  EXPECT_EQ(all[0].verdict, Verdict::kVoid) << "worse than drift";
  EXPECT_EQ(all[0].comparisons, 2) << "one of the three compared nothing";
  EXPECT_TRUE(all[0].first_outside);
}

// A tally may take what another made: counts and the first place of all stay.
TEST(Tally, TakesTheWorstOfOtherTallies) {
  Tally part, whole;
  for (int step = 0; step < 3; ++step) part.Add(Value(step == 1 ? 5 : 0.5, step));
  whole.Add(Value(0.2, 9));
  whole.Add(part.Finish());
  const std::vector<Judgement> all = whole.Finish();
  EXPECT_EQ(all[0].verdict, Verdict::kWrong);
  EXPECT_EQ(all[0].comparisons, 4);
  EXPECT_EQ(*all[0].first_outside, (Place{{"step", 1}}));
  Tally later;
  later.Add(Value(7, 4));
  whole.Add(later.Finish());
  EXPECT_EQ(*whole.Finish()[0].first_outside, (Place{{"step", 1}})) << "another's first is not the first of all";
}

TEST(Tally, MissesWhatWasStatedAndNotJudged) {
  Tally tally;
  tally.AtLeast("some", 3);
  tally.AtLeast("some", 1);
  tally.AtLeast("none", 2);
  for (int step = 0; step < 3; ++step) tally.Add(Value(0.5, step, 0, "some"));
  const std::vector<Judgement> all = tally.Finish();
  for (const auto& [metric, missing, stated] :
       {std::tuple{"some_comparisons", 1, 4}, std::tuple{"none_comparisons", 2, 2}}) {
    const Judgement* judged = Find(all, metric);
    ASSERT_NE(judged, nullptr) << metric;
    EXPECT_EQ(judged->verdict, Verdict::kWrong) << metric;
    EXPECT_EQ(judged->value, missing) << metric;
    EXPECT_EQ(judged->comparisons, stated) << metric;
  }
}

TEST(Budget, OfOneExpectedSoftVerdictNineAreAllowed) {
  Tally nine, ten;
  for (int step = 0; step < 100; ++step) {
    nine.Add(Value(step < 9 ? 1.5 : 0.5, step, 0.01));
    ten.Add(Value(step < 10 ? 1.5 : 0.5, step, 0.01));
  }
  EXPECT_EQ(BudgetOf(nine), Verdict::kMatch);
  EXPECT_EQ(BudgetOf(ten), Verdict::kWrong);
  const std::vector<Judgement> all = ten.Finish();
  EXPECT_EQ(Find(all, "m")->verdict, Verdict::kDrift) << "the metric itself is still inside its hard bound";
  EXPECT_EQ(Find(all, "m_budget")->value, 10);
  EXPECT_EQ(Find(all, "m_budget")->bound.hard, 9);
}

TEST(Budget, WithoutAProbabilityNoSoftVerdictIsAllowed) {
  Tally tally;
  tally.Add(Value(1.01, 0));
  for (int step = 1; step < 1000; ++step) tally.Add(Value(0.5, step));
  EXPECT_EQ(BudgetOf(tally), Verdict::kWrong);
}

// One in a thousand cases meets what it expects once in a thousand times: of all cases of a run some would fail.
TEST(Budget, OfAThousandthExpectedOneIsAllowedAndTwoAreNot) {
  for (const int soft : {1, 2}) {
    Tally tally;
    for (int step = 0; step < 3; ++step) tally.Add(Value(step < soft ? 1.5 : 0.5, step, 0.0005 / 3));
    EXPECT_EQ(BudgetOf(tally), soft == 1 ? Verdict::kMatch : Verdict::kWrong) << soft;
  }
}

TEST(Budget, IsOfItsMetricAlone) {
  Tally tally;
  for (int step = 0; step < 1000; ++step) tally.Add(Value(0.5, step, 1, "generous"));
  tally.Add(Value(1.5, 0, 1e-7, "strict"));
  EXPECT_EQ(BudgetOf(tally, "strict"), Verdict::kWrong) << "another metric's expectation does not pay for it";
  tally.Add(Value(1.5, 0, 1, "generous"));
  EXPECT_EQ(BudgetOf(tally, "generous"), Verdict::kMatch);
}

TEST(Budget, CountsTieFlipsToo) {
  Tally tally;
  Judgement flip = Judged("argmax", 0.5, {0, 1, ""}, {}, "", Verdict::kTieFlip);
  flip.soft_probability = 1e-9;
  tally.Add(flip);
  EXPECT_EQ(BudgetOf(tally, "argmax"), Verdict::kWrong);
}

}  // namespace
}  // namespace assay
