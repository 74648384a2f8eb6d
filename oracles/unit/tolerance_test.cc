#include "oracles/compare/tolerance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/random.h"
#include "oracles/compare/logits.h"

namespace assay {
namespace {

TEST(Quantile, IsTheNearestRank) {
  std::vector<double> v(1000);
  std::iota(v.begin(), v.end(), 1);
  EXPECT_EQ(Quantile(v, 0.999), 999);
  EXPECT_EQ(Quantile(v, 0.5), 500);
  EXPECT_EQ(Quantile(v, 1.0), 1000);
  EXPECT_EQ(Quantile({7, 3}, 0.999), 7);
  EXPECT_THROW(Quantile({}, 0.5), InputError);
}

// A made-up decoder: logits of the given step, and the same with noise of standard deviation `sigma`.
std::vector<double> Logits(std::uint64_t step, double sigma = 0, std::uint64_t noise = 1) {
  std::vector<double> out(64);
  for (std::uint64_t i = 0; i < out.size(); ++i)
    out[i] = 4 * RandomNormalish(step, i) + sigma * RandomNormalish(1000 * noise + step, i);
  return out;
}

Calibration Calibrated(double sigma) {
  Calibrator calibrator;
  for (std::uint64_t step = 0; step < 500; ++step) calibrator.Add(Logits(step), Logits(step, sigma));
  return calibrator.Finish("made up");
}

TEST(Calibration, RecoversTheNoise) {
  const Calibration c = Calibrated(0.01);
  EXPECT_NEAR(c.typical_rms, 0.01, 0.001);
  EXPECT_GT(c.max, 0.025);
  EXPECT_LT(c.max, 0.035);
  EXPECT_EQ(c.rows, 500);
  EXPECT_EQ(c.provenance, "made up, 500 rows");
}

Verdict JudgeNoise(double sigma) {
  Tally tally;
  LogitJudge judge(LogitTolerance::From(Calibrated(0.01)), tally);
  for (std::uint64_t step = 0; step < 300; ++step) {
    const std::vector<double> reference = Logits(step), candidate = Logits(step, sigma, 7);
    judge.Add({.reference_raw = reference, .candidate_raw = candidate}, "r");
  }
  judge.Finish();
  Verdict worst = Verdict::kMatch;
  for (const Judgement& j : tally.Finish()) worst = Worse(worst, j.verdict);
  return worst;
}

TEST(Calibration, AdmitsTheTwinsNoiseAndRefusesMore) {
  EXPECT_NE(JudgeNoise(0.010), Verdict::kWrong);
  EXPECT_NE(JudgeNoise(0.015), Verdict::kWrong);
  EXPECT_EQ(JudgeNoise(0.030), Verdict::kWrong) << "drift over budget";
  EXPECT_EQ(JudgeNoise(0.100), Verdict::kWrong);
}

TEST(Calibration, RefusesEmptyAndNonFinite) {
  Calibrator calibrator;
  EXPECT_THROW(calibrator.Finish("none"), InputError);
  EXPECT_THROW(calibrator.Add({}, {}), InputError);
  const std::vector<double> one{1}, nan{std::numeric_limits<double>::quiet_NaN()};
  EXPECT_THROW(calibrator.Add(one, nan), InputError);
  EXPECT_THROW(calibrator.Add(nan, one), InputError);
}

// Sixty-four logits of standard deviation 4: noise of 3 on each may turn round far more than ten of them.
TEST(LogitTolerance, DecidesNothingWhereNoiseIsAsLargeAsTheLogits) {
  const LogitTolerance narrow = LogitTolerance::From(Calibrated(0.1)), wide = LogitTolerance::From(Calibrated(3));
  const auto judged = [&](const LogitTolerance& tolerance, double error) {
    Tally tally;
    LogitJudge judge(tolerance, tally);
    std::vector<double> reference = Logits(1), candidate = Logits(1);
    EXPECT_EQ(Decides(reference, tolerance), &tolerance == &narrow);
    candidate[5] += error;
    judge.Add({.reference_raw = reference, .candidate_raw = candidate}, "r");
    judge.Finish();
    EXPECT_EQ(judge.argmax_judged(), &tolerance == &narrow ? 1 : 0);
    return tally.Finish();
  };
  const auto asks = [](const std::vector<Judgement>& all, const char* metric) {
    return std::any_of(all.begin(), all.end(), [&](const Judgement& j) { return j.metric == metric; });
  };
  EXPECT_TRUE(asks(judged(narrow, 0), "argmax"));
  for (const char* metric : {"argmax", "argmax_budget"}) EXPECT_FALSE(asks(judged(wide, 0), metric)) << metric;
  // Errors are refused all the same.
  for (const double error : {100.0, std::numeric_limits<double>::quiet_NaN()}) {
    const std::vector<Judgement> all = judged(wide, error);
    EXPECT_TRUE(std::any_of(all.begin(), all.end(), [](const Judgement& j) { return j.verdict == Verdict::kWrong; }))
        << error;
  }
}

TEST(LogitTolerance, NeverFallsBelowTheResolutionOfFloat32) {
  Calibration c = Calibrated(0);
  EXPECT_EQ(c.max, 0);
  EXPECT_GT(LogitTolerance::From(c).max_abs.soft, 0);
  EXPECT_LT(LogitTolerance::From(c).max_abs.soft, 1e-4);
}

// The factors of the tolerance model, as numbers.
TEST(LogitTolerance, FollowsFromACalibration) {
  Calibration calibration;
  calibration.rows = 1;
  calibration.max = calibration.largest = calibration.reference_max = 1;
  calibration.rms = 0.5;
  calibration.typical_rms = 0.25;
  calibration.kl = 0.125;
  calibration.provenance = "made up";
  const LogitTolerance found = LogitTolerance::From(calibration);
  EXPECT_EQ(found.max_abs.soft, 2);
  EXPECT_EQ(found.max_abs.hard, 4);
  EXPECT_EQ(found.rms.soft, 1);
  EXPECT_EQ(found.rms.hard, 2);
  EXPECT_EQ(found.tie, 2);
  EXPECT_EQ(found.sigma, 0.5);
  EXPECT_EQ(found.mean_kl, 0.5);
  EXPECT_EQ(found.Between().soft, 4) << "each side may be off by as much";
  EXPECT_EQ(found.Between().hard, 8);
}

// A row in which the twin itself errs more is excused up to a wider hard bound, and still counts as drift.
TEST(LogitTolerance, AtAnUnluckyRowOnlyTheHardBoundWidens) {
  const LogitTolerance wider = LogitTolerance::Fixed(0.1, 0.2, "").At(3);
  EXPECT_EQ(wider.max_abs.soft, 0.1);
  EXPECT_NEAR(wider.max_abs.hard, 0.3, 1e-12);
  EXPECT_NEAR(wider.tie, 0.3, 1e-12);
  EXPECT_EQ(LogitTolerance::Fixed(0.1, 0.2, "").At(0.5).max_abs.hard, 0.1) << "never narrower";
}

}  // namespace
}  // namespace assay
