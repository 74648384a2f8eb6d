#include "oracles/compare/ranking.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "engine/base/check.h"

namespace assay {
namespace {

const double kNan = std::numeric_limits<double>::quiet_NaN();

// Logits may be 0.05 off, so gaps up to 0.1 may flip.
LogitTolerance Eps005() { return LogitTolerance::Fixed(0.05, 0.1, "test"); }

TEST(ArgMax, TiesGoToTheLowestIndexAndNanNeverWins) {
  EXPECT_EQ(ArgMax(std::vector<double>{1, 3, 3, 2}), 1);
  EXPECT_EQ(ArgMax(std::vector<double>{kNan, 1, kNan, 2}), 3);
  EXPECT_EQ(ArgMax(std::vector<double>{kNan, kNan}), 0);
  EXPECT_EQ(ArgMax(std::vector<float>{-2, -1, -1}), 1);
  EXPECT_EQ(ArgMax(std::vector<double>{-std::numeric_limits<double>::infinity(), kNan}), 0);
  EXPECT_THROW(ArgMax(std::vector<double>{}), InputError);
}

TEST(TopK, OrdersAndBreaksTies) {
  EXPECT_EQ(TopK(std::vector<double>{1, 5, 5, kNan, 7}, 3), (std::vector<int>{4, 1, 2}));
  EXPECT_EQ(TopK(std::vector<double>{1, 2}, 9), (std::vector<int>{1, 0}));
  EXPECT_DOUBLE_EQ(TopGap(std::vector<double>{1, 4, 2}), 2);
}

TEST(Decides, AsLongAsNoiseCannotTurnRoundMoreThanTheBest) {
  LogitTolerance tolerance = Eps005();
  tolerance.top_k = 2;
  EXPECT_TRUE(Decides(std::vector<double>{0, 1.11, 1.0, 1.1}, tolerance));
  EXPECT_FALSE(Decides(std::vector<double>{0, 1.09, 1.0, 1.05}, tolerance));
  EXPECT_TRUE(Decides(std::vector<double>{1, 1}, tolerance)) << "there are no others";
  EXPECT_TRUE(Decides(std::vector<double>{1, kNan, 1, 0}, tolerance));
  EXPECT_TRUE(Decides(std::vector<double>{1, 1, 1}, Eps005())) << "ten are looked at by default";
}

TEST(JudgeArgmax, ATieInsideTheBoundFlipsAndOneOutsideIsWrong) {
  const std::vector<double> candidate{1.0, 1.01, -5};
  EXPECT_EQ(JudgeArgmax(std::vector<double>{1.05, 1.0, -5}, candidate, Eps005(), "r").verdict, Verdict::kTieFlip);
  const Judgement wrong = JudgeArgmax(std::vector<double>{1.11, 1.0, -5}, candidate, Eps005(), "r");
  EXPECT_EQ(wrong.verdict, Verdict::kWrong);
  EXPECT_NEAR(wrong.value, 0.11, 1e-12);
  EXPECT_NEAR(wrong.headroom, 1.1, 1e-9);
  EXPECT_EQ(wrong.worst, "r token 1");
  EXPECT_EQ(JudgeArgmax(candidate, candidate, Eps005(), "r").verdict, Verdict::kMatch);
}

TEST(JudgeArgmax, ATokenOutsideTheReferencesBestIsWrong) {
  const std::vector<double> reference{1.00, 0.99, 0.98, 0.97}, candidate{1.00, 0.99, 0.98, 1.01};
  LogitTolerance tolerance = Eps005();
  EXPECT_EQ(JudgeArgmax(reference, candidate, tolerance, "r").verdict, Verdict::kTieFlip);
  tolerance.top_k = 3;
  EXPECT_EQ(JudgeArgmax(reference, candidate, tolerance, "r").verdict, Verdict::kWrong);
}

TEST(JudgeArgmax, ARowLeakedFromANeighbourIsWrongThoughItsFlipIsATie) {
  const std::vector<double> own{1.05, 1.00, 0.2, -3}, neighbour{0.2, 1.0, -3, 0.7};
  const std::vector<std::span<const double>> neighbours{neighbour};
  EXPECT_EQ(JudgeArgmax(own, neighbour, Eps005(), "r").verdict, Verdict::kTieFlip) << "without the guard it passes";
  const Judgement leaked = JudgeArgmax(own, neighbour, Eps005(), "r", neighbours);
  EXPECT_EQ(leaked.verdict, Verdict::kWrong);
  EXPECT_NE(leaked.detail.find("neighbour 0"), std::string::npos) << leaked.detail;
  // An honest flip to a token that happens to be the neighbour's answer stays a tie: the logits are the row's own.
  const std::vector<double> honest{1.0, 1.01, 0.2, -3};
  EXPECT_EQ(JudgeArgmax(own, honest, Eps005(), "r", neighbours).verdict, Verdict::kTieFlip);
}

TEST(JudgeArgmax, NanIsWrongEvenWithTheRightAnswerAndAVoidReferenceIsVoid) {
  const std::vector<double> reference{2, 1}, nan{2, kNan};
  EXPECT_EQ(JudgeArgmax(reference, nan, Eps005(), "r").verdict, Verdict::kWrong);
  EXPECT_EQ(JudgeArgmax(nan, reference, Eps005(), "r").verdict, Verdict::kVoid);
  EXPECT_EQ(JudgeArgmax({}, {}, Eps005(), "r").verdict, Verdict::kVoid);
}

TEST(FlipProbability, IsPhiOfTheGap) {
  EXPECT_DOUBLE_EQ(FlipProbability(0, 1), 0.5);
  // Phi(-1) = 0.158655...: a gap of sigma sqrt 2.
  EXPECT_NEAR(FlipProbability(std::sqrt(2.0), 1), 0.15865525393, 1e-10);
  EXPECT_EQ(FlipProbability(1, 0), 0);
  EXPECT_EQ(FlipProbability(std::numeric_limits<double>::infinity(), 1), 0);
}

TEST(PoissonQuantile, MatchesTheDistribution) {
  EXPECT_EQ(PoissonQuantile(0, 0.999), 0);
  EXPECT_EQ(PoissonQuantile(0.001, 0.999), 0);   // P(0) = 0.9990005
  EXPECT_EQ(PoissonQuantile(0.0011, 0.999), 1);  // P(0) = 0.9989
  EXPECT_EQ(PoissonQuantile(1, 0.999), 5);       // P(<=4) = 0.99634, P(<=5) = 0.99941
  EXPECT_NEAR(PoissonQuantile(1000, 0.999), 1000 + 3.09 * std::sqrt(1000.0), 3);
}

TEST(JudgeBudget, FailsAboveTheQuantileAndIsVoidWithoutRows) {
  EXPECT_EQ(JudgeBudget(5, 1, 100, "b").verdict, Verdict::kMatch);
  EXPECT_EQ(JudgeBudget(6, 1, 100, "b").verdict, Verdict::kWrong);
  EXPECT_EQ(JudgeBudget(1, 0, 100, "b").verdict, Verdict::kWrong);
  EXPECT_EQ(JudgeBudget(0, 0, 0, "b").verdict, Verdict::kVoid);
}

TEST(KlDivergence, IsZeroForAShiftAndBoundedByHoeffding) {
  const std::vector<double> p{1, 2, 3};
  EXPECT_NEAR(KlDivergence(p, std::vector<double>{11, 12, 13}), 0, 1e-15);
  // Two equal logits pushed eps apart each way come close to the bound eps^2 / 2.
  for (const double eps : {0.01, 0.1, 1.0}) {
    const double kl = KlDivergence(std::vector<double>{0, 0}, std::vector<double>{eps, -eps});
    EXPECT_LE(kl, eps * eps / 2);
    EXPECT_GE(kl, 0.4 * eps * eps);
  }
}

}  // namespace
}  // namespace assay
