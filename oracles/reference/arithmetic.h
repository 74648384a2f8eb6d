// The two arithmetics the reference programs are compiled for: exact enough to be the truth, and rounding like the
// engine.
#pragma once

#include <vector>

#include "engine/base/tensor.h"
#include "oracles/reference/decoder.h"
#include "oracles/reference/linear.h"

namespace assay {

// Float64 throughout; nothing is rounded.
struct Exact {
  using Real = double;
  std::vector<double> Operand(std::vector<double> values) const { return values; }
  std::vector<double> Stored(std::vector<double> values) const { return values; }
  std::vector<double> Attended(std::vector<double> values) const { return values; }
  std::vector<double> Stream(std::vector<double> values) const { return values; }
  std::vector<double> For(const Matrix&, const std::vector<double>& values) const { return values; }
  bool gelu_table() const { return false; }
  std::vector<float> Weights(std::vector<float> values) const { return values; }
};

// Float32 throughout; what the engine keeps in the mode's operand type (operands of products, matrices), and keys and
// values in the mode's type for them, is rounded to nearest even at the same places.
struct Rounded {
  using Real = float;
  TwinArithmetic type;
  std::vector<float> Operand(std::vector<float> values) const;
  // Keys and values.
  std::vector<float> Stored(std::vector<float> values) const;
  // Queries, and weights of the softmax where the cache has a type of its own that attention multiplies in.
  std::vector<float> Attended(std::vector<float> values) const;
  // What one operation hands to the next.
  std::vector<float> Stream(std::vector<float> values) const;
  // What a product with `w` multiplies.
  std::vector<float> For(const Matrix& w, std::vector<float> values) const;
  bool gelu_table() const { return type.gelu_table; }
  std::vector<float> Weights(std::vector<float> values) const { return Operand(std::move(values)); }
};

}  // namespace assay
