// Loops shared by the host ops: operand conversion, dot products in a fixed order, norms, activations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include "engine/base/activation.h"
#include "engine/ops/ops.h"

namespace assay::host {

// Elements of a type that operands or caches may have <-> float32, `count` from element `offset` on.
void LoadOperand(float* out, DType type, const void* operand, std::int64_t offset, std::int64_t count);
void StoreOperand(void* operand, DType type, std::int64_t offset, const float* values, std::int64_t count);

// out[r * out_stride] = sum_i w[i] * x[r * cols + i] for r < rows: sixteen interleaved partial sums over i, added
// pairwise. The order depends on cols alone.
void Dots(float* out, std::int64_t out_stride, const float* w, const float* x, std::int64_t rows, std::int64_t cols);
float Dot(const float* a, const float* b, std::int64_t count);

// y[i] += a * x[i].
void Axpy(float* y, float a, const float* x, std::int64_t count);

// (mean(x^2) + eps)^-1/2.
float InverseRms(const float* x, std::int64_t count, float eps);

float Activate(Activation activation, float x);

// How many items of a parallel loop are worth a thread of their own, from the multiply-adds of one item, because waking
// a thread costs microseconds.
std::int64_t Grain(std::int64_t work);
constexpr std::int64_t kTranscendental = 16;  // an exp or tanh counts as so many multiply-adds

// Memory that begins on a cache line. Where the heap's own alignment, 16 bytes, decided how vectors straddle lines, one
// build was up to 7 % slower than itself, by what the process had allocated before.
template <class T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};
  LineAllocator() = default;
  template <class U>
  explicit LineAllocator(const LineAllocator<U>&) {}
  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kLine)); }
  void deallocate(T* data, std::size_t) noexcept { ::operator delete(data, kLine); }
  friend bool operator==(const LineAllocator&, const LineAllocator&) = default;
};
using Scratch = std::vector<float, LineAllocator<float>>;

inline Scratch Floats(std::int64_t count) { return Scratch(count); }
// `count` elements of an operand.
Scratch Loaded(DType type, const void* operand, std::int64_t count);

}  // namespace assay::host
