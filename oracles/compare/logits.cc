#include "oracles/compare/logits.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/base/check.h"
#include "oracles/compare/tensors.h"

namespace assay {

void LogitJudge::Put(Judgement judgement) {
  judgement.metric = prefix_ + judgement.metric;
  tally_.Add(judgement);
}

void LogitJudge::Add(const LogitRow& row, const Place& where, Neighbours neighbours) {
  const bool raw = !row.reference_raw.empty() || !row.candidate_raw.empty();
  const bool capped = !row.reference_capped.empty() || !row.candidate_capped.empty();
  Require(raw || capped, "{}: a row without logits", where.ToString());
  const LogitTolerance tolerance = tolerance_.At(row.twin_error_ratio);
  Judgement error;
  const auto put = [&](Judgement judgement) {
    if (row.drift_expected && judgement.soft_probability > 0) judgement.soft_probability = 1;
    error = judgement;
    Put(std::move(judgement));
  };
  if (capped) {
    put(JudgeTensor(row.reference_capped, row.candidate_capped, tolerance.max_abs, "max_abs_logit_capped", where));
  }
  if (raw) {
    put(JudgeTensor(row.reference_raw, row.candidate_raw, tolerance.max_abs, "max_abs_logit_raw", where));
  }
  ++rows_;

  const std::span<const double> reference = raw ? row.reference_raw : row.reference_capped;
  const std::span<const double> candidate = raw ? row.candidate_raw : row.candidate_capped;
  if (Decides(reference, tolerance)) {
    ++argmax_judged_;
    Put(JudgeArgmax(reference, candidate, tolerance, where, neighbours));
  }
  if (error.verdict == Verdict::kVoid || !(error.value < std::numeric_limits<double>::infinity())) return;
  AddDistribution(tolerance, reference, candidate, where, row.drift_expected ? 1 : 1 - kCalibrationQuantile);
}

void LogitJudge::AddDistribution(const LogitTolerance& tolerance, std::span<const double> reference,
                                 std::span<const double> candidate, const Place& where, double drifts) {
  const auto judge = [&](double value, const Bound& allowed, const char* metric) {
    Judgement j = Judged(metric, value, allowed, where);
    if (allowed.hard > allowed.soft) j.soft_probability = drifts;
    Put(std::move(j));
  };
  judge(Compare(reference, candidate).rms, tolerance.rms, "rms_logit");
  // Rounding of the sums themselves leaves some 1e-16 of a KL that is exactly 0.
  const double floor = 1e-14, soft = tolerance.max_abs.soft, hard = tolerance.max_abs.hard;
  const double kl = KlDivergence(reference, candidate);
  judge(kl, {soft * soft / 2 + floor, hard * hard / 2 + floor, tolerance.max_abs.from}, "kl");
  // The mean is over rows that the arithmetic gets as right as the calibration's.
  if (hard > tolerance_.max_abs.hard) return;
  kl_sum_ += kl;
  ++distributions_;
}

void LogitJudge::Finish() {
  if (rows_ == 0) return Put(Void("rows", Bound::Exact(), "no row was compared"));
  if (distributions_ == 0) return;
  Judgement mean = Judged("mean_kl", kl_sum_ / static_cast<double>(distributions_),
                          Bound::Fixed(tolerance_.mean_kl + 1e-14, tolerance_.max_abs.from), {});
  mean.detail = fmt::format("over {} rows", distributions_);
  Put(std::move(mean));
}

Judgement JudgeFreeRunning(std::span<const std::int32_t> expected, std::span<const std::int32_t> found,
                           std::span<const double> gap, double eps, double sigma, const Place& where) {
  const char* const metric = "greedy_text";
  const Bound bound{0, 2 * eps, "gap of the reference at the first flip"};
  if (expected.empty() && found.empty()) return Void(metric, bound, "no text");
  if (expected.size() != found.size()) {
    Judgement j = Judged(metric, std::numeric_limits<double>::infinity(), bound, where);
    j.fault = fmt::format("expected {} tokens, found {}", expected.size(), found.size());
    return j;
  }
  const auto step = std::mismatch(expected.begin(), expected.end(), found.begin()).first - expected.begin();
  double unflipped = 1;
  for (std::ptrdiff_t i = 0; i < std::min(step + 1, std::ssize(gap)); ++i)
    unflipped *= 1 - FlipProbability(gap[i], sigma);
  Judgement j = Judged(metric, 0, bound, {});
  if (step < std::ssize(expected)) {
    Require(step < std::ssize(gap), "{}: no reference gap for step {}", where.ToString(), step);
    j = Judged(metric, gap[step], bound, where.With("step", step),
               fmt::format("expected token {}, found {}; the reference's gap is {:.3g}, a tie is at most {:.3g}",
                           expected[step], found[step], gap[step], bound.hard),
               Verdict::kTieFlip);
  }
  j.soft_probability = 1 - unflipped;
  return j;
}

}  // namespace assay
