// Verdicts and the comparison of arrays: each kind of error is injected and must be seen.
#include "oracles/compare/verdict.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "engine/base/check.h"
#include "oracles/compare/stream.h"
#include "oracles/compare/tensors.h"

namespace assay {
namespace {

const double kNan = std::numeric_limits<double>::quiet_NaN();
const double kInf = std::numeric_limits<double>::infinity();

TEST(Verdicts, WorseIsBySeverityThenHeadroom) {
  EXPECT_EQ(Worse(Verdict::kTieFlip, Verdict::kDrift), Verdict::kTieFlip);
  EXPECT_EQ(Worse(Verdict::kVoid, Verdict::kWrong), Verdict::kWrong);
  const Judgement close{.verdict = Verdict::kMatch, .headroom = 0.9}, far{.verdict = Verdict::kMatch, .headroom = 0.1};
  EXPECT_EQ(&Worse(close, far), &close);
  EXPECT_EQ(&Worse(far, close), &close);
  const Judgement drift{.verdict = Verdict::kDrift, .headroom = 0.0};
  EXPECT_EQ(&Worse(close, drift), &drift);
  EXPECT_EQ(Name(Verdict::kTieFlip), "TIE_FLIP");
}

TEST(JudgeTensor, PlacesErrorsBetweenTheBounds) {
  const std::vector<double> reference{1, 2, 3};
  const Tolerance tolerance{0.1, 0.2, "test"};
  const auto judge = [&](double third) {
    return JudgeTensor(reference, std::vector<double>{1, 2, third}, tolerance, "m", "row 5");
  };
  EXPECT_EQ(judge(3).verdict, Verdict::kMatch);
  EXPECT_EQ(judge(3).headroom, 0);
  EXPECT_EQ(judge(3).worst, "");
  EXPECT_EQ(judge(3.05).verdict, Verdict::kMatch);
  EXPECT_NEAR(judge(3.05).headroom, 0.5, 1e-9);
  EXPECT_EQ(judge(3.15).verdict, Verdict::kDrift);
  EXPECT_EQ(judge(3.25).verdict, Verdict::kWrong);
  EXPECT_EQ(judge(3.25).worst, "row 5 element 2");
  EXPECT_EQ(judge(3.25).bound_from, "test");
}

TEST(JudgeTensor, NonFiniteComesFirstWhereverItStands) {
  const std::vector<double> reference{1, 2, 3};
  const Tolerance any = Tolerance::Fixed(1e9, "anything");
  for (const double bad : {kNan, kInf, -kInf})
    for (std::size_t at = 0; at < 3; ++at) {
      std::vector<double> candidate = reference;
      candidate[at] = bad;
      const Judgement j = JudgeTensor(reference, candidate, any, "m", "r");
      EXPECT_EQ(j.verdict, Verdict::kWrong) << bad << " at " << at;
      EXPECT_EQ(j.worst, "r element " + std::to_string(at));
    }
}

TEST(JudgeTensor, IsVoidWhenItProvesNothing) {
  const Tolerance any = Tolerance::Fixed(1, "");
  EXPECT_EQ(JudgeTensor({}, {}, any, "m", "r").verdict, Verdict::kVoid);
  EXPECT_EQ(JudgeTensor(std::vector<double>{kNan}, std::vector<double>{1}, any, "m", "r").verdict, Verdict::kVoid);
  EXPECT_THROW(JudgeTensor(std::vector<double>{1}, {}, any, "m", "r"), InputError);
}

TEST(JudgeTensor, RelativeErrorIsToTheLargestReference) {
  const std::vector<double> reference{100, 0.001}, candidate{100, 0.002};
  EXPECT_EQ(JudgeTensor(reference, candidate, Tolerance::Fixed(1e-4, ""), "m", "r", Measure::kRelative).verdict,
            Verdict::kMatch);
  EXPECT_EQ(JudgeTensor(reference, candidate, Tolerance::Fixed(1e-4, ""), "m", "r").verdict, Verdict::kWrong);
}

TEST(JudgeBits, SeesOneUlpZeroSignsAndNanPayloads) {
  const std::vector<float> expected{1.0f, 0.0f, std::nanf("1")};
  EXPECT_EQ(JudgeBits(expected, expected, "r").verdict, Verdict::kMatch);
  std::vector<float> found = expected;
  found[0] = std::nextafter(1.0f, 2.0f);
  EXPECT_EQ(JudgeBits(expected, found, "r").verdict, Verdict::kWrong);
  EXPECT_EQ(JudgeBits(expected, found, "r").value, 1);
  found = expected, found[1] = -0.0f;
  EXPECT_EQ(JudgeBits(expected, found, "r").worst, "r element 1");
  found = expected, found[2] = std::nanf("2");
  EXPECT_EQ(JudgeBits(expected, found, "r").worst, "r element 2");
  EXPECT_EQ(JudgeBits(std::span<const float>{}, {}, "r").verdict, Verdict::kVoid);
}

TEST(UlpDistance, CountsSteps) {
  EXPECT_EQ(UlpDistance(1.0f, 1.0f), 0);
  EXPECT_EQ(UlpDistance(0.0f, -0.0f), 1);
  EXPECT_EQ(UlpDistance(std::numeric_limits<float>::denorm_min(), -std::numeric_limits<float>::denorm_min()), 3);
  EXPECT_EQ(UlpDistance(2.0f, std::nextafter(2.0f, 0.0f)), 1);
}

// --- streams ---

Judgement Metric(const StreamJudge& judge, const std::string& metric) {
  for (const Judgement& j : judge.Finish())
    if (j.metric == metric) return j;
  ADD_FAILURE() << "no judgement " << metric;
  return {};
}

TEST(StreamJudge, NoRowIsVoid) {
  const std::vector<Judgement> all = StreamJudge(LogitTolerance::Fixed(1, 1, "")).Finish();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].verdict, Verdict::kVoid);
}

