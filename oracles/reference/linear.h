// Matrices of the reference decoders and the one product they need.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "engine/base/tensor.h"
#include "engine/weights/store.h"

namespace assay {

// Row-major [experts][rows = out][cols = in].
struct Matrix {
  std::int64_t experts = 1, rows = 0, cols = 0;
  std::vector<float> values;
  DType stored = DType::kF32;  // in the checkpoint
  const float* Row(std::int64_t row) const { return values.data() + row * cols; }
};

// sum_i a[i] * b[i].
double Dot(const double* a, const double* b, std::int64_t count);
float Dot(const float* a, const float* b, std::int64_t count);

// out[o] = sum_i w[expert][o][i] * x[i].
template <class Real>
std::vector<Real> Multiply(const Matrix& w, const std::vector<Real>& x, std::int64_t expert = 0);

// The tensor's values. Throws InputError when the checkpoint has none: callers ask only for what the spec calls for,
// and look for themselves where absence has a meaning.
std::vector<float> LoadVector(const WeightStore& store, TensorKey key);
template <class Arithmetic>
Matrix LoadMatrix(const WeightStore& store, TensorKey key, const Arithmetic& arithmetic) {
  const HostTensor tensor = store.Load(key);
  return {tensor.experts, tensor.rows, tensor.cols, arithmetic.Weights(ToFloats(tensor)), tensor.type};
}

// A table of which rows are read, in the stored format, when they are looked up.
class Table {
 public:
  Table() = default;
  Table(const WeightStore& store, TensorKey key);
  std::vector<float> Row(std::int64_t row) const;

 private:
  HostTensor tensor_;
};

}  // namespace assay
