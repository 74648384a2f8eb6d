// The formats in which a device keeps matrices, one row each: preparation, kernels and the memory plan read this table.
// Rows are padded to whole groups of columns. Blocks are taken apart: numbers and scales lie in planes of their own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/check.h"
#include "engine/base/tensor.h"

namespace assay {

struct KeptFormat {
  DType type;
  int group;        // columns that are kept together
  int data_bytes;   // of a group's numbers; in which order: kernels/weight_view.cuh
  int scale_bytes;  // of a group's scales, fp16; 0: numbers that need none

  // A row of `cols` columns: columns with padding, bytes of its numbers and of its scales.
  constexpr std::int64_t Columns(std::int64_t cols) const { return Groups(cols) * group; }
  constexpr std::int64_t DataBytes(std::int64_t cols) const { return Groups(cols) * data_bytes; }
  constexpr std::int64_t ScaleBytes(std::int64_t cols) const { return Groups(cols) * scale_bytes; }

 private:
  constexpr std::int64_t Groups(std::int64_t cols) const { return (cols + group - 1) / group; }
};

inline constexpr KeptFormat kKeptFormats[] = {
    {DType::kF32, 32, 128, 0}, {DType::kF16, 32, 64, 0},   {DType::kBF16, 32, 64, 0},
    {DType::kQ8_0, 64, 64, 4}, {DType::kQ4_0, 128, 64, 8},
};

// Null for a type that no product reads.
constexpr const KeptFormat* FindKeptFormat(DType type) {
  for (const KeptFormat& format : kKeptFormats)
    if (format.type == type) return &format;
  return nullptr;
}

inline const KeptFormat& KeptFormatOf(DType type) {
  const KeptFormat* const format = FindKeptFormat(type);
  Require<Error>(format != nullptr, "no product reads a matrix kept as {}", Name(type));
  return *format;
}

}  // namespace assay