TEST(StreamJudge, NamesTheWorstRow) {
  StreamJudge judge(LogitTolerance::Fixed(0.01, 1e-3, ""));
  const std::vector<double> reference{5, 1, 0}, good{5.001, 1, 0}, bad{5.5, 1, 0};
  judge.Add({.reference_raw = reference, .candidate_raw = good}, "step 0");
  EXPECT_EQ(Metric(judge, "max_abs_logit_raw").verdict, Verdict::kMatch);
  judge.Add({.reference_raw = reference, .candidate_raw = bad}, "step 1");
  judge.Add({.reference_raw = reference, .candidate_raw = good}, "step 2");
  EXPECT_EQ(Metric(judge, "max_abs_logit_raw").verdict, Verdict::kWrong);
  EXPECT_EQ(Metric(judge, "max_abs_logit_raw").worst, "step 1 element 0");
  EXPECT_EQ(Metric(judge, "argmax").verdict, Verdict::kMatch);
}

TEST(StreamJudge, TheSoftcapHidesWhatRawLogitsShow) {
  const auto cap = [](std::vector<double> z) {
    for (double& v : z) v = 30 * std::tanh(v / 30);
    return z;
  };
  const std::vector<double> raw{120, 3}, blown{150, 3};
  StreamJudge judge(LogitTolerance::Fixed(0.05, 1e-3, ""));
  const std::vector<double> a = cap(raw), b = cap(blown);
  judge.Add({.reference_raw = raw, .candidate_raw = blown, .reference_capped = a, .candidate_capped = b}, "r");
  EXPECT_EQ(Metric(judge, "max_abs_logit_capped").verdict, Verdict::kMatch);
  EXPECT_EQ(Metric(judge, "max_abs_logit_raw").verdict, Verdict::kWrong);
}

