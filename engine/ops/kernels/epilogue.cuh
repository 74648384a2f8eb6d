// The epilogue of a product, which makes results of finished dot products, and the choice of a kernel's weight format.
#pragma once

#include "engine/ops/kernels/fragments.cuh"
#include "engine/ops/kernels/product.h"

namespace assay {

template <class T>
__device__ __forceinline__ void ApplyEpilogue(const Product& p, std::int64_t row, std::int64_t o, float v) {
  if (o >= p.w.rows) return;
  if (p.epilogue == Epilogue::kStore) {
    p.out[row * p.w.rows + o] = v;
  } else {
    static_cast<T*>(p.operand)[row * p.w.rows + o] =
        RoundTo<T>(Activate<T>(v, p.activation) * p.ple[row * p.ple_stride + o]);
  }
}

// `a` belongs to weight row `o`, `b` to weight row `second`; with kGated second = o + rows / 2 and one result comes of
// both.
template <class T>
__device__ __forceinline__ void ApplyEpiloguePair(const Product& p, std::int64_t row, std::int64_t o,
                                                  std::int64_t second, float a, float b) {
  if (p.epilogue == Epilogue::kGated) {
    const std::int64_t half = p.w.rows / 2;
    if (o < half) static_cast<T*>(p.operand)[row * half + o] = RoundTo<T>(Activate<T>(a, p.activation) * b);
  } else {
    ApplyEpilogue<T>(p, row, o, a);
    ApplyEpilogue<T>(p, row, second, b);
  }
}

// Calls f(Format{}) with the weight format of `w` in mode T: plain T (in fp32 mode any plain type), Q8_0 or Q4_0.
template <class T, class F>
void WithWeightFormat(const WeightView& w, F&& f) {
  if (w.layout == WeightLayout::kPlain) {
    if constexpr (std::is_same_v<T, float>) {
      if (w.type == DType::kF16) return f(PlainFormat<__half>{});
      if (w.type == DType::kBF16) return f(PlainFormat<__nv_bfloat16>{});
    }
    return f(PlainFormat<T>{});
  }
  Require(w.layout == WeightLayout::kSplit, "a table cannot be multiplied: stored as {}", Name(w.type));
  if (w.type == DType::kQ8_0) return f(Q8Format{});
  f(Q4Format{});
}

// Whether activation rows start on 16 bytes.
inline bool AlignedRows(const Product& p) {
  return p.w.cols % 8 == 0 && reinterpret_cast<std::uintptr_t>(p.x) % 16 == 0;
}
// And weight rows are not padded, so that no column beyond them is read.
inline bool WholeRows(const Product& p) { return AlignedRows(p) && p.w.stride == p.w.cols; }

}  // namespace assay
