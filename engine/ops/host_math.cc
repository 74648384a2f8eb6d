#include "engine/ops/host_math.h"

#include <cmath>
#include <cstring>

#include "engine/base/half.h"

// One binary for every x86-64: the hot loops are compiled for three instruction sets and bound at load. Sanitizers cannot run
// before such binding, so they get the plain version.
#if defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ASSAY_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define ASSAY_CLONES
#endif

namespace assay::host {
namespace {

constexpr int kLanes = 16;
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));
typedef float Half __attribute__((vector_size(kLanes * sizeof(float) / 2)));
typedef float Quarter __attribute__((vector_size(kLanes * sizeof(float) / 4)));

[[gnu::always_inline]] inline float SumOf(const Lanes& sum) {
  const Half half = __builtin_shufflevector(sum, sum, 0, 1, 2, 3, 4, 5, 6, 7) +
                    __builtin_shufflevector(sum, sum, 8, 9, 10, 11, 12, 13, 14, 15);
  const Quarter quarter = __builtin_shufflevector(half, half, 0, 1, 2, 3) + __builtin_shufflevector(half, half, 4, 5, 6, 7);
  return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

// `kRows` rows of x at once: independent sums that hide each other's latency. Each is what it would be alone.
template <int kRows>
[[gnu::always_inline]] inline void DotsOf(float* out, std::int64_t out_stride, const float* w, const float* x, std::int64_t cols) {
  const std::int64_t body = cols / kLanes * kLanes;
  Lanes sum[kRows] = {};
  for (std::int64_t i = 0; i < body; i += kLanes) {
    const Lanes weight = *reinterpret_cast<const Lanes*>(w + i);
    for (int r = 0; r < kRows; ++r) sum[r] += weight * *reinterpret_cast<const Lanes*>(x + r * cols + i);
  }
  for (int r = 0; r < kRows; ++r) {
    for (std::int64_t i = body; i < cols; ++i) sum[r][i - body] += w[i] * x[r * cols + i];
    out[r * out_stride] = SumOf(sum[r]);
  }
}

}  // namespace

ASSAY_CLONES
void LoadOperand(float* out, Precision precision, const void* operand, std::int64_t offset, std::int64_t count) {
  switch (precision) {
    case Precision::kFp32:
      std::memcpy(out, static_cast<const float*>(operand) + offset, static_cast<std::size_t>(count) * sizeof(float));
      return;
    case Precision::kFp16:
      for (std::int64_t i = 0; i < count; ++i) out[i] = ToFloat(static_cast<const F16*>(operand)[offset + i]);
      return;
    case Precision::kBf16:
      for (std::int64_t i = 0; i < count; ++i) out[i] = ToFloat(static_cast<const BF16*>(operand)[offset + i]);
      return;
  }
}

ASSAY_CLONES
void StoreOperand(void* operand, Precision precision, std::int64_t offset, const float* values, std::int64_t count) {
  switch (precision) {
    case Precision::kFp32:
      std::memcpy(static_cast<float*>(operand) + offset, values, static_cast<std::size_t>(count) * sizeof(float));
      return;
    case Precision::kFp16:
      for (std::int64_t i = 0; i < count; ++i) static_cast<F16*>(operand)[offset + i] = ToF16(values[i]);
      return;
    case Precision::kBf16:
      for (std::int64_t i = 0; i < count; ++i) static_cast<BF16*>(operand)[offset + i] = ToBF16(values[i]);
      return;
  }
}

ASSAY_CLONES
void Dots(float* out, std::int64_t out_stride, const float* w, const float* x, std::int64_t rows, std::int64_t cols) {
  constexpr int kRows = 4;
  std::int64_t r = 0;
  for (; r + kRows <= rows; r += kRows) DotsOf<kRows>(out + r * out_stride, out_stride, w, x + r * cols, cols);
  for (; r < rows; ++r) DotsOf<1>(out + r * out_stride, out_stride, w, x + r * cols, cols);
}

float Dot(const float* a, const float* b, std::int64_t count) {
  float out;
  Dots(&out, 1, a, b, 1, count);
  return out;
}

ASSAY_CLONES
void Axpy(float* y, float a, const float* x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] += a * x[i];
}

float InverseRms(const float* x, std::int64_t count, float eps) {
  return 1.0f / std::sqrt(Dot(x, x, count) / static_cast<float>(count) + eps);
}

float Activate(Activation activation, float x) {
  if (activation == Activation::kSilu) return x / (1.0f + std::exp(-x));
  constexpr float kRoot2OverPi = 0.79788456080286535588f;
  return 0.5f * x * (1.0f + std::tanh(kRoot2OverPi * (x + 0.044715f * x * x * x)));
}

}  // namespace assay::host
