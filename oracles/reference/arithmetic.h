// The two arithmetics the reference programs are compiled for: exact enough to be the truth, and rounding like the
// engine.
#pragma once

#include <vector>

#include "engine/base/tensor.h"

namespace assay {

// Float64 throughout; nothing is rounded.
struct Exact {
  using Real = double;
  std::vector<double> Operand(std::vector<double> values) const { return values; }
  std::vector<float> Weights(std::vector<float> values) const { return values; }
};

// Float32 throughout; what the engine keeps in the mode's operand type (operands of products, keys, values, matrices)
// is rounded to it, to nearest even, at the same places.
struct Rounded {
  using Real = float;
  DType type;  // kF32, kF16 or kBF16
  std::vector<float> Operand(std::vector<float> values) const;
  std::vector<float> Weights(std::vector<float> values) const { return Operand(std::move(values)); }
};

}  // namespace assay
