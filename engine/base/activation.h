// Gating functions of feed-forward blocks: silu(x) = x / (1 + e^-x); gelu(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715
// x^3))).
#pragma once

#include <cstdint>

namespace assay {

enum class Activation : std::uint8_t { kSilu, kGeluTanh };

}  // namespace assay
