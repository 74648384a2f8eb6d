#include "reports/trend/print.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "reports/render/export_text.h"

namespace assay {

std::string Printed(double value, const std::string& unit) {
  const double size = std::abs(value);
  if (unit == "s") return TimeText(value);
  if (unit == "byte") {
    constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    std::size_t at = 0;
    double scaled = value;
    for (; std::abs(scaled) >= 1024 && at + 1 < std::size(kUnits); ++at) scaled /= 1024;
    return fmt::format("{:.4g} {}", scaled, kUnits[at]);
  }
  if (value == std::round(value) && size < 1e9) return fmt::format("{:.0f}", value);
  return fmt::format("{:.4g}", value);
}

std::string PrintedPercent(double fraction) {
  return std::isfinite(fraction) ? fmt::format("{:.1f} %", 100 * fraction) : "from nothing";
}

std::string PrintedSpan(double seconds) {
  if (seconds < 120) return fmt::format("{:.0f} s", std::max(0.0, seconds));
  if (seconds < 7200) return fmt::format("{:.0f} min", seconds / 60);
  if (seconds < 48 * 3600) return fmt::format("{:.0f} h", seconds / 3600);
  return fmt::format("{:.0f} days", seconds / 86400);
}

std::string ShortCommit(const std::string& commit, bool dirty) {
  return (commit.empty() ? "unknown" : commit.substr(0, 9)) + (dirty ? "+" : "");
}

std::string SparkText(const std::vector<double>& values, std::size_t width) {
  constexpr const char* kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const auto begin = values.end() - static_cast<std::ptrdiff_t>(std::min(width, values.size()));
  if (begin == values.end()) return "";
  const auto [least, most] = std::minmax_element(begin, values.end());
  std::string text;
  for (auto value = begin; value != values.end(); ++value) {
    const double height = *most > *least ? (*value - *least) / (*most - *least) : 0.5;
    text += kBlocks[static_cast<std::size_t>(std::clamp(height * 8, 0.0, 7.0))];
  }
  return text;
}

}  // namespace assay
