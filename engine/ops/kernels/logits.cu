// Final soft cap and argmax. Blocks reduce slices of the vocabulary, then one block for each row reduces the slices.
// Keys are unique and the largest wins, so the result does not depend on any order.
#include "engine/ops/kernels/fault.cuh"
#include "engine/ops/kernels/kernels.h"
#include "engine/ops/kernels/reduce.cuh"

namespace assay {
namespace {

constexpr int kThreads = 256;
constexpr int kSlice = 2048;  // entries of a block: eight a thread, so that one row of 262144 fills the device

using Key = unsigned long long;

// A key that is ordered by value, then by lower index first. NaN gets 0, which is below the key of every number, and
// zeros of both signs are equal.
__device__ __forceinline__ Key KeyOf(float value, std::uint32_t index) {
  if (isnan(value)) return 0;
  const std::uint32_t bits = value == 0.0f ? 0u : __float_as_uint(value);
  const std::uint32_t ordered = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
  return (static_cast<Key>(ordered) << 32) | (0xffffffffu - index);
}

__device__ __forceinline__ Key BlockMax(Key key, Key* scratch) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    const Key other = __shfl_xor_sync(0xffffffffu, key, step);
    key = other > key ? other : key;
  }
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = key;
  __syncthreads();
  for (int w = 0; w < kThreads / 32; ++w) key = scratch[w] > key ? scratch[w] : key;
  return key;
}

__device__ __forceinline__ float Capped(float raw, float cap) { return cap > 0.0f ? cap * tanhf(raw / cap) : raw; }

// Arrival counters of split sums, which are zero when no product runs. What is not is reported and put right.
struct Arrivals {
  std::uint32_t* counters;
  int count;
  std::uint64_t* fault;
  __device__ void Check() const {
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
      const std::uint32_t held = counters[i];
      if (held == 0) continue;
      Report(fault, KernelFault::kArrivals, held, 0);
      counters[i] = 0;
    }
  }
};

template <int kVector>
__global__ void __launch_bounds__(kThreads)
    CapKernel(float* capped, Key* partial, const float* raw, int vocab, float cap, Arrivals arrivals) {
  __shared__ Key scratch[kThreads / 32];
  LetSuccessorsStart();
  WaitForPredecessors();
  const std::int64_t row = blockIdx.x;
  const int first = static_cast<int>(blockIdx.y) * kSlice;
  if (blockIdx.x == 0 && blockIdx.y == 0) arrivals.Check();  // every step ends with this kernel
  Key best = 0;
#pragma unroll
  for (int i = 0; i < kSlice / kThreads / kVector; ++i) {
    const int at = first + (i * kThreads + static_cast<int>(threadIdx.x)) * kVector;
    if (at >= vocab) break;
    const float* from = raw + row * vocab + at;
    float v[kVector];
    if constexpr (kVector == 4) {
      *reinterpret_cast<float4*>(v) = Load4(from);
    } else {
      v[0] = *from;
    }
#pragma unroll
    for (int j = 0; j < kVector; ++j) {
      v[j] = Capped(v[j], cap);
      const Key key = KeyOf(v[j], static_cast<std::uint32_t>(at + j));
      best = key > best ? key : best;
    }
    if (capped == nullptr) continue;
    if constexpr (kVector == 4) {
      *reinterpret_cast<float4*>(capped + row * vocab + at) = *reinterpret_cast<const float4*>(v);
    } else {
      capped[row * vocab + at] = v[0];
    }
  }
  if (partial == nullptr) return;
  best = BlockMax(best, scratch);
  if (threadIdx.x == 0) partial[row * gridDim.y + blockIdx.y] = best;
}

__global__ void __launch_bounds__(kThreads) BestKernel(std::int32_t* best, const Key* partial, int slices) {
  __shared__ Key scratch[kThreads / 32];
  LetSuccessorsStart();
  WaitForPredecessors();
  const std::int64_t row = blockIdx.x;
  Key key = 0;
  for (int i = static_cast<int>(threadIdx.x); i < slices; i += kThreads) {
    const Key other = partial[row * slices + i];
    key = other > key ? other : key;
  }
  key = BlockMax(key, scratch);
  if (threadIdx.x == 0)
    best[row] = key == 0 ? 0 : static_cast<std::int32_t>(0xffffffffu - static_cast<std::uint32_t>(key));
}

int Slices(int vocab) { return (vocab + kSlice - 1) / kSlice; }

}  // namespace

void LaunchLogits(const KernelContext& ctx, const Ops::LogitsArgs& args) {
  if (args.capped == nullptr && args.best == nullptr) return;
  const int slices = Slices(args.vocab);
  Key* partial = nullptr;
  if (args.best != nullptr) partial = static_cast<Key*>(ctx.Workspace(std::int64_t{args.rows} * slices * sizeof(Key)));
  const bool quads = args.vocab % 4 == 0 && Aligned16(args.raw) && Aligned16(args.capped);
  Launch(quads ? CapKernel<4> : CapKernel<1>, dim3(static_cast<unsigned>(args.rows), static_cast<unsigned>(slices)),
         dim3(kThreads), 0, ctx, args.capped, partial, args.raw, args.vocab, args.cap,
         Arrivals{ctx.semaphores, ctx.semaphores_used == nullptr ? 0 : *ctx.semaphores_used, ctx.fault});
  if (partial != nullptr)
    Launch(BestKernel, dim3(static_cast<unsigned>(args.rows)), dim3(kThreads), 0, ctx, args.best, partial, slices);
}

}  // namespace assay
