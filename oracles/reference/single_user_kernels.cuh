// Naive kernels of the single-user CUDA reference: each is the formula it is named after. Real is double in the
// reference, float in a twin.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "engine/base/random.h"

namespace assay::single_user {

constexpr int kThreads = 128;     // of a product's block
constexpr int kRowsPerBlock = 8;  // outputs that share one reading of x
constexpr int kMixGroups = 8;     // partial sums over the keys

enum class Rounding { kNone, kF16, kBF16, kF8 };

__device__ inline float AsFloat(float v) { return v; }
__device__ inline float AsFloat(__half v) { return __half2float(v); }
__device__ inline float AsFloat(__nv_bfloat16 v) { return __bfloat162float(v); }

// To nearest even; e4m3 saturates.
__host__ __device__ inline float Rounded(float v, Rounding rounding) {
  if (rounding == Rounding::kF16) return __half2float(__float2half_rn(v));
  if (rounding == Rounding::kBF16) return __bfloat162float(__float2bfloat16_rn(v));
  if (rounding == Rounding::kF8) return static_cast<float>(__nv_fp8_e4m3(v));
  return v;
}

// Sum over the block, the same bits in every thread and every run.
template <class Real>
__device__ Real BlockSum(Real v) {
  __shared__ Real part[32];
  for (int d = 16; d > 0; d /= 2) v += __shfl_xor_sync(0xffffffffu, v, d);
  __syncthreads();  // the previous call's readers are done
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  __syncthreads();
  Real sum = 0;
  for (unsigned w = 0; w < blockDim.x / 32; ++w) sum += part[w];
  return sum;
}

template <class Real>
__device__ Real BlockMax(Real v) {
  __shared__ Real part[32];
  for (int d = 16; d > 0; d /= 2) v = max(v, __shfl_xor_sync(0xffffffffu, v, d));
  __syncthreads();
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  __syncthreads();
  Real largest = part[0];
  for (unsigned w = 1; w < blockDim.x / 32; ++w) largest = max(largest, part[w]);
  return largest;
}

// kPack neighbouring weights; 16 bytes in one load when kPack is not 1.
template <int kPack, class W>
__device__ inline void LoadPack(W (&to)[kPack], const W* from) {
  if constexpr (kPack == 1) {
    to[0] = *from;
  } else {
    static_assert(sizeof(to) == 16);
    *reinterpret_cast<uint4*>(to) = __ldcs(reinterpret_cast<const uint4*>(from));
  }
}

// out[o] = sum_i w[o][i] * x[i].
template <int kPack, class W, class Real>
__global__ void __launch_bounds__(kThreads)
    ProductKernel(Real* out, const W* w, const Real* x, std::int64_t rows, std::int64_t cols, Rounding rounding) {
  const std::int64_t first = std::int64_t{blockIdx.x} * kRowsPerBlock;
  Real sum[kRowsPerBlock] = {};
  for (std::int64_t i = std::int64_t{threadIdx.x} * kPack; i < cols; i += kThreads * kPack) {
    Real xs[kPack];
#pragma unroll
    for (int j = 0; j < kPack; ++j) xs[j] = x[i + j];
#pragma unroll
    for (int r = 0; r < kRowsPerBlock; ++r) {
      const std::int64_t row = first + r < rows ? first + r : rows - 1;  // surplus rows repeat the last and are dropped
      alignas(16) W pack[kPack];
      LoadPack(pack, w + row * cols + i);
#pragma unroll
      for (int j = 0; j < kPack; ++j) sum[r] += static_cast<Real>(Rounded(AsFloat(pack[j]), rounding)) * xs[j];
    }
  }
#pragma unroll
  for (int r = 0; r < kRowsPerBlock; ++r) {
    const Real total = BlockSum(sum[r]);
    if (threadIdx.x == 0 && first + r < rows) out[first + r] = total;
  }
}

// x = table row * scale.
template <class W, class Real>
__global__ void LookUpKernel(Real* x, const W* row, std::int64_t count, Real scale, Rounding rounding) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) x[i] = static_cast<Real>(Rounded(AsFloat(row[i]), rounding)) * scale;
}

// A run of `width` values for each block: x * (mean(x^2) + eps)^-1/2 * weight. In place or not.
template <class Real>
__global__ void RmsKernel(Real* out, const Real* x, const float* weight, int width, float eps) {
  x += std::int64_t{blockIdx.x} * width;
  out += std::int64_t{blockIdx.x} * width;
  Real sum = 0;
  for (int i = threadIdx.x; i < width; i += blockDim.x) sum += x[i] * x[i];
  sum = BlockSum(sum);
  const Real scale = 1 / sqrt(sum / static_cast<Real>(width) + static_cast<Real>(eps));
  for (int i = threadIdx.x; i < width; i += blockDim.x)
    out[i] = x[i] * (weight == nullptr ? scale : scale * static_cast<Real>(weight[i]));
}