TEST(StreamJudge, ManyWaivableFlipsExceedTheBudget) {
  LogitTolerance tolerance = LogitTolerance::Fixed(0.1, 0.1, "");
  tolerance.sigma = 0.005;  // a gap of 0.05 should flip with probability 1e-12
  StreamJudge judge(tolerance);
  const std::vector<double> reference{1.05, 1.0, 0}, flipped{1.0, 1.04, 0};
  for (int i = 0; i < 3; ++i) judge.Add({.reference_raw = reference, .candidate_raw = flipped}, "r");
  EXPECT_EQ(Metric(judge, "argmax").verdict, Verdict::kTieFlip);
  EXPECT_EQ(judge.flips(), 3);
  EXPECT_EQ(Metric(judge, "flip_budget").verdict, Verdict::kWrong);
}

TEST(StreamJudge, DriftIsGatedByItsBudget) {
  LogitTolerance tolerance = LogitTolerance::Fixed(0.1, 1e-3, "");
  tolerance.max_abs = tolerance.rms = {0.1, 0.2, "test"};
  const std::vector<double> reference{9, 1}, drifted{9.15, 1};
  StreamJudge few(tolerance), many(tolerance);
  few.Add({.reference_raw = reference, .candidate_raw = drifted}, "r");
  for (int i = 0; i < 999; ++i) few.Add({.reference_raw = reference, .candidate_raw = reference}, "r");
  EXPECT_EQ(Metric(few, "max_abs_logit_raw").verdict, Verdict::kDrift);
  EXPECT_EQ(Metric(few, "drift_budget").verdict, Verdict::kMatch);
  for (int i = 0; i < 100; ++i) many.Add({.reference_raw = reference, .candidate_raw = drifted}, "r");
  EXPECT_EQ(Metric(many, "drift_budget").verdict, Verdict::kWrong);
}

TEST(StreamJudge, WhereTheTwinIsOffARowMayBeToo) {
  LogitTolerance tolerance = LogitTolerance::Fixed(0.1, 1e-3, "");
  tolerance.max_abs = tolerance.rms = {0.1, 0.2, "test"};
  const std::vector<double> reference{9, 1}, off{9.5, 1};
  StreamJudge plain(tolerance), conditioned(tolerance), further(tolerance);
  plain.Add({.reference_raw = reference, .candidate_raw = off}, "r");
  conditioned.Add({.reference_raw = reference, .candidate_raw = off, .twin_error_ratio = 3}, "r");
  further.Add({.reference_raw = reference, .candidate_raw = off, .twin_error_ratio = 2}, "r");
  for (StreamJudge* judge : {&plain, &conditioned, &further})
    for (int i = 0; i < 50; ++i) judge->Add({.reference_raw = reference, .candidate_raw = reference}, "r");
  for (const char* metric : {"max_abs_logit_raw", "rms_logit", "kl", "mean_kl"})
    EXPECT_LE(Metric(conditioned, metric).verdict, Verdict::kDrift) << metric;
  EXPECT_EQ(Metric(conditioned, "max_abs_logit_raw").verdict, Verdict::kDrift);
  EXPECT_EQ(Metric(plain, "max_abs_logit_raw").verdict, Verdict::kWrong);
  EXPECT_EQ(Metric(plain, "rms_logit").verdict, Verdict::kWrong);
  EXPECT_EQ(Metric(further, "max_abs_logit_raw").verdict, Verdict::kWrong);
  // Drift all the same: more of such rows than one in a thousand are not waved through.
  for (int i = 0; i < 3; ++i)
    conditioned.Add({.reference_raw = reference, .candidate_raw = off, .twin_error_ratio = 3}, "r");
  EXPECT_EQ(Metric(conditioned, "drift_budget").verdict, Verdict::kWrong);
}

TEST(StreamJudge, NanRowIsWrongAndKeepsOtherMetricsFinite) {
  StreamJudge judge(LogitTolerance::Fixed(0.1, 1e-3, ""));
  const std::vector<double> reference{9, 1}, nan{9, kNan};
  judge.Add({.reference_raw = reference, .candidate_raw = nan}, "r 0");
  judge.Add({.reference_raw = reference, .candidate_raw = reference}, "r 1");
  EXPECT_EQ(Metric(judge, "max_abs_logit_raw").verdict, Verdict::kWrong);
  EXPECT_EQ(Metric(judge, "argmax").verdict, Verdict::kWrong) << "the argmax is equal, but of a row with NaN";
  EXPECT_TRUE(std::isfinite(Metric(judge, "mean_kl").value));
}

