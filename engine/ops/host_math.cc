#include "engine/ops/host_math.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/base/check.h"
#include "engine/base/half.h"
#include "engine/base/portable.h"

// One binary for every x86-64: the hot loops are compiled for three instruction sets and bound at load. Sanitizers
// cannot run before such binding, so under them it is the middle set alone: products are fused as in other builds, to
// the same bits.
#if !defined(__x86_64__) || !defined(__linux__)
#define ASSAY_CLONES
#elif ASSAY_ADDRESS_SANITIZER || ASSAY_THREAD_SANITIZER
#define ASSAY_CLONES __attribute__((target("arch=x86-64-v3")))
#else
#define ASSAY_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#endif

namespace assay::host {
namespace {

// Sixteen running sums, held as two vectors of eight: compilers keep a vector wider than the machine's in memory.
constexpr int kLanes = 16;
constexpr int kHalf = kLanes / 2;
typedef float Half __attribute__((vector_size(kHalf * sizeof(float))));
typedef float Quarter __attribute__((vector_size(kHalf / 2 * sizeof(float))));

// Rows begin anywhere. Not by value: vectors of this size have no calling convention on every x86-64.
ASSAY_UNINSTRUMENTED [[gnu::always_inline]] inline void LoadHalf(Half* half, const float* x) {
  std::memcpy(half, x, sizeof *half);
}

ASSAY_UNINSTRUMENTED [[gnu::always_inline]] inline float SumOf(const Half& low, const Half& high) {
  const Half half = low + high;
  const Quarter quarter =
      __builtin_shufflevector(half, half, 0, 1, 2, 3) + __builtin_shufflevector(half, half, 4, 5, 6, 7);
  return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

// `kRows` rows of x at once: independent sums that hide each other's latency. Each is what it would be alone.
template <int kRows>
ASSAY_UNINSTRUMENTED [[gnu::always_inline]] inline void DotsOf(float* out, std::int64_t out_stride, const float* w,
                                                               const float* x, std::int64_t cols) {
  const std::int64_t body = cols / kLanes * kLanes;
  Half low[kRows] = {}, high[kRows] = {}, w_low, w_high, x_low, x_high;
  for (std::int64_t i = 0; i < body; i += kLanes) {
    LoadHalf(&w_low, w + i), LoadHalf(&w_high, w + i + kHalf);
    for (int r = 0; r < kRows; ++r) {
      LoadHalf(&x_low, x + r * cols + i), LoadHalf(&x_high, x + r * cols + i + kHalf);
      low[r] += w_low * x_low;
      high[r] += w_high * x_high;
    }
  }
  if (body < cols) {  // the rest, filled up with zeros
    float rest[kLanes] = {};
    const std::size_t bytes = (cols - body) * sizeof(float);
    std::memcpy(rest, w + body, bytes);
    LoadHalf(&w_low, rest), LoadHalf(&w_high, rest + kHalf);
    for (int r = 0; r < kRows; ++r) {
      std::memcpy(rest, x + r * cols + body, bytes);
      LoadHalf(&x_low, rest), LoadHalf(&x_high, rest + kHalf);
      low[r] += w_low * x_low;
      high[r] += w_high * x_high;
    }
  }
  for (int r = 0; r < kRows; ++r) out[r * out_stride] = SumOf(low[r], high[r]);
}

}  // namespace

ASSAY_CLONES
void LoadOperand(float* out, DType type, const void* operand, std::int64_t offset, std::int64_t count) {
  switch (type) {
    case DType::kF32:
      std::memcpy(out, static_cast<const float*>(operand) + offset, count * sizeof(float));
      return;
    case DType::kF16:
      for (std::int64_t i = 0; i < count; ++i) out[i] = ToFloat(static_cast<const F16*>(operand)[offset + i]);
      return;
    case DType::kBF16:
      for (std::int64_t i = 0; i < count; ++i) out[i] = ToFloat(static_cast<const BF16*>(operand)[offset + i]);
      return;
    case DType::kF8_E4M3:
      for (std::int64_t i = 0; i < count; ++i) out[i] = ToFloat(static_cast<const F8E4M3*>(operand)[offset + i]);
      return;
    default:
      Throw<Error>("operands cannot be {}", Name(type));
  }
}

ASSAY_CLONES
void StoreOperand(void* operand, DType type, std::int64_t offset, const float* values, std::int64_t count) {
  switch (type) {
    case DType::kF32:
      std::memcpy(static_cast<float*>(operand) + offset, values, count * sizeof(float));
      return;
    case DType::kF16:
      for (std::int64_t i = 0; i < count; ++i) static_cast<F16*>(operand)[offset + i] = ToF16(values[i]);
      return;
    case DType::kBF16:
      for (std::int64_t i = 0; i < count; ++i) static_cast<BF16*>(operand)[offset + i] = ToBF16(values[i]);
      return;
    case DType::kF8_E4M3:
      for (std::int64_t i = 0; i < count; ++i) static_cast<F8E4M3*>(operand)[offset + i] = ToF8E4M3(values[i]);
      return;
    default:
      Throw<Error>("operands cannot be {}", Name(type));
  }
}

// Of x nothing is told: ops multiply what they have loaded for themselves.
ASSAY_CLONES ASSAY_UNINSTRUMENTED void Dots(float* out, std::int64_t out_stride, const float* w, const float* x,
                                            std::int64_t rows, std::int64_t cols) {
  constexpr int kRows = 4;
  ASSAY_TELL_READ(w, cols * sizeof(float));
  for (std::int64_t row = 0; row < rows; ++row) ASSAY_TELL_WRITE(out + row * out_stride, sizeof(float));
  std::int64_t r = 0;
  for (; r + kRows <= rows; r += kRows) DotsOf<kRows>(out + r * out_stride, out_stride, w, x + r * cols, cols);
  for (; r < rows; ++r) DotsOf<1>(out + r * out_stride, out_stride, w, x + r * cols, cols);
}

float Dot(const float* a, const float* b, std::int64_t count) {
  float out;
  ASSAY_TELL_READ(b, count * sizeof(float));
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

std::int64_t Grain(std::int64_t work) { return std::max<std::int64_t>(1, (1 << 18) / std::max<std::int64_t>(1, work)); }

Scratch Loaded(DType type, const void* operand, std::int64_t count) {
  Scratch values = Floats(count);
  LoadOperand(values.data(), type, operand, 0, count);
  return values;
}

}  // namespace assay::host
