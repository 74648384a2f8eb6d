#include "engine/weights/finite.h"

#include <atomic>
#include <cstring>
#include <limits>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/parallel.h"
#include "engine/base/quant.h"

namespace assay {
namespace {

// Bits of the smallest float32 magnitude that is infinite once rounded to `as`. Larger ones and NaN have larger bits.
std::uint32_t InfiniteFrom(DType as) {
  if (as == DType::kF16) return 0x477ff000u;   // 65520: halfway from 65504 to 65536
  if (as == DType::kBF16) return 0x7f7f8000u;  // halfway from the largest to 2^128
  return 0x7f800000u;
}

// Elements of a row of 16-bit or 32-bit floats whose bits without the sign are at least `from`.
template <class Word>
std::int64_t CountFrom(Word from, const std::byte* data, std::int64_t count) {
  constexpr Word kMagnitude = std::numeric_limits<Word>::max() >> 1;
  std::int64_t found = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    Word word;
    std::memcpy(&word, data + i * sizeof(Word), sizeof(Word));
    found += (word & kMagnitude) >= from ? 1 : 0;
  }
  return found;
}

struct Count {
  std::int64_t values = 0, first_row = 0;
};

Count CountInfinite(const HostTensor& tensor, DType as) {
  const std::int64_t rows = tensor.experts * tensor.rows, cols = tensor.cols;
  const std::size_t row_bytes = StoredBytes(tensor.type, 1, cols);
  const std::uint32_t from = InfiniteFrom(as);
  std::atomic<std::int64_t> values{0}, first_row{rows};
  ParallelFor(rows, 64, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> floats;
    for (std::int64_t r = begin; r < end; ++r) {
      const std::byte* row = tensor.data.get() + r * row_bytes;
      std::int64_t found = 0;
      if (tensor.type == DType::kF32) {
        found = CountFrom<std::uint32_t>(from, row, cols);
      } else if (tensor.type == DType::kF16) {
        found = CountFrom<std::uint16_t>(0x7c00u, row, cols);
      } else if (tensor.type == DType::kBF16) {
        found = CountFrom<std::uint16_t>(static_cast<std::uint16_t>((from + 0xffffu) >> 16), row, cols);
      } else {
        floats.resize(cols);
        DequantiseRow(tensor.type, row, floats.data(), cols);
        found = CountFrom<std::uint32_t>(from, reinterpret_cast<const std::byte*>(floats.data()), cols);
      }
      if (found == 0) continue;
      values += found;
      for (std::int64_t seen = first_row; r < seen && !first_row.compare_exchange_weak(seen, r);) {
      }
    }
  });
  return {values, first_row};
}

}  // namespace

void RequireFinite(const HostTensor& tensor, DType as) {
  const Count rounded = CountInfinite(tensor, as);
  if (rounded.values == 0) return;
  const std::int64_t all = tensor.experts * tensor.rows * tensor.cols;
  const Count stored = CountInfinite(tensor, DType::kF32);
  Require(stored.values == 0, "{}: expected finite values, found {} NaN or infinite of {}, the first in row {}",
          tensor.where, stored.values, all, stored.first_row);
  Throw("{}: expected values that fit {}, found {} too large of {}, the first in row {}", tensor.where, Name(as),
        rounded.values, all, rounded.first_row);
}

}  // namespace assay
