// The comparison of arrays: each kind of error is injected and must be seen.
#include "oracles/compare/tensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "oracles/unit/not_finite.h"

namespace assay {
namespace {

TEST(JudgeTensor, PlacesErrorsBetweenTheBounds) {
  const std::vector<double> reference{1, 2, 3};
  const Bound tolerance{0.1, 0.2, "test"};
  const auto judge = [&](double third) {
    return JudgeTensor(reference, std::vector<double>{1, 2, third}, tolerance, "m", {{"row", 5}});
  };
  EXPECT_EQ(judge(3).verdict, Verdict::kMatch);
  EXPECT_EQ(Headroom(judge(3)), 0);
  EXPECT_EQ(judge(3).worst, Place());
  EXPECT_EQ(judge(3.05).verdict, Verdict::kMatch);
  EXPECT_NEAR(Headroom(judge(3.05)), 0.5, 1e-9);
  EXPECT_EQ(judge(3.15).verdict, Verdict::kDrift);
  EXPECT_EQ(judge(3.25).verdict, Verdict::kWrong);
  EXPECT_EQ(judge(3.25).worst, (Place{{"row", 5}, {"element", 2}}));
  EXPECT_EQ(judge(3.25).bound.from.str(), "test");
}

TEST(JudgeTensor, NonFiniteComesFirstWhereverItStands) {
  const std::vector<double> reference{1, 2, 3};
  const Bound any = Bound::Fixed(1e9, "anything");
  for (const double bad : {kNan, kInf, -kInf})
    for (std::size_t at = 0; at < 3; ++at) {
      std::vector<double> candidate = reference;
      candidate[at] = bad;
      const Judgement j = JudgeTensor(reference, candidate, any, "m", "r");
      EXPECT_EQ(j.verdict, Verdict::kWrong) << bad << " at " << at;
      EXPECT_EQ(j.worst.ToString(), "r element " + std::to_string(at));
      EXPECT_NE(j.fault.find("not finite"), std::string::npos) << j.fault;
    }
}

TEST(JudgeTensor, IsVoidWhenItProvesNothing) {
  const Bound any = Bound::Fixed(1, "");
  EXPECT_EQ(JudgeTensor({}, {}, any, "m", "r").verdict, Verdict::kVoid);
  EXPECT_EQ(JudgeTensor(std::vector<double>{kNan}, std::vector<double>{1}, any, "m", "r").verdict, Verdict::kVoid);
  EXPECT_THROW(JudgeTensor(std::vector<double>{1}, {}, any, "m", "r"), InputError);
}

TEST(JudgeTensor, RelativeErrorIsToTheLargestReference) {
  const std::vector<double> reference{100, 0.001}, candidate{100, 0.002};
  EXPECT_EQ(JudgeTensor(reference, candidate, Bound::Fixed(1e-4, ""), "m", "r", Measure::kRelative).verdict,
            Verdict::kMatch);
  EXPECT_EQ(JudgeTensor(reference, candidate, Bound::Fixed(1e-4, ""), "m", "r").verdict, Verdict::kWrong);
  const std::vector<double> negative{-100, 0.001}, off{-100, 0.002};
  const Judgement judged = JudgeTensor(negative, off, Bound::Fixed(1e-4, ""), "m", "r", Measure::kRelative);
  EXPECT_NEAR(judged.value, 1e-5, 1e-9) << "largest by magnitude";
}

TEST(JudgeBits, SeesOneUlpZeroSignsAndNanPayloads) {
  const std::vector<float> expected{1.0f, 0.0f, std::nanf("1")};
  EXPECT_EQ(JudgeBits(expected, expected, "r").verdict, Verdict::kMatch);
  std::vector<float> found = expected;
  found[0] = std::nextafter(1.0f, 2.0f);
  EXPECT_EQ(JudgeBits(expected, found, "r").verdict, Verdict::kWrong);
  EXPECT_EQ(JudgeBits(expected, found, "r").value, 1);
  found = expected, found[1] = -0.0f;
  EXPECT_EQ(JudgeBits(expected, found, "r").worst.ToString(), "r element 1");
  found = expected, found[2] = std::nanf("2");
  EXPECT_EQ(JudgeBits(expected, found, "r").worst.ToString(), "r element 2");
  EXPECT_EQ(JudgeBits(std::span<const float>{}, {}, "r").verdict, Verdict::kVoid);
}

TEST(JudgeBits, SeesWhatAFloatWouldHide) {
  const std::vector<double> expected{1.0, 2.0}, found{1.0, std::nextafter(2.0, 3.0)};
  EXPECT_EQ(JudgeBits(expected, expected, "r").verdict, Verdict::kMatch);
  EXPECT_EQ(JudgeBits(expected, found, "r").verdict, Verdict::kWrong);
  EXPECT_EQ(JudgeBits(expected, found, "r").value, 1) << "less than a float32 step counts as one";
}

// What is within a calibrated quantile may leave it once in a thousand; what has a stated figure may not at all.
TEST(JudgeTensor, OnlyACalibratedBoundExpectsDrift) {
  const std::vector<double> one{1};
  EXPECT_NEAR(JudgeTensor(one, one, {0.1, 0.2, ""}, "m", "r").soft_probability, 0.001, 1e-12);
  EXPECT_EQ(JudgeTensor(one, one, Bound::Fixed(0.1, ""), "m", "r").soft_probability, 0);
}

TEST(UlpDistance, CountsSteps) {
  EXPECT_EQ(UlpDistance(1.0f, 1.0f), 0);
  EXPECT_EQ(UlpDistance(0.0f, -0.0f), 1);
  EXPECT_EQ(UlpDistance(std::numeric_limits<float>::denorm_min(), -std::numeric_limits<float>::denorm_min()), 3);
  EXPECT_EQ(UlpDistance(2.0f, std::nextafter(2.0f, 0.0f)), 1);
}

}  // namespace
}  // namespace assay
