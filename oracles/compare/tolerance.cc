#include "oracles/compare/tolerance.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/base/check.h"
#include "oracles/compare/ranking.h"
#include "oracles/compare/tensors.h"

namespace assay {

double Quantile(std::vector<double> values, double p) {
  Require(!values.empty(), "a quantile of no values");
  const double rank = std::ceil(p * static_cast<double>(values.size()));
  const auto index = static_cast<std::ptrdiff_t>(std::clamp(rank - 1, 0.0, static_cast<double>(values.size() - 1)));
  std::nth_element(values.begin(), values.begin() + index, values.end());
  return values[index];
}

void Calibrator::Add(std::span<const double> reference, std::span<const double> twin) {
  const Difference d = Compare(reference, twin);
  Require(d.count > 0, "calibration: a row without logits");
  Require(d.nonfinite == 0 && d.reference_nonfinite == 0,
          "calibration: {} logits of the twin and {} of the reference are not finite", d.nonfinite,
          d.reference_nonfinite);
  max_.push_back(d.max_abs);
  rms_.push_back(d.rms);
  kl_.push_back(KlDivergence(reference, twin));
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
          .provenance = fmt::format("{}, {} rows", provenance, max_.size())};
}

LogitTolerance LogitTolerance::At(double twin_error_ratio) const {
  LogitTolerance row = *this;
  if (!(twin_error_ratio > 1)) return row;
  for (Bound* bound : {&row.max_abs, &row.rms}) {
    bound->hard *= twin_error_ratio;
    bound->from =
        fmt::format("{}; the twin itself is off by {:.3g} times its q999 here", bound->from.str(), twin_error_ratio);
  }
  row.tie *= twin_error_ratio;
  return row;
}

Bound LogitTolerance::Between() const {
  return {2 * max_abs.soft, 2 * max_abs.hard, "both sides: " + max_abs.from.str()};
}

double LogitTolerance::TieBetween() const { return 4 * tie; }

LogitTolerance LogitTolerance::Fixed(double bound, double gap, const std::string& from) {
  // The flips a fixed figure admits are those of its gap, so that gap is also the scale on which they are expected.
  return {.max_abs = Bound::Fixed(bound, from),
          .rms = Bound::Fixed(bound, from),
          .tie = gap / 2,
          .sigma = gap / 2,
          .mean_kl = bound * bound / 2};
}

LogitTolerance LogitTolerance::From(const Calibration& c, double resolution) {
  const double floor = resolution * c.reference_max;
  const double max = std::max(kKappa * c.max, floor), rms = std::max(kKappa * c.rms, floor);
  const std::string from = fmt::format("twin q999 x {:g}: {}", kKappa, c.provenance);
  return {.max_abs = {max, kKappa * max, from},
          .rms = {rms, kKappa * rms, from},
          .tie = max,
          .sigma = std::max(kKappa * c.typical_rms, floor),
          .mean_kl = std::max(kKappa * kKappa * c.kl, floor * floor / 2)};
}

}  // namespace assay
