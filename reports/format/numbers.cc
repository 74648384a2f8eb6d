#include "reports/format/numbers.h"

#include <fmt/core.h>

#include <charconv>
#include <cmath>
#include <string>

namespace assay {

double Rounded(double value, int digits) {
  if (!std::isfinite(value)) return value;
  const std::string text = fmt::format("{:.{}e}", value, digits - 1);
  double rounded = value;
  std::from_chars(text.data(), text.data() + text.size(), rounded);
  return rounded;
}

}  // namespace assay
