#include "suites/ops/cases/tensors.h"

#include <cmath>
#include <cstring>

#include "engine/base/check.h"
#include "engine/base/half.h"
#include "engine/base/quant.h"
#include "engine/base/random.h"
#include "suites/ops/cases/device_fixture.h"

namespace assay {
namespace {

HostTensor Empty(DType type, const TensorShape& shape) {
  HostTensor tensor;
  tensor.type = type;
  tensor.experts = shape.experts;
  tensor.rows = shape.rows;
  tensor.cols = shape.cols;
  tensor.bytes = StoredBytes(type, shape.experts * shape.rows, shape.cols);
  tensor.where = "test tensor";
  return tensor;
}

// Where the float16 (or, in Q8_K, float32) scales of a block are.
std::vector<int> ScaleOffsets(DType type) {
  switch (type) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ8_1:
      return {0, 2};
    case DType::kQ2_K:
      return {80, 82};
    case DType::kQ3_K:
      return {108};
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ6_K:
      return {208};
    default:
      return {0};
  }
}

}  // namespace

HostTensor Encoded(DType type, const TensorShape& shape, const std::vector<float>& values) {
  HostTensor tensor = Empty(type, shape);
  std::shared_ptr<std::byte[]> data(new std::byte[tensor.bytes]);
  const std::size_t row_bytes = StoredBytes(type, 1, shape.cols);
  for (std::int64_t r = 0; r < shape.experts * shape.rows; ++r)
    QuantiseRow(type, values.data() + r * shape.cols, data.get() + static_cast<std::size_t>(r) * row_bytes, shape.cols);
  tensor.data = std::shared_ptr<const std::byte>(data, data.get());
  return tensor;
}

HostTensor RandomTensor(DType type, const TensorShape& shape, std::uint64_t key) {
  return Encoded(
      type, shape,
      Numbers(key, static_cast<std::size_t>(shape.count()), 1.0f / std::sqrt(static_cast<float>(shape.cols))));
}

std::vector<float> Integers(std::uint64_t key, std::size_t count, int limit) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] =
        static_cast<float>(static_cast<int>(RandomBits(key, i) % static_cast<std::uint64_t>(2 * limit + 1)) - limit);
  return values;
}

HostTensor IntegerTensor(DType type, const TensorShape& shape, std::uint64_t key) {
  std::vector<float> values = Integers(key, static_cast<std::size_t>(shape.count()), 7);
  // The value of largest magnitude makes the scale: 127 / 127 and -8 / -8.
  if (type == DType::kQ8_0 || type == DType::kQ4_0)
    for (std::size_t i = 0; i < values.size(); i += 32) values[i + i / 32 % 32] = type == DType::kQ8_0 ? 127.0f : -8.0f;
  return Encoded(type, shape, values);
}

HostTensor BlockTensor(DType type, const TensorShape& shape, std::uint64_t key) {
  HostTensor tensor = Empty(type, shape);
  std::shared_ptr<std::byte[]> data(new std::byte[tensor.bytes]);
  for (std::size_t i = 0; i < tensor.bytes; ++i) data[i] = static_cast<std::byte>(RandomBits(key, i) >> 13);
  const auto block = static_cast<std::size_t>(Info(type).bytes);
  for (std::size_t b = 0; b < tensor.bytes / block; ++b) {
    std::byte* at = data.get() + b * block;
    const float scale = 0.01f + 0.02f * RandomUniform(key + 1, b);
    if (type == DType::kQ8_K) {
      std::memcpy(at, &scale, 4);
    } else if (type == DType::kMXFP4) {
      at[0] = static_cast<std::byte>(110 + b % 30);
    } else {
      for (const int offset : ScaleOffsets(type)) {
        const F16 half = ToF16(offset == 0 ? scale : -0.5f * scale);
        std::memcpy(at + offset, &half, 2);
      }
    }
  }
  tensor.data = std::shared_ptr<const std::byte>(data, data.get());
  return tensor;
}

std::vector<float> Decoded(const HostTensor& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.experts * tensor.rows * tensor.cols));
  const std::size_t row_bytes = StoredBytes(tensor.type, 1, tensor.cols);
  for (std::int64_t r = 0; r < tensor.experts * tensor.rows; ++r)
    DequantiseRow(tensor.type, tensor.data.get() + static_cast<std::size_t>(r) * row_bytes,
                  values.data() + r * tensor.cols, tensor.cols);
  return values;
}

}  // namespace assay
