#include "oracles/compare/stream.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "engine/base/check.h"
#include "oracles/compare/tensors.h"

namespace assay {

void StreamJudge::AddMetric(const Judgement& judgement) {
  const auto same = [&](const Judgement& j) { return j.metric == judgement.metric; };
  const auto known = std::find_if(worst_.begin(), worst_.end(), same);
  if (known == worst_.end())
    worst_.push_back(judgement);
  else if (&Worse(*known, judgement) == &judgement)
    *known = judgement;
}

void StreamJudge::Add(const LogitRow& row, std::string_view where, Neighbours neighbours) {
  const bool raw = !row.reference_raw.empty() || !row.candidate_raw.empty();
  const bool capped = !row.reference_capped.empty() || !row.candidate_capped.empty();
  Require(raw || capped, "{}: a row without logits", where);
  const LogitTolerance tolerance = tolerance_.At(row.twin_error_ratio);
  Judgement error;
  if (capped)
    error = JudgeTensor(row.reference_capped, row.candidate_capped, tolerance.max_abs, "max_abs_logit_capped", where),
    AddMetric(error);
  if (raw)
    error = JudgeTensor(row.reference_raw, row.candidate_raw, tolerance.max_abs, "max_abs_logit_raw", where),
    AddMetric(error);
  ++rows_;
  if (error.verdict == Verdict::kDrift) ++drifts_;

  const std::span<const double> reference = raw ? row.reference_raw : row.reference_capped;
  const std::span<const double> candidate = raw ? row.candidate_raw : row.candidate_capped;
  if (tolerance.decides) {
    const Judgement decision = JudgeArgmax(reference, candidate, tolerance, where, neighbours);
    AddMetric(decision);
    if (decision.verdict == Verdict::kTieFlip) ++flips_;
  }
  if (error.verdict == Verdict::kVoid || !(error.headroom < std::numeric_limits<double>::infinity())) return;
  expected_flips_ += FlipProbability(TopGap(reference), tolerance_.sigma);
  AddDistribution(tolerance, reference, candidate, where);
}

void StreamJudge::AddDistribution(const LogitTolerance& tolerance, std::span<const double> reference,
                                  std::span<const double> candidate, std::string_view where) {
  const auto judge = [&](double value, const Tolerance& allowed, const char* metric) {
    AddMetric({.verdict = Place(value, allowed),
               .value = value,
               .bound = allowed.calibrated,
               .headroom = Headroom(value, allowed.calibrated),
               .metric = metric,
               .worst = std::string(where),
               .detail = fmt::format("{:.3g}, allowed {:.3g}", value, allowed.calibrated),
               .bound_from = allowed.from});
  };
  judge(Compare(reference, candidate).rms, tolerance.rms, "rms_logit");
  // Rounding of the sums themselves leaves some 1e-16 of a KL that is exactly 0.
  const double floor = 1e-14, soft = tolerance.max_abs.calibrated, hard = tolerance.max_abs.hard;
  const double kl = KlDivergence(reference, candidate);
  judge(kl, {soft * soft / 2 + floor, hard * hard / 2 + floor, tolerance.max_abs.from}, "kl");
  // The mean is over rows that the arithmetic gets as right as the calibration's.
  if (hard > tolerance_.max_abs.hard) return;
  kl_sum_ += kl;
  ++distributions_;
}

std::vector<Judgement> StreamJudge::Finish() const {
  if (rows_ == 0) return {{.verdict = Verdict::kVoid, .metric = "rows", .detail = "no row was compared"}};
  std::vector<Judgement> all = worst_;
  if (tolerance_.decides) all.push_back(JudgeBudget(flips_, expected_flips_, rows_, "flip_budget"));
  // The tolerance is a 0.999 quantile times kappa: more than one row in a thousand beyond it is not noise.
  all.push_back(JudgeBudget(drifts_, (1 - kCalibrationQuantile) * rows_, rows_, "drift_budget"));
  if (distributions_ > 0) {
    const double mean = kl_sum_ / distributions_, bound = tolerance_.mean_kl + 1e-14;
    all.push_back({.verdict = mean <= bound ? Verdict::kMatch : Verdict::kWrong,
                   .value = mean,
                   .bound = bound,
                   .headroom = Headroom(mean, bound),
                   .metric = "mean_kl",
                   .worst = {},
                   .detail = fmt::format("over {} rows", distributions_),
                   .bound_from = tolerance_.max_abs.from});
  }
  return all;
}

Judgement JudgeFreeRunning(std::span<const std::int32_t> expected, std::span<const std::int32_t> found,
                           std::span<const double> gap, double eps, std::string_view where) {
  Judgement j{.bound = 2 * eps, .metric = "first_flip_step", .bound_from = "gap of the reference at the first flip"};
  if (expected.empty() || expected.size() != found.size()) {
    j.verdict = expected.empty() && found.empty() ? Verdict::kVoid : Verdict::kWrong;
    j.detail = fmt::format("{}: expected {} tokens, found {}", where, expected.size(), found.size());
    return j;
  }
  const auto step =
      static_cast<std::size_t>(std::mismatch(expected.begin(), expected.end(), found.begin()).first - expected.begin());
  j.value = static_cast<double>(step);
  if (step == expected.size()) {
    j.verdict = Verdict::kMatch;
    j.detail = fmt::format("{} tokens equal", step);
    return j;
  }
  Require(step < gap.size(), "{}: no reference gap for step {}", where, step);
  j.verdict = gap[step] <= j.bound ? Verdict::kTieFlip : Verdict::kWrong;
  j.headroom = Headroom(gap[step], j.bound);
  j.worst = fmt::format("{} step {} token {}", where, step, found[step]);
  j.detail = fmt::format("expected token {}, found {}; the reference's gap is {:.3g}, a tie is at most {:.3g}",
                         expected[step], found[step], gap[step], j.bound);
  return j;
}

}  // namespace assay
