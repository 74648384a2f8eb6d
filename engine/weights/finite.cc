#include "engine/weights/finite.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/parallel.h"
#include "engine/base/quant.h"

namespace assay {
namespace {

// Elements whose exponent bits are all ones, in a row of 16-bit or 32-bit floats.
template <class Word>
std::int64_t CountSpecial(const std::byte* data, std::int64_t count, Word exponent) {
  std::int64_t special = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    Word word;
    std::memcpy(&word, data + static_cast<std::size_t>(i) * sizeof(Word), sizeof(Word));
    special += (word & exponent) == exponent ? 1 : 0;
  }
  return special;
}

std::int64_t CountNonFinite(DType type, const std::byte* row, std::int64_t count, std::vector<float>& scratch) {
  switch (type) {
    case DType::kF32:
      return CountSpecial<std::uint32_t>(row, count, 0x7f800000u);
    case DType::kF16:
      return CountSpecial<std::uint16_t>(row, count, 0x7c00u);
    case DType::kBF16:
      return CountSpecial<std::uint16_t>(row, count, 0x7f80u);
    default:
      break;
  }
  scratch.resize(static_cast<std::size_t>(count));
  DequantiseRow(type, row, scratch.data(), count);
  return CountSpecial<std::uint32_t>(reinterpret_cast<const std::byte*>(scratch.data()), count, 0x7f800000u);
}

}  // namespace

void RequireFinite(const HostTensor& tensor) {
  const std::int64_t rows = tensor.experts * tensor.rows;
  const std::size_t row_bytes = StoredBytes(tensor.type, 1, tensor.cols);
  std::atomic<std::int64_t> bad{0}, first_row{rows};
  ParallelFor(rows, 64, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scratch;
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t found = CountNonFinite(
          tensor.type, tensor.data.get() + static_cast<std::size_t>(r) * row_bytes, tensor.cols, scratch);
      if (found == 0) continue;
      bad += found;
      for (std::int64_t seen = first_row; r < seen && !first_row.compare_exchange_weak(seen, r);) {
      }
    }
  });
  Require(bad == 0, "{}: expected finite values, found {} NaN or infinite of {}, the first in row {}", tensor.where,
          bad.load(), rows * tensor.cols, first_row.load());
}

}  // namespace assay
