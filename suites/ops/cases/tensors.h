// Host tensors for op tests: random, exact integers and raw blocks, in every stored type.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/tensor.h"

namespace assay {

struct TensorShape {
  std::int64_t experts = 1, rows = 0, cols = 0;
  std::int64_t count() const { return experts * rows * cols; }
};

// `values` [experts, rows, cols] encoded as F32, F16, BF16, Q8_0 or Q4_0.
HostTensor Encoded(DType type, const TensorShape& shape, const std::vector<float>& values);

// Bell-shaped values of standard deviation cols^-1/2.
HostTensor RandomTensor(DType type, const TensorShape& shape, std::uint64_t key);

// Small integers that `type` holds exactly (quantised types get a scale of 1).
HostTensor IntegerTensor(DType type, const TensorShape& shape, std::uint64_t key);

// Random bytes with tame scales: any block type.
HostTensor BlockTensor(DType type, const TensorShape& shape, std::uint64_t key);

// What the tensor's rows hold, [experts * rows, cols].
std::vector<float> Decoded(const HostTensor& tensor);

// Integers in [-limit, limit].
std::vector<float> Integers(std::uint64_t key, std::size_t count, int limit);

}  // namespace assay
