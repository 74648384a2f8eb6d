// Values that no comparison may take for numbers.
#pragma once

#include <limits>

namespace assay {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();

}  // namespace assay
