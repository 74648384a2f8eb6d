#include "suites/ops/cases/op_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/base/check.h"

namespace assay {

double RoundingOf(DType type) {
  switch (type) {
    case DType::kF32:
      return 0x1p-23;
    case DType::kF16:
      return 0x1p-10;
    case DType::kBF16:
      return 0x1p-7;
    case DType::kF8_E4M3:
      return 0x1p-3;
    default:
      Throw<Error>("no op writes {}", Name(type));
  }
}

std::vector<std::string> Differences(const std::vector<float>& found, const std::vector<float>& expected,
                                     const Tolerance& tolerance, const std::string& what) {
  std::vector<std::string> lines;
  if (found.size() != expected.size())
    return {fmt::format("{}: {} elements, expected {}", what, found.size(), expected.size())};
  double error = 0, norm = 0, largest = 0, largest_error = 0;
  std::size_t at = 0, strange = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const float a = found[i], b = expected[i];
    if (!std::isfinite(a) || !std::isfinite(b)) {
      // Equal infinities and NaN on both sides agree; anything else has no distance that a tolerance could bound.
      if (a == b || (std::isnan(a) && std::isnan(b))) continue;
      if (strange++ == 0) lines.push_back(fmt::format("{}: element {} is {}, expected {}", what, i, a, b));
      continue;
    }
    const double difference = std::abs(static_cast<double>(a) - b);
    error += difference * difference;
    norm += static_cast<double>(b) * b;
    largest = std::max(largest, std::abs(static_cast<double>(b)));
    if (difference > largest_error) {
      largest_error = difference;
      at = i;
    }
  }
  if (strange > 1) lines.push_back(fmt::format("{}: {} elements are not finite on one side only", what, strange));
  if (std::sqrt(error) > tolerance.whole * std::sqrt(norm))
    lines.push_back(fmt::format("{}: relative error of the whole is {:.3g}, expected at most {:.3g}", what,
                                std::sqrt(error / norm), tolerance.whole));
  if (largest_error > tolerance.worst * largest)
    lines.push_back(fmt::format("{}: element {} is {}, expected {}", what, at, found[at], expected[at]));
  return lines;
}

std::vector<float> ReadOutput(DeviceFixture& fixture, const Output& output) {
  switch (output.type) {
    case Output::Type::kFloat:
      return fixture.Read(static_cast<const float*>(output.data), output.count);
    case Output::Type::kOperand:
      return fixture.ReadOperand(output.data, output.count);
    case Output::Type::kCache:
      return fixture.ReadCache(output.data, output.count);
    case Output::Type::kInt: {
      const auto ints = fixture.Read(static_cast<const std::int32_t*>(output.data), output.count);
      return {ints.begin(), ints.end()};
    }
    case Output::Type::kSegment: {
      std::vector<float> all;
      for (const Segment& s : fixture.Read(static_cast<const Segment*>(output.data), output.count))
        for (const std::int32_t value : {s.first_row, s.rows, s.session, s.first_position})
          all.push_back(static_cast<float>(value));
      return all;
    }
  }
  return {};
}

}  // namespace assay
