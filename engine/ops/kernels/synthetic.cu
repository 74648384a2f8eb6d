// Makes synthetic weights on the device, bit for bit what the host makes, by integer arithmetic and single roundings.
#include "engine/base/random.h"
#include "engine/ops/kernels/convert.h"
#include "engine/ops/kernels/launch.cuh"

namespace assay {
namespace {

constexpr int kThreads = 256;

// Computes offset + scale * r without contraction.
__device__ __forceinline__ float Value(const SyntheticFill& fill, std::int64_t i) {
  return __fadd_rn(fill.offset, __fmul_rn(fill.scale, RandomNormalish(fill.key, static_cast<std::uint64_t>(i))));
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    PlainKernel(T* to, SyntheticFill fill, std::int64_t first, std::int64_t count) {
  WaitForPredecessors();
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count; i += step)
    to[i] = RoundTo<T>(Value(fill, first + i));
}

// A warp encodes a block of 32, as QuantiseRow of engine/base/quant.h does.
__global__ void __launch_bounds__(kThreads)
    BlockKernel(unsigned char* to, bool eight, SyntheticFill fill, std::int64_t first, std::int64_t blocks) {
  WaitForPredecessors();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * (kThreads / 32);
  for (std::int64_t b = static_cast<std::int64_t>(blockIdx.x) * (kThreads / 32) + threadIdx.x / 32; b < blocks;
       b += step) {
    const float x = Value(fill, first + 32 * b + lane);
    float amax = fabsf(x);
    int at = lane;  // the first element of largest magnitude
    for (int d = 16; d > 0; d /= 2) {
      const float other = __shfl_xor_sync(0xffffffffu, amax, d);
      const int where = __shfl_xor_sync(0xffffffffu, at, d);
      if (other > amax || (other == amax && where < at)) amax = other, at = where;
    }
    const float largest = __shfl_sync(0xffffffffu, x, at);
    const float d = eight ? __fdiv_rn(amax, 127.0f) : __fdiv_rn(largest, -8.0f);
    const float inverse = fabsf(d) > 0x1p-126f ? __fdiv_rn(1.0f, d) : 0.0f;
    unsigned char* block = to + b * (eight ? 34 : 18);
    if (lane == 0) *reinterpret_cast<__half*>(block) = __float2half_rn(d);
    if (eight) {
      const float q = fminf(fmaxf(roundf(__fmul_rn(x, inverse)), -128.0f), 127.0f);
      block[2 + lane] = static_cast<unsigned char>(static_cast<signed char>(q));
    } else {
      const int q = min(max(static_cast<int>(__fadd_rn(__fmul_rn(x, inverse), 8.5f)), 0), 15);
      const int high = __shfl_down_sync(0xffffffffu, q, 16);
      if (lane < 16) block[2 + lane] = static_cast<unsigned char>(q | (high << 4));
    }
  }
}

}  // namespace

void LaunchSynthetic(const KernelContext& ctx, void* to, DType type, const SyntheticFill& fill, std::int64_t first,
                     std::int64_t count) {
  const dim3 grid(
      static_cast<unsigned>(std::min<std::int64_t>((count + kThreads - 1) / kThreads, 64 * std::max(ctx.sm_count, 1)))),
      block(kThreads);
  switch (type) {
    case DType::kF32:
      return Launch(PlainKernel<float>, grid, block, 0, ctx, static_cast<float*>(to), fill, first, count);
    case DType::kF16:
      return Launch(PlainKernel<__half>, grid, block, 0, ctx, static_cast<__half*>(to), fill, first, count);
    case DType::kBF16:
      return Launch(PlainKernel<__nv_bfloat16>, grid, block, 0, ctx, static_cast<__nv_bfloat16*>(to), fill, first,
                    count);
    case DType::kQ8_0:
    case DType::kQ4_0:
      return Launch(BlockKernel, grid, block, 0, ctx, static_cast<unsigned char*>(to), type == DType::kQ8_0, fill,
                    first, count / 32);
    default:
      if (!ctx.launches) return;  // a plan's weights, of any type, are never made
      Throw<InputError>("no recipe makes {}: expected F32, F16, BF16, Q8_0 or Q4_0", Name(type));
  }
}

}  // namespace assay
