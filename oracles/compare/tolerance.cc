#include "oracles/compare/tolerance.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/base/check.h"
#include "oracles/compare/ranking.h"
#include "oracles/compare/tensors.h"

namespace assay {

Verdict Place(double error, const Tolerance& tolerance) {
  if (error <= tolerance.calibrated) return Verdict::kMatch;
  return error <= tolerance.hard ? Verdict::kDrift : Verdict::kWrong;
}

double Headroom(double error, double allowed) {
  if (error == 0) return 0;
  return allowed > 0 ? error / allowed : std::numeric_limits<double>::infinity();
}

double Quantile(std::vector<double> values, double p) {
  Require(!values.empty(), "a quantile of no values");
  const double rank = std::ceil(p * static_cast<double>(values.size()));
  const auto index = static_cast<std::ptrdiff_t>(std::clamp(rank - 1, 0.0, static_cast<double>(values.size() - 1)));
  std::nth_element(values.begin(), values.begin() + index, values.end());
  return values[static_cast<std::size_t>(index)];
}

namespace {

// Infinite when there are no more than kTopK tokens.
double CrowdGap(std::span<const double> logits) {
  const std::vector<int> best = TopK(logits, kTopK + 1);
  if (best.size() <= kTopK) return std::numeric_limits<double>::infinity();
  return logits[static_cast<std::size_t>(best.front())] - logits[static_cast<std::size_t>(best.back())];
}

}  // namespace

void Calibrator::Add(std::span<const double> reference, std::span<const double> twin) {
  const Difference d = Compare(reference, twin);
  Require(d.count > 0, "calibration: a row without logits");
  Require(d.nonfinite == 0 && d.reference_nonfinite == 0,
          "calibration: {} logits of the twin and {} of the reference are not finite", d.nonfinite,
          d.reference_nonfinite);
  max_.push_back(d.max_abs);
  rms_.push_back(d.rms);
  kl_.push_back(KlDivergence(reference, twin));
  crowd_gap_.push_back(CrowdGap(reference));
  reference_max_ = std::max(reference_max_, d.reference_max);
}

Calibration Calibrator::Finish(std::string provenance) const {
  Require(!max_.empty(), "calibration: no rows ({})", provenance);
  return {.rows = static_cast<int>(max_.size()),
          .max = Quantile(max_, kCalibrationQuantile),
          .rms = Quantile(rms_, kCalibrationQuantile),
          .typical_rms = Quantile(rms_, 0.5),
          .kl = Quantile(kl_, kCalibrationQuantile),
          .largest = *std::max_element(max_.begin(), max_.end()),
          .reference_max = reference_max_,
          .crowd_gap = Quantile(crowd_gap_, 0.5),
          .provenance = fmt::format("{}, {} rows", provenance, max_.size())};
}

LogitTolerance LogitTolerance::At(double twin_error_ratio) const {
  LogitTolerance row = *this;
  if (!(twin_error_ratio > 1)) return row;
  for (Tolerance* bound : {&row.max_abs, &row.rms}) {
    bound->hard *= twin_error_ratio;
    bound->from += fmt::format("; the twin itself is off by {:.3g} times its q999 here", twin_error_ratio);
  }
  row.tie *= twin_error_ratio;
  return row;
}

LogitTolerance LogitTolerance::Fixed(double bound, double gap, const std::string& from) {
  // The flips a fixed figure admits are those of its gap, so that gap is also the scale on which they are expected.
  return {.max_abs = Tolerance::Fixed(bound, from),
          .rms = Tolerance::Fixed(bound, from),
          .tie = gap / 2,
          .sigma = gap / 2,
          .mean_kl = bound * bound / 2};
}

LogitTolerance LogitTolerance::From(const Calibration& c, double resolution) {
  const double floor = resolution * c.reference_max;
  const double max = std::max(kKappa * c.max, floor), rms = std::max(kKappa * c.rms, floor);
  const bool decides = c.crowd_gap > 2 * max;
  const std::string from =
      fmt::format("twin q999 x {:g}: {}{}", kKappa, c.provenance,
                  decides ? "" : "; argmax not judged: noise may turn round more than the best 10");
  return {.max_abs = {max, kKappa * max, from},
          .rms = {rms, kKappa * rms, from},
          .tie = max,
          .sigma = std::max(kKappa * c.typical_rms, floor),
          .mean_kl = std::max(kKappa * kKappa * c.kl, floor * floor / 2),
          .decides = decides};
}

}  // namespace assay