// Half-split pairs of a head for each block, turned by the float32 angle position * inv_freq; cosine and sine
// have the rope's gain (YaRN).
template <class Real>
__global__ void RopeKernel(Real* x, const float* inv_freq, Real gain, int half, int position) {
  x += std::int64_t{blockIdx.x} * 2 * half;
  for (int d = threadIdx.x; d < half; d += blockDim.x) {
    const Real angle = __fmul_rn(static_cast<float>(position), inv_freq[d]);
    const Real cosine = cos(angle) * gain, sine = sin(angle) * gain;
    const Real a = x[d], b = x[d + half];
    x[d] = a * cosine - b * sine;
    x[d + half] = b * cosine + a * sine;
  }
}

// Geometry of one attention: keys and values [position][width], of which positions first .. first + count - 1 are
// visible.
struct Span {
  std::int64_t width;
  int first, count, dim, group;  // group: query heads of a kv head
};

// s[head][j] = scale * q_head . k_(first + j), a warp each.
template <class Real>
__global__ void ScoreKernel(Real* s, const Real* q, const Real* keys, Span span, Real scale) {
  const int j = static_cast<int>(blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32),
            head = static_cast<int>(blockIdx.y);
  if (j >= span.count) return;
  const Real* k = keys + (std::int64_t{span.first} + j) * span.width + std::int64_t{head / span.group} * span.dim;
  Real sum = 0;
  for (int d = static_cast<int>(threadIdx.x) % 32; d < span.dim; d += 32)
    sum += q[std::int64_t{head} * span.dim + d] * k[d];
  for (int d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, d);
  if (threadIdx.x % 32 == 0) s[std::int64_t{head} * span.count + j] = scale * sum;
}

// e^(s - max) / sum over the `count` scores of a head for each block.
template <class Real>
__global__ void SoftmaxKernel(Real* s, int count) {
  s += std::int64_t{blockIdx.x} * count;
  Real largest = s[0];
  for (int j = threadIdx.x; j < count; j += blockDim.x) largest = max(largest, s[j]);
  largest = BlockMax(largest);
  Real sum = 0;
  for (int j = threadIdx.x; j < count; j += blockDim.x) sum += s[j] = exp(s[j] - largest);
  sum = BlockSum(sum);
  for (int j = threadIdx.x; j < count; j += blockDim.x) s[j] /= sum;
}

// o[head][d] = sum_j p[head][j] * v_(first + j)[d]; blocks of 32 x kMixGroups threads.
template <class Real>
__global__ void MixKernel(Real* out, const Real* p, const Real* values, Span span) {
  __shared__ Real part[kMixGroups][32];
  const int d = static_cast<int>(blockIdx.x * 32 + threadIdx.x), head = static_cast<int>(blockIdx.y);
  Real sum = 0;
  if (d < span.dim) {
    const Real* v = values + span.first * span.width + std::int64_t{head / span.group} * span.dim + d;
#pragma unroll 4
    for (int j = static_cast<int>(threadIdx.y); j < span.count; j += kMixGroups)
      sum += p[std::int64_t{head} * span.count + j] * v[j * span.width];
  }
  part[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || d >= span.dim) return;
  for (int g = 1; g < kMixGroups; ++g) sum += part[g][threadIdx.x];
  out[std::int64_t{head} * span.dim + d] = sum;
}

// Element by element.
template <class Real>
__global__ void RoundKernel(Real* out, const Real* x, std::int64_t count, Rounding rounding) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  if constexpr (sizeof(Real) == sizeof(float)) {
    out[i] = Rounded(x[i], rounding);
  } else {
    out[i] = x[i];
  }
}

// sum += a * factor.
template <class Real, class Addend>
__global__ void AddKernel(Real* sum, const Addend* a, std::int64_t count, Real factor) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) sum[i] += static_cast<Real>(a[i]) * factor;
}

template <class Real>
__global__ void ScaleKernel(Real* x, std::int64_t count, Real factor) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) x[i] *= factor;
}

// gate = act(gate) * up, silu(x) = x / (1 + e^-x), gelu(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
template <class Real>
__global__ void GateKernel(Real* gate, const Real* up, std::int64_t count, bool silu) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const Real x = gate[i];
  const Real inner = static_cast<Real>(0.79788456080286535588) * (x + static_cast<Real>(0.044715) * x * x * x);
  gate[i] = (silu ? x / (1 + exp(-x)) : x / 2 * (1 + tanh(inner))) * up[i];
}

// cap * tanh(z / cap).
template <class Real>
__global__ void CapKernel(Real* out, const Real* z, std::int64_t count, Real cap) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) out[i] = cap * tanh(z[i] / cap);
}

__device__ inline void Store(float* to, float v) { *to = v; }
__device__ inline void Store(__half* to, float v) { *to = __float2half_rn(v); }
__device__ inline void Store(__nv_bfloat16* to, float v) { *to = __float2bfloat16_rn(v); }

// offset + scale * random(key, i), rounded after each step as the host does.
template <class W>
__global__ void RecipeKernel(W* to, std::uint64_t key, float scale, float offset, std::int64_t count) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step)
    Store(to + i, __fadd_rn(offset, __fmul_rn(scale, RandomNormalish(key, static_cast<std::uint64_t>(i)))));
}

}  // namespace assay::single_user
