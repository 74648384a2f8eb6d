// Conversions between stored layouts, at load and to the mode's type for products that need it. All are ordered on
// ctx.stream.
#pragma once

#include "engine/ops/kernels/kernel_context.h"

namespace assay {

// Some whole rows of one tensor [experts, rows, cols] as in its file (layout kBlocks), and where they belong: source
// row s of the tensor goes to row (s / rows) * to.rows + first_row + s % rows of a weight `to`.
struct StoredRows {
  WeightView view;  // data: row `first`; rows: of one expert of this tensor
  std::int64_t first = 0, count = 0;
  std::int64_t first_row = 0;
};

// Fills the rows of `to`: plain (any source type; rounds to to.type) or split (source of the same type). Padding
// columns become zeros.
void LaunchConvert(const KernelContext& ctx, const WeightView& to, const StoredRows& from);

// Elements [first, first + count) of a recipe, encoded as `type` (F32, F16, BF16, Q8_0 or Q4_0; whole blocks) at `to`.
void LaunchSynthetic(const KernelContext& ctx, void* to, DType type, const SyntheticFill& fill, std::int64_t first,
                     std::int64_t count);

// Rows [first, first + count) of a split or plain weight in the mode's type, [count, from.stride].
void LaunchExpand(const KernelContext& ctx, void* to, const WeightView& from, std::int64_t first, std::int64_t count);

// Every element of rows [first, first + count) of any weight as float32, [count, cols]: for tests.
void LaunchReadWeight(const KernelContext& ctx, float* to, const WeightView& from, std::int64_t first,
                      std::int64_t count);

}  // namespace assay
