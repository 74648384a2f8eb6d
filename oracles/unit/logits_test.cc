// Rows of logits and free-running texts: each kind of error is injected and must be seen.
#include "oracles/compare/logits.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "oracles/unit/not_finite.h"

namespace assay {
namespace {

LogitTolerance Calibrated() {
  LogitTolerance tolerance = LogitTolerance::Fixed(0.1, 1e-3, "");
  tolerance.max_abs = tolerance.rms = {0.1, 0.2, "test"};
  return tolerance;
}

// A judge and the tally that it fills.
class Rows {
 public:
  explicit Rows(const LogitTolerance& tolerance, const std::string& prefix = "") : judge_(tolerance, tally_, prefix) {}

  void Add(const std::vector<double>& reference, const std::vector<double>& candidate, double twin_error_ratio = 1,
           const Place& where = "r") {
    judge_.Add({.reference_raw = reference, .candidate_raw = candidate, .twin_error_ratio = twin_error_ratio}, where);
  }
  LogitJudge& judge() { return judge_; }

  // Of what was added so far; the mean comes with Finish.
  Judgement Metric(const std::string& metric) const {
    for (const Judgement& j : tally_.Finish())
      if (j.metric == metric) return j;
    ADD_FAILURE() << "no judgement " << metric;
    return {};
  }
  Judgement Mean() {
    judge_.Finish();
    return Metric("mean_kl");
  }
  std::vector<Judgement> All() const { return tally_.Finish(); }

