#include "engine/base/tensor.h"

#include <array>

#include "engine/base/check.h"

namespace assay {
namespace {

constexpr std::array<DTypeInfo, 20> kTypes{{
    {DType::kF32, "F32", 1, 4, 0},
    {DType::kF16, "F16", 1, 2, 1},
    {DType::kBF16, "BF16", 1, 2, 30},
    {DType::kQ4_0, "Q4_0", 32, 18, 2},
    {DType::kQ4_1, "Q4_1", 32, 20, 3},
    {DType::kQ5_0, "Q5_0", 32, 22, 6},
    {DType::kQ5_1, "Q5_1", 32, 24, 7},
    {DType::kQ8_0, "Q8_0", 32, 34, 8},
    {DType::kQ8_1, "Q8_1", 32, 36, 9},
    {DType::kQ2_K, "Q2_K", 256, 84, 10},
    {DType::kQ3_K, "Q3_K", 256, 110, 11},
    {DType::kQ4_K, "Q4_K", 256, 144, 12},
    {DType::kQ5_K, "Q5_K", 256, 176, 13},
    {DType::kQ6_K, "Q6_K", 256, 210, 14},
    {DType::kQ8_K, "Q8_K", 256, 292, 15},
    {DType::kIQ4_NL, "IQ4_NL", 32, 18, 20},
    {DType::kIQ4_XS, "IQ4_XS", 256, 136, 23},
    {DType::kMXFP4, "MXFP4", 32, 17, 39},
    {DType::kI32, "I32", 1, 4, 26},
    {DType::kF8_E4M3, "F8_E4M3", 1, 1, -1},
}};

constexpr bool InOrder() {
  for (std::size_t i = 0; i < kTypes.size(); ++i)
    if (static_cast<std::size_t>(kTypes[i].type) != i) return false;
  return true;
}
static_assert(InOrder(), "kTypes is indexed by DType");

}  // namespace

const DTypeInfo& Info(DType type) { return kTypes[static_cast<std::size_t>(type)]; }

std::optional<DType> DTypeFromGgml(std::uint32_t id) {
  for (const DTypeInfo& info : kTypes)
    if (info.ggml_id >= 0 && static_cast<std::uint32_t>(info.ggml_id) == id) return info.type;
  return std::nullopt;
}

std::size_t StoredBytes(DType type, std::int64_t rows, std::int64_t cols) {
  const DTypeInfo& info = Info(type);
  Require(rows >= 0 && cols >= 0, "tensor of {} x {} elements: sizes must not be negative", rows, cols);
  Require(cols % info.block == 0, "rows of {} elements: {} needs a multiple of {}", cols, info.name, info.block);
  std::int64_t row_bytes = 0, bytes = 0;
  Require(!__builtin_mul_overflow(cols / info.block, std::int64_t{info.bytes}, &row_bytes) &&
              !__builtin_mul_overflow(rows, row_bytes, &bytes),
          "tensor of {} x {} {} elements: byte count overflows 63 bits", rows, cols, info.name);
  return static_cast<std::size_t>(bytes);
}

}  // namespace assay
