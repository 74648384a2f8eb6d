#include "oracles/compare/tensors.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/base/check.h"
#include "oracles/verdict/tally.h"

namespace assay {
namespace {
constexpr double kWorthTelling = 0.5;  // headroom from which a comparison says what it expected and found
}  // namespace

Difference Compare(std::span<const double> reference, std::span<const double> candidate) {
  Require(reference.size() == candidate.size(), "comparison of {} expected values with {} found", reference.size(),
          candidate.size());
  Difference d;
  d.count = reference.size();
  double squares = 0;
  for (std::size_t i = 0; i < d.count; ++i) {
    if (!std::isfinite(candidate[i]) && d.nonfinite++ == 0) d.first_nonfinite = i;
    if (!std::isfinite(reference[i])) ++d.reference_nonfinite;
    if (!std::isfinite(candidate[i]) || !std::isfinite(reference[i])) continue;
    const double error = std::abs(candidate[i] - reference[i]);
    squares += error * error;
    if (error > d.max_abs) d.max_abs = error, d.worst = i;
    d.reference_max = std::max(d.reference_max, std::abs(reference[i]));
  }
  if (d.count > 0) d.rms = std::sqrt(squares / static_cast<double>(d.count));
  return d;
}

Judgement JudgeTensor(std::span<const double> reference, std::span<const double> candidate, const Bound& bound,
                      std::string metric, const Place& where, Measure measure) {
  const Difference d = Compare(reference, candidate);
  if (d.count == 0) return Void(std::move(metric), bound, "nothing to compare");
  if (d.nonfinite > 0) {
    Judgement j = Judged(
        std::move(metric), std::numeric_limits<double>::infinity(), bound,
        where.With("element", static_cast<std::int64_t>(d.first_nonfinite)),
        fmt::format("the first is {}, expected {:.9g}", candidate[d.first_nonfinite], reference[d.first_nonfinite]));
    j.fault = fmt::format("{} of {} values are not finite", d.nonfinite, d.count);
    return j;
  }
  if (d.reference_nonfinite > 0)
    return Void(std::move(metric), bound,
                fmt::format("{} of {} reference values are not finite", d.reference_nonfinite, d.count));
  // An all-zero reference has no scale: the absolute error stands.
  const double value = measure == Measure::kRelative && d.reference_max > 0 ? d.max_abs / d.reference_max : d.max_abs;
  Judgement j = Judged(std::move(metric), value, bound, {});
  if (value > 0) j.worst = where.With("element", static_cast<std::int64_t>(d.worst));
  // Formatting every row of a healthy run would cost more than comparing it.
  if (Headroom(j) >= kWorthTelling)
    j.detail = fmt::format("expected {:.9g}, found {:.9g}", reference[d.worst], candidate[d.worst]);
  if (bound.hard > bound.soft) j.soft_probability = 1 - kCalibrationQuantile;
  return j;
}

std::int64_t UlpDistance(float a, float b) {
  const auto ordered = [](float v) {
    const auto bits = std::bit_cast<std::int32_t>(v);
    return bits >= 0 ? std::int64_t{bits} : std::int64_t{std::numeric_limits<std::int32_t>::min()} - bits - 1;
  };
  return std::abs(ordered(a) - ordered(b));
}

namespace {

template <class Word, class Real>
Judgement JudgeSameBits(std::span<const Real> expected, std::span<const Real> found, const Place& where) {
  Require(expected.size() == found.size(), "{}: comparison of {} expected values with {} found", where.ToString(),
          expected.size(), found.size());
  const Bound exact{0, 0, "bit for bit"};
  if (expected.empty()) return Void("ulp", exact, "nothing to compare");
  std::size_t differing = 0, first = 0;
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (std::bit_cast<Word>(expected[i]) != std::bit_cast<Word>(found[i]) && differing++ == 0) first = i;
  if (differing == 0) return Judged("ulp", 0, exact, {});
  // Values that differ by less than a float32 step are one apart.
  const auto ulps =
      std::max<std::int64_t>(1, UlpDistance(static_cast<float>(expected[first]), static_cast<float>(found[first])));
  return Judged("ulp", static_cast<double>(ulps), exact, where.With("element", static_cast<std::int64_t>(first)),
                fmt::format("{} of {} values differ; the first: expected {:.9g} ({:#x}), found {:.9g} ({:#x})",
                            differing, expected.size(), expected[first], std::bit_cast<Word>(expected[first]),
                            found[first], std::bit_cast<Word>(found[first])));
}

}  // namespace

Judgement JudgeBits(std::span<const float> expected, std::span<const float> found, const Place& where) {
  return JudgeSameBits<std::uint32_t>(expected, found, where);
}
Judgement JudgeBits(std::span<const double> expected, std::span<const double> found, const Place& where) {
  return JudgeSameBits<std::uint64_t>(expected, found, where);
}

std::vector<double> Widen(std::span<const float> values) { return {values.begin(), values.end()}; }

}  // namespace assay
