#include "oracles/compare/ranking.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "engine/base/check.h"
#include "oracles/unit/not_finite.h"

namespace assay {
namespace {

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

TEST(ArgMax, IsThatOfAPlainLoopAtEveryLength) {
  const float values[] = {0, -0.0f, 1, 2, 2, -3, -INFINITY, -INFINITY, static_cast<float>(kNan), INFINITY};
  std::mt19937 random(1);
  for (int round = 0; round < 4000; ++round) {
    // Rarely the largest ones, so that what is largest stands anywhere.
    const std::size_t length = 1 + random() % (round % 4 == 0 ? 7000 : 40), kinds = 1 + round % 10;
    std::vector<float> logits(length);
    for (float& logit : logits) logit = values[random() % 500 == 0 ? random() % std::size(values) : random() % kinds];
    int expected = -1;
    for (std::size_t i = 0; i < length; ++i)
      if (!std::isnan(logits[i]) && (expected < 0 || logits[i] > logits[expected])) expected = static_cast<int>(i);
    ASSERT_EQ(ArgMax(logits), std::max(expected, 0)) << "round " << round;
  }
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
  EXPECT_NEAR(Headroom(wrong), 1.1, 1e-9);
  EXPECT_EQ(wrong.worst.ToString(), "r token 1");
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
  EXPECT_NE(leaked.fault.find("neighbour 0"), std::string::npos) << leaked.fault;
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

// A flip is expected as often as noise on both logits turns the gap round.
TEST(JudgeArgmax, ExpectsFlipsByTheGap) {
  const std::vector<double> row{1.05, 1.0, -5};
  EXPECT_NEAR(JudgeArgmax(row, row, Eps005(), "r").soft_probability, FlipProbability(0.05, 0.05), 1e-12);
}

// 0.6 of a neighbour's logits in a row is a leak, though nearer than the neighbour itself.
TEST(JudgeArgmax, SeesALeakThatIsNotWhole) {
  const std::vector<double> own{1.05, 1.00, 0.2, -3}, neighbour{0.2, 1.0, -3, 0.7};
  std::vector<double> mixed(own.size());
  for (std::size_t i = 0; i < own.size(); ++i) mixed[i] = 0.4 * own[i] + 0.6 * neighbour[i];
  const std::vector<std::span<const double>> neighbours{neighbour};
  EXPECT_EQ(JudgeArgmax(own, mixed, Eps005(), "row", neighbours).verdict, Verdict::kWrong);
}

// Ten may stand within 2 eps of the best, the eleventh may not.
TEST(Decides, AsLongAsNoMoreThanTheBestFewAreWithinNoise) {
  std::vector<double> row(12, -9.0);
  for (int i = 0; i < kTopK; ++i) row[static_cast<std::size_t>(i)] = 1 - 0.005 * i;
  EXPECT_TRUE(Decides(row, Eps005()));
  row[kTopK] = 0.901;
  EXPECT_FALSE(Decides(row, Eps005()));
  row[kTopK] = 0.899;
  EXPECT_TRUE(Decides(row, Eps005()));
  EXPECT_TRUE(Decides(std::vector<double>(kTopK, 1.0), Eps005())) << "no more than the best few exist";
  LogitTolerance wider = Eps005().At(3);
  EXPECT_FALSE(Decides(row, wider)) << "a row where the twin errs more decides less";
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
