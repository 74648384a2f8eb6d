#include "oracles/compare/tensors.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "engine/base/check.h"

namespace assay {

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

Judgement JudgeTensor(std::span<const double> reference, std::span<const double> candidate, const Tolerance& tolerance,
                      std::string_view metric, std::string_view where, Measure measure) {
  const Difference d = Compare(reference, candidate);
  Judgement j{.metric = std::string(metric), .bound_from = tolerance.from};
  j.bound = tolerance.calibrated;
  if (d.count == 0) {
    j.detail = fmt::format("{}: nothing to compare", where);
    return j;
  }
  if (d.nonfinite > 0) {
    j.verdict = Verdict::kWrong;
    j.value = j.headroom = std::numeric_limits<double>::infinity();
    j.worst = fmt::format("{} element {}", where, d.first_nonfinite);
    j.detail = fmt::format("{} of {} values are not finite; the first is {}, expected {:.9g}", d.nonfinite, d.count,
                           candidate[d.first_nonfinite], reference[d.first_nonfinite]);
    return j;
  }
  if (d.reference_nonfinite > 0) {
    j.detail = fmt::format("{}: {} of {} reference values are not finite", where, d.reference_nonfinite, d.count);
    return j;
  }
  // An all-zero reference has no scale: the absolute error stands.
  j.value = measure == Measure::kRelative && d.reference_max > 0 ? d.max_abs / d.reference_max : d.max_abs;
  j.verdict = Place(j.value, tolerance);
  j.headroom = Headroom(j.value, j.bound);
  if (d.max_abs > 0) {
    j.worst = fmt::format("{} element {}", where, d.worst);
    j.detail = fmt::format("expected {:.9g}, found {:.9g}", reference[d.worst], candidate[d.worst]);
  }
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
Judgement JudgeSameBits(std::span<const Real> expected, std::span<const Real> found, std::string_view where) {
  Require(expected.size() == found.size(), "{}: comparison of {} expected values with {} found", where, expected.size(),
          found.size());
  Judgement j{.metric = "ulp", .bound_from = "bit for bit"};
  if (expected.empty()) {
    j.detail = fmt::format("{}: nothing to compare", where);
    return j;
  }
  std::size_t differing = 0, first = 0;
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (std::bit_cast<Word>(expected[i]) != std::bit_cast<Word>(found[i]) && differing++ == 0) first = i;
  j.verdict = differing == 0 ? Verdict::kMatch : Verdict::kWrong;
  if (differing == 0) return j;
  j.value = static_cast<double>(UlpDistance(static_cast<float>(expected[first]), static_cast<float>(found[first])));
  j.headroom = std::numeric_limits<double>::infinity();
  j.worst = fmt::format("{} element {}", where, first);
  j.detail = fmt::format("{} of {} values differ; the first: expected {:.9g} ({:#x}), found {:.9g} ({:#x})", differing,
                         expected.size(), expected[first], std::bit_cast<Word>(expected[first]), found[first],
                         std::bit_cast<Word>(found[first]));
  return j;
}

}  // namespace

Judgement JudgeBits(std::span<const float> expected, std::span<const float> found, std::string_view where) {
  return JudgeSameBits<std::uint32_t>(expected, found, where);
}
Judgement JudgeBits(std::span<const double> expected, std::span<const double> found, std::string_view where) {
  return JudgeSameBits<std::uint64_t>(expected, found, where);
}

std::vector<double> Widen(std::span<const float> values) { return {values.begin(), values.end()}; }

}  // namespace assay