 private:
  Tally tally_;
  LogitJudge judge_;
};

TEST(LogitJudge, NoRowIsVoid) {
  Rows rows(LogitTolerance::Fixed(1, 1, ""));
  rows.judge().Finish();
  ASSERT_EQ(rows.All().size(), 1u);
  EXPECT_EQ(rows.All()[0].verdict, Verdict::kVoid);
  EXPECT_EQ(rows.All()[0].metric, "rows");
}

TEST(LogitJudge, RefusesRowsOfOneSideAndOfOtherSizes) {
  Rows rows(LogitTolerance::Fixed(1, 1, ""));
  EXPECT_THROW(rows.Add({}, {}), InputError);
  EXPECT_THROW(rows.Add({1, 2}, {}), InputError);
  EXPECT_THROW(rows.Add({1, 2}, {1, 2, 3}), InputError);
}

TEST(LogitJudge, NamesTheWorstRowAndTheFirstOutside) {
  Rows rows(LogitTolerance::Fixed(0.01, 1e-3, ""));
  const std::vector<double> reference{5, 1, 0}, good{5.001, 1, 0}, bad{5.4, 1, 0}, worse{5.5, 1, 0};
  rows.Add(reference, good, 1, {{"step", 0}});
  EXPECT_EQ(rows.Metric("max_abs_logit_raw").verdict, Verdict::kMatch);
  rows.Add(reference, bad, 1, {{"step", 1}});
  rows.Add(reference, worse, 1, {{"step", 2}});
  rows.Add(reference, good, 1, {{"step", 3}});
  const Judgement found = rows.Metric("max_abs_logit_raw");
  EXPECT_EQ(found.verdict, Verdict::kWrong);
  EXPECT_EQ(found.worst.ToString(), "step 2 element 0");
  ASSERT_TRUE(found.first_outside);
  EXPECT_EQ(found.first_outside->ToString(), "step 1 element 0");
  EXPECT_EQ(found.comparisons, 4);
  EXPECT_EQ(rows.Metric("argmax").verdict, Verdict::kMatch);
}

TEST(LogitJudge, TheSoftcapHidesWhatRawLogitsShow) {
  const auto cap = [](std::vector<double> z) {
    for (double& v : z) v = 30 * std::tanh(v / 30);
    return z;
  };
  const std::vector<double> raw{120, 3}, blown{150, 3};
  Rows rows(LogitTolerance::Fixed(0.05, 1e-3, ""));
  const std::vector<double> a = cap(raw), b = cap(blown);
  rows.judge().Add({.reference_raw = raw, .candidate_raw = blown, .reference_capped = a, .candidate_capped = b}, "r");
  EXPECT_EQ(rows.Metric("max_abs_logit_capped").verdict, Verdict::kMatch);
  EXPECT_EQ(rows.Metric("max_abs_logit_raw").verdict, Verdict::kWrong);
}

TEST(LogitJudge, PrefixesEveryMetric) {
  Rows rows(LogitTolerance::Fixed(0.1, 0.1, ""), "greedy_");
  rows.Add({1, 0}, {1, 0});
  rows.judge().Finish();
  EXPECT_EQ(rows.All().size(), 5u);
  for (const Judgement& j : rows.All()) EXPECT_TRUE(j.metric.starts_with("greedy_")) << j.metric;
}

TEST(LogitJudge, ManyWaivableFlipsExceedTheBudget) {
  LogitTolerance tolerance = LogitTolerance::Fixed(0.1, 0.1, "");
  tolerance.sigma = 0.005;  // a gap of 0.05 should flip with probability 1e-12
  Rows rows(tolerance);
  for (int i = 0; i < 3; ++i) rows.Add({1.05, 1.0, 0}, {1.0, 1.04, 0});
  EXPECT_EQ(rows.Metric("argmax").verdict, Verdict::kTieFlip);
  EXPECT_EQ(rows.Metric("argmax_budget").verdict, Verdict::kWrong);
  EXPECT_EQ(rows.Metric("argmax_budget").value, 3);
}

TEST(LogitJudge, FlipsThatNoiseExplainsStayInTheBudget) {
  Rows rows(LogitTolerance::Fixed(0.1, 0.1, ""));  // sigma 0.05: a gap of 0.05 flips once in four
  for (int i = 0; i < 3; ++i) rows.Add({1.05, 1.0, 0}, {1.0, 1.04, 0});
  EXPECT_EQ(rows.Metric("argmax_budget").verdict, Verdict::kMatch);
}

TEST(LogitJudge, DriftOfEveryMetricIsGatedByItsBudget) {
  const std::vector<double> reference{9, 1}, drifted{9.15, 1};
  Rows few(Calibrated()), many(Calibrated());
  few.Add(reference, drifted);
  for (int i = 0; i < 999; ++i) few.Add(reference, reference);
  EXPECT_EQ(few.Metric("max_abs_logit_raw").verdict, Verdict::kDrift);
  EXPECT_EQ(few.Metric("max_abs_logit_raw_budget").verdict, Verdict::kMatch);
  for (int i = 0; i < 100; ++i) many.Add(reference, drifted);
  EXPECT_EQ(many.Metric("max_abs_logit_raw_budget").verdict, Verdict::kWrong);
  // A row whose logits are all 0.15 off drifts in its RMS, one whose best two part by 0.3 drifts in KL.
  Rows rms(Calibrated()), kl(Calibrated());
  for (int i = 0; i < 100; ++i) rms.Add({9, 1}, {9.15, 1.15});
  for (int i = 0; i < 100; ++i) kl.Add({0, 0}, {0.15, -0.15});
  EXPECT_EQ(rms.Metric("rms_logit").verdict, Verdict::kDrift);
  EXPECT_EQ(rms.Metric("rms_logit_budget").verdict, Verdict::kWrong);
  EXPECT_EQ(kl.Metric("kl").verdict, Verdict::kDrift);
  EXPECT_EQ(kl.Metric("kl_budget").verdict, Verdict::kWrong);
}

TEST(LogitJudge, WhereTheTwinIsOffARowMayBeToo) {
  const std::vector<double> reference{9, 1}, off{9.5, 1};
  Rows plain(Calibrated()), conditioned(Calibrated()), further(Calibrated());
  plain.Add(reference, off);
  conditioned.Add(reference, off, 3);
  further.Add(reference, off, 2);
  for (Rows* rows : {&plain, &conditioned, &further})
    for (int i = 0; i < 50; ++i) rows->Add(reference, reference);
  for (const char* metric : {"max_abs_logit_raw", "rms_logit", "kl"})
    EXPECT_LE(conditioned.Metric(metric).verdict, Verdict::kDrift) << metric;
  EXPECT_EQ(conditioned.Metric("max_abs_logit_raw").verdict, Verdict::kDrift);
  EXPECT_EQ(conditioned.Metric("max_abs_logit_raw_budget").verdict, Verdict::kMatch);
  EXPECT_EQ(plain.Metric("max_abs_logit_raw").verdict, Verdict::kWrong);
  EXPECT_EQ(plain.Metric("rms_logit").verdict, Verdict::kWrong);
  EXPECT_EQ(further.Metric("max_abs_logit_raw").verdict, Verdict::kWrong);
  // Drift all the same: more of such rows than one in a thousand are not waved through.
  for (int i = 0; i < 3; ++i) conditioned.Add(reference, off, 3);
  EXPECT_EQ(conditioned.Metric("max_abs_logit_raw_budget").verdict, Verdict::kWrong);
  EXPECT_LE(conditioned.Mean().verdict, Verdict::kDrift);
}

TEST(LogitJudge, NanRowIsWrongAndKeepsOtherMetricsFinite) {
  Rows rows(LogitTolerance::Fixed(0.1, 1e-3, ""));
  rows.Add({9, 1}, {9, kNan});
  rows.Add({9, 1}, {9, 1});
  EXPECT_EQ(rows.Metric("max_abs_logit_raw").verdict, Verdict::kWrong);
  EXPECT_EQ(rows.Metric("argmax").verdict, Verdict::kWrong) << "the argmax is equal, but of a row with NaN";
  EXPECT_TRUE(std::isfinite(rows.Mean().value));
}

// Twelve logits within what noise may turn round say nothing of each other; a thirteenth far below changes nothing.
TEST(LogitJudge, CountsTheRowsOnWhichTheArgmaxWasJudged) {
  Rows rows(LogitTolerance::Fixed(0.05, 0.1, ""));
  std::vector<double> level(12, 1.0), decisive = level;
  for (std::size_t i = 0; i < level.size(); ++i) level[i] += 0.001 * static_cast<double>(i);
  decisive[0] = 2;
  rows.Add(level, level);
  EXPECT_EQ(rows.judge().argmax_judged(), 0);
  for (const Judgement& j : rows.All()) EXPECT_NE(j.metric, "argmax") << "what decides nothing is no argmax check";
  rows.Add(decisive, decisive);
  EXPECT_EQ(rows.judge().rows(), 2);
  EXPECT_EQ(rows.judge().argmax_judged(), 1);
  EXPECT_EQ(rows.Metric("argmax").comparisons, 1);
}

// One row 0.09 off where 0.1 may be, but the mean over rows may be next to nothing.
TEST(LogitJudge, TheMeanHasABoundOfItsOwn) {
  LogitTolerance tolerance = LogitTolerance::Fixed(0.1, 1e-3, "");
  tolerance.mean_kl = 1e-6;
  Rows rows(tolerance);
  rows.Add({1, 0}, {1.09, 0});
  EXPECT_EQ(rows.Metric("kl").verdict, Verdict::kMatch);
  EXPECT_EQ(rows.Mean().verdict, Verdict::kWrong);
}

TEST(LogitJudge, ExcusedRowsStayOutOfTheMean) {
  LogitTolerance tolerance = Calibrated();
  tolerance.mean_kl = 1e-6;
  Rows rows(tolerance);
  rows.Add({1, 0}, {1, 0});
  rows.Add({1, 0}, {1.5, 0}, 3);
  EXPECT_EQ(rows.Mean().verdict, Verdict::kMatch);
}

TEST(JudgeFreeRunning, ReportsTheFirstFlip) {
  const std::vector<std::int32_t> text{4, 5, 6, 7}, flip{4, 5, 9, 9}, shorter{4, 5};
  const std::vector<double> gap{3, 3, 0.01, 3};
  EXPECT_EQ(JudgeFreeRunning(text, text, gap, 0.1, 0, "s").verdict, Verdict::kMatch);
  const Judgement tie = JudgeFreeRunning(text, flip, gap, 0.1, 0, "s");
  EXPECT_EQ(tie.verdict, Verdict::kTieFlip);
  EXPECT_EQ(tie.value, 0.01);
  EXPECT_EQ(tie.worst.ToString(), "s step 2");
  EXPECT_EQ(JudgeFreeRunning(text, flip, gap, 0.001, 0, "s").verdict, Verdict::kWrong);
  EXPECT_EQ(JudgeFreeRunning(text, shorter, gap, 0.1, 0, "s").verdict, Verdict::kWrong);
  EXPECT_EQ(JudgeFreeRunning({}, {}, {}, 0.1, 0, "s").verdict, Verdict::kVoid);
}

TEST(JudgeFreeRunning, ExcusesAFlipWithinTheErrorOfBothLogits) {
  const std::vector<std::int32_t> text{4, 5, 6}, flip{4, 5, 9};
  const std::vector<double> gap{3, 3, 0.2};
  EXPECT_EQ(JudgeFreeRunning(text, flip, gap, 0.1, 0, "s").verdict, Verdict::kTieFlip);
  EXPECT_EQ(JudgeFreeRunning(text, flip, gap, 0.099, 0, "s").verdict, Verdict::kWrong);
}

// Texts that part are counted against what noise explains, like every other soft verdict.
TEST(JudgeFreeRunning, ExpectsAFlipAsOftenAsNoiseMakesOne) {
  const std::vector<std::int32_t> text{4, 5}, flip{4, 6};
  const std::vector<double> gap{0.1, 0.1};
  EXPECT_EQ(JudgeFreeRunning(text, flip, gap, 0.1, 0, "s").soft_probability, 0);
  const double once = FlipProbability(0.1, 0.1);
  EXPECT_NEAR(JudgeFreeRunning(text, flip, gap, 0.1, 0.1, "s").soft_probability, 1 - (1 - once) * (1 - once), 1e-12);
  Tally strict;
  strict.Add(JudgeFreeRunning(text, flip, gap, 0.1, 0, "s"));
  EXPECT_EQ(strict.Finish().back().metric, "greedy_text_budget");
  EXPECT_EQ(strict.Finish().back().verdict, Verdict::kWrong);
}

}  // namespace
}  // namespace assay