TEST(JudgeFreeRunning, ReportsTheFirstFlip) {
  const std::vector<std::int32_t> text{4, 5, 6, 7}, flip{4, 5, 9, 9}, shorter{4, 5};
  const std::vector<double> gap{3, 3, 0.01, 3};
  EXPECT_EQ(JudgeFreeRunning(text, text, gap, 0.1, "s").verdict, Verdict::kMatch);
  const Judgement tie = JudgeFreeRunning(text, flip, gap, 0.1, "s");
  EXPECT_EQ(tie.verdict, Verdict::kTieFlip);
  EXPECT_EQ(tie.value, 2);
  EXPECT_EQ(JudgeFreeRunning(text, flip, gap, 0.001, "s").verdict, Verdict::kWrong);
  EXPECT_EQ(JudgeFreeRunning(text, shorter, gap, 0.1, "s").verdict, Verdict::kWrong);
  EXPECT_EQ(JudgeFreeRunning({}, {}, {}, 0.1, "s").verdict, Verdict::kVoid);
}

// One row 0.09 off where 0.1 may be, but the mean over rows may be next to nothing.
TEST(StreamJudge, TheMeanHasABoundOfItsOwn) {
  LogitTolerance tolerance = LogitTolerance::Fixed(0.1, 1e-3, "");
  tolerance.mean_kl = 1e-6;
  StreamJudge judge(tolerance);
  const std::vector<double> reference{1, 0}, candidate{1.09, 0};
  judge.Add({.reference_raw = reference, .candidate_raw = candidate}, "row");
  EXPECT_EQ(Metric(judge, "kl").verdict, Verdict::kMatch);
  EXPECT_EQ(Metric(judge, "mean_kl").verdict, Verdict::kWrong);
}

TEST(StreamJudge, ExcusedRowsStayOutOfTheMean) {
  LogitTolerance tolerance = LogitTolerance::Fixed(0.1, 1e-3, "");
  tolerance.max_abs = tolerance.rms = {0.1, 0.2, "test"};
  tolerance.mean_kl = 1e-6;
  StreamJudge judge(tolerance);
  const std::vector<double> reference{1, 0}, candidate{1.5, 0};
  judge.Add({.reference_raw = reference, .candidate_raw = reference}, "row 0");
  judge.Add({.reference_raw = reference, .candidate_raw = candidate, .twin_error_ratio = 3}, "row 1");
  EXPECT_EQ(Metric(judge, "mean_kl").verdict, Verdict::kMatch);
}

TEST(JudgeFreeRunning, ExcusesAFlipWithinTheErrorOfBothLogits) {
  const std::vector<std::int32_t> text{4, 5, 6}, flip{4, 5, 9};
  const std::vector<double> gap{3, 3, 0.2};
  EXPECT_EQ(JudgeFreeRunning(text, flip, gap, 0.1, "s").verdict, Verdict::kTieFlip);
  EXPECT_EQ(JudgeFreeRunning(text, flip, gap, 0.099, "s").verdict, Verdict::kWrong);
}

// 0.6 of a neighbour's logits in a row is a leak, though nearer than the neighbour itself.
TEST(JudgeArgmax, SeesALeakThatIsNotWhole) {
  const std::vector<double> own{1.05, 1.00, 0.2, -3}, neighbour{0.2, 1.0, -3, 0.7};
  std::vector<double> mixed(own.size());
  for (std::size_t i = 0; i < own.size(); ++i) mixed[i] = 0.4 * own[i] + 0.6 * neighbour[i];
  const std::vector<std::span<const double>> neighbours{neighbour};
  EXPECT_EQ(JudgeArgmax(own, mixed, LogitTolerance::Fixed(0.05, 0.1, ""), "row", neighbours).verdict, Verdict::kWrong);
}

}  // namespace
}  // namespace assay
