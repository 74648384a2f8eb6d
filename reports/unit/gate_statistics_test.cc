// The gate's statistics against closed forms.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <stdexcept>

#include "reports/gate/rule.h"
#include "reports/gate/statistics.h"

namespace assay {
namespace {

// By the definition: every choice of signs, one by one.
double EnumeratedP(const std::vector<double>& ratios) {
  double observed = 0;
  for (const double ratio : ratios) observed += ratio;
  int count = 0;
  const int choices = 1 << ratios.size();
  for (int signs = 0; signs < choices; ++signs) {
    double sum = 0;
    for (std::size_t i = 0; i < ratios.size(); ++i)
      sum += (signs >> i & 1) != 0 ? std::abs(ratios[i]) : -std::abs(ratios[i]);
    count += sum >= observed - 1e-12;
  }
  return static_cast<double>(count) / choices;
}

TEST(SignFlip, AllOfOneSignIsTheLeastP) {
  EXPECT_DOUBLE_EQ(SignFlipP({1, 2, 3, 4, 5, 6}), 1.0 / 64);
  EXPECT_DOUBLE_EQ(SignFlipP({-1, -2, -3, -4, -5, -6}), 1);
  EXPECT_DOUBLE_EQ(SignFlipP(std::vector<double>(24, 0.1)), std::ldexp(1.0, -24));
  EXPECT_DOUBLE_EQ(SignFlipP({0, 0, 0}), 1);  // nothing observed: every choice is as large
}

TEST(SignFlip, IsWhatEnumerationSays) {
  const std::vector<double> ratios = {0.013, -0.004, 0.021, 0.008, -0.011, 0.017, 0.002, 0.019, -0.001, 0.006, 0.012};
  EXPECT_DOUBLE_EQ(SignFlipP(ratios), EnumeratedP(ratios));
  const std::vector<double> odd = {0.01, -0.01, 0.01, 0.01, 0.01};  // ties: 1 + 5 of 32
  EXPECT_DOUBLE_EQ(SignFlipP(odd), 6.0 / 32);
}

TEST(SignFlip, OneOutlierDoesNotHideTheOthers) {
  // Unclipped, the outlier's sign alone decides: p would be one half.
  std::vector<double> ratios(12, 0.03);
  ratios[5] = -1;
  EXPECT_LT(SignFlipP(ratios), 0.02);
}

TEST(SignFlip, RefusesWhatItCannotTell) {
  EXPECT_THROW(SignFlipP({}), std::invalid_argument);
  EXPECT_THROW(SignFlipP(std::vector<double>(41, 1)), std::invalid_argument);
  EXPECT_THROW(SignFlipP({std::numeric_limits<double>::quiet_NaN()}), std::invalid_argument);
}

TEST(HodgesLehmannEstimate, IsTheMedianOfPairMeans) {
  EXPECT_DOUBLE_EQ(HodgesLehmann({7}), 7);
  EXPECT_DOUBLE_EQ(HodgesLehmann({1, 2, 3}), 2);
  EXPECT_DOUBLE_EQ(HodgesLehmann({0, 0, 0, 100}), 0);  // means: six 0, three 50, one 100
  EXPECT_DOUBLE_EQ(HodgesLehmann({1, 4}), 2.5);
  EXPECT_DOUBLE_EQ(HodgesLehmann({1, 2, 10}), 3.75);  // means 1 1.5 2 5.5 6 10
}

TEST(Huber, IsTheDeviationWhereNothingIsFarOut) {
  // Two values at +-1: nothing beyond 1.5 scales, so s^2 = sum of squares / ((n - 1) E[min(Z^2, k^2)]).
  const double phi = std::exp(-1.125) / std::sqrt(2 * std::numbers::pi),
               tail = std::erfc(1.5 / std::numbers::sqrt2) / 2;
  const double mean = 1 - 2 * tail - 3 * phi + 4.5 * tail;
  EXPECT_NEAR(HuberScale({-1, 1, -1, 1}, 0), std::sqrt(4 / (3 * mean)), 1e-9);
  EXPECT_EQ(HuberScale({2, 2, 2}, 2), 0);
}

TEST(Huber, ClipsAnOutlier) {
  const double clean = HuberScale({-1, 1, -1, 1, -1, 1, -1, 1}, 0);
  const double far = HuberScale({-1, 1, -1, 1, -1, 1, -1, 100}, 0),
               farther = HuberScale({-1, 1, -1, 1, -1, 1, -1, 1e6}, 0);
  EXPECT_LT(far, 2 * clean);
  EXPECT_NEAR(far, farther, 1e-6);
}

TEST(Quantiles, AreThoseOfTables) {
  EXPECT_NEAR(StudentQuantile(0.975, 5), 2.5706, 1e-4);
  EXPECT_NEAR(StudentQuantile(0.95, 23), 1.7139, 1e-4);
  EXPECT_THROW(StudentQuantile(1, 5), std::invalid_argument);
}

TEST(Coin, IsFairAndAlwaysTheSame) {
  int heads = 0;
  for (std::uint64_t i = 0; i < 10000; ++i) heads += Toss(7, i);
  EXPECT_NEAR(heads, 5000, 200);
  // The first tosses of seed 0: high bits of splitmix64's published outputs e220a8397b1dcdaf, 6e789e6aa1b965f4,
  // 06c45d188009454f, f88bb8a8724c81ec.
  EXPECT_TRUE(Toss(0, 0) && !Toss(0, 1) && !Toss(0, 2) && Toss(0, 3));
}

// Cells of a round that move together are one toss, not fifty.
TEST(Symmetry, CountsRoundsNotCells) {
  constexpr int kRuns = 200, kRounds = 6, kCells = 50;
  const GateRule rule;
  int flagged = 0, low = 0;
  for (int run = 0; run < kRuns; ++run) {
    std::vector<std::vector<double>> screens(kCells);
    for (int round = 0; round < kRounds; ++round) {
      const std::uint64_t draw = static_cast<std::uint64_t>(run * kRounds + round);
      const double together = Toss(3, draw) ? 0.05 : -0.05;
      for (std::size_t cell = 0; cell < kCells; ++cell)
        screens[cell].push_back(together + (Toss(4, draw * kCells + cell) ? 0.002 : -0.002));
    }
    const Symmetry symmetry = SymmetryOf(screens, rule);
    flagged += symmetry.slower + symmetry.faster > 10;
    low += symmetry.p <= 0.05;
  }
  EXPECT_GT(flagged, kRuns / 8) << "they move far enough to count";
  EXPECT_LE(low, kRuns / 10);
}

TEST(Symmetry, SeesASideThatIsFavoured) {
  const GateRule rule;
  const std::vector<double> slower = {0.05, 0.06, 0.05, 0.04, 0.05, 0.06};
  const Symmetry symmetry = SymmetryOf({slower, slower, {0, 0, NAN, 0, 0, 0}}, rule);
  EXPECT_EQ(symmetry.slower, 2);
  EXPECT_EQ(symmetry.faster, 0);
  EXPECT_EQ(symmetry.p, 2.0 / 64) << "all rounds as they were, or all exchanged";
  const Symmetry many = SymmetryOf({std::vector<double>(24, 0.05)}, rule);
  EXPECT_LT(many.p, 0.01);
  EXPECT_EQ(SymmetryOf({}, rule).p, 1);
}

TEST(Rule, ScreenPassesWhatIsShownToBeSmall) {
  const GateRule rule;
  const CellDecision quiet = Screen({0.001, -0.001, 0.002, -0.002, 0.001, -0.001}, rule);
  EXPECT_EQ(quiet.verdict, CellVerdict::kPass);
  EXPECT_LT(quiet.high, 0.01);
  EXPECT_FALSE(Screen({0.02, 0.02, 0.021, 0.019, 0.02, 0.02}, rule).verdict);   // an estimate above 1 %
  EXPECT_FALSE(Screen({0.05, -0.05, 0.04, -0.04, 0.06, -0.05}, rule).verdict);  // a limit above 3 %
}

TEST(Rule, ConfirmDecidesAtTheFirstLookThatCan) {
  const GateRule rule;
  const std::vector<double> slow(24, 0.05);
  // 2^-8 is above 0.008 / 4, 2^-12 below.
  const CellDecision found = Confirm(slow, 0.03, 1, rule);
  EXPECT_EQ(found.verdict, CellVerdict::kRegression);
  EXPECT_EQ(found.rounds, 12);
  EXPECT_DOUBLE_EQ(found.level, 0.002);
  EXPECT_NEAR(found.estimate, std::expm1(0.05), 1e-12);
  // Shared among 100 cells, the level needs 16 rounds: 2^-16 <= 0.008 / 400.
  EXPECT_EQ(Confirm(slow, 0.03, 100, rule).rounds, 16);
  EXPECT_EQ(Confirm(std::vector<double>(8, 0.0), 0.03, 1, rule).verdict, CellVerdict::kPass);
  EXPECT_FALSE(Confirm(std::vector<double>(8, 0.05), 0.03, 1, rule).verdict);
  // Between the estimate of a pass and the minimum effect: neither, however many rounds.
  EXPECT_EQ(Confirm(std::vector<double>(24, 0.012), 0.03, 1, rule).verdict, CellVerdict::kInconclusive);
}

TEST(Rule, AsManyRoundsAsALookReachIt) {
  const auto looks = [](int rounds) {
    GateRule rule;
    LimitRounds(rounds, &rule);
    return rule.looks;
  };
  EXPECT_EQ(looks(100), (std::vector<int>{8, 12, 16, 24}));
  EXPECT_EQ(looks(16), (std::vector<int>{8, 12, 16}));
  EXPECT_EQ(looks(15), (std::vector<int>{8, 12}));
  EXPECT_EQ(looks(5), (std::vector<int>{5}));
}

TEST(Rule, AnImprovementIsSaidAndPasses) {
  const CellDecision found = Screen(std::vector<double>(6, -0.1), {});
  EXPECT_EQ(found.verdict, CellVerdict::kPass);
  EXPECT_TRUE(found.faster);
}

TEST(Rule, TheThresholdFollowsFromTheSpread) {
  GateRule rule;
  rule.automatic = true;
  EXPECT_DOUBLE_EQ(ThresholdOf({0.001, -0.001, 0.001, -0.001, 0.001, -0.001}, rule), 0.01);
  EXPECT_DOUBLE_EQ(ThresholdOf({0.1, -0.1, 0.1, -0.1, 0.1, -0.1}, rule), 0.03);
  const double between = ThresholdOf({0.006, -0.006, 0.006, -0.006, 0.006, -0.006}, rule);
  EXPECT_GT(between, 0.01);
  EXPECT_LT(between, 0.03);
}

TEST(Rule, ProblemsAreNamed) {
  GateRule rule;
  EXPECT_EQ(RuleProblem(rule), "");
  rule.looks = {8, 8};
  EXPECT_EQ(RuleProblem(rule), "looks: expected to ascend");
  rule = {};
  rule.alpha = 0;
  EXPECT_NE(RuleProblem(rule), "");
}

}  // namespace
}  // namespace assay
