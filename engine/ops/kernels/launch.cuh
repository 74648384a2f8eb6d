// Launching kernels with programmatic dependent launch.
//
// With ctx.pdl a kernel may start while its predecessors in the stream still run. Three rules make that safe; they hold
// for every kernel of the project, whether or not it is launched this way:
//   1. every thread of every block calls WaitForPredecessors() before it reads or writes any memory that another kernel
//      of a step writes or reads (activations, caches, workspace, semaphores), early exits included. Weights and other
//      memory written only at load may be read or prefetched before. So may the description of the rows (token,
//      position, session, segments): only copies write it and Advance, whose successors start when it has ended;
//   2. activations are read through plain pointers: no const __restrict__, no __ldg, no ld.nc. The compiler may turn
//      those into loads that bypass coherence or move above the wait;
//   3. LetSuccessorsStart() is a hint only and may come at any place; successors still wait for full completion.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>
#include <utility>

#include "engine/base/activation.h"
#include "engine/memory/cuda_check.h"
#include "engine/ops/kernels/kernel_context.h"

namespace assay {

__device__ __forceinline__ void WaitForPredecessors() {
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
#ifdef ASSAY_BLOCK_DELAY_NS
  // The last block is late with all it stores: who does not wait for it reads what was there before.
  if (blockIdx.x == gridDim.x - 1 && blockIdx.y == gridDim.y - 1 && blockIdx.z == gridDim.z - 1) {
    std::uint64_t now = 0;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now)::"memory");
    for (const std::uint64_t end = now + ASSAY_BLOCK_DELAY_NS; now < end;)
      asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now)::"memory");
  }
#endif
}
__device__ __forceinline__ void LetSuccessorsStart() {
#if __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

// Counts kernel<<<grid, block, smem, ctx.stream>>>(args...) and enqueues it if ctx.launches, `cluster` blocks of grid.x
// a cluster. Throws DeviceError on a failed launch. An empty grid is not launched.
template <class... Params, class... Args>
void LaunchClusters(unsigned cluster, void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t smem,
                    const KernelContext& ctx, Args&&... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  Require<Error>(smem <= ctx.shared_memory, "a kernel needs {} bytes of shared memory, {} are to be had", smem,
                 ctx.shared_memory);
  if (ctx.counters != nullptr) ++ctx.counters->kernel_launches;
  if (!ctx.launches) return;
  // Above 48 KiB, what a kernel declares itself (at most 8 beside so little) counted in, it must be asked for.
  if (smem > 40 * 1024) {
    ASSAY_CUDA(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(smem)));
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = smem;
  config.stream = ctx.stream;
  cudaLaunchAttribute attributes[2] = {};
  config.attrs = attributes;
  if (ctx.pdl) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
  }
  if (cluster > 1) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {cluster, 1, 1};
  }
  ASSAY_CUDA(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(std::forward<Args>(args))...));
  if (ctx.log != nullptr) [[unlikely]]
    ctx.log->kernels.insert(reinterpret_cast<const void*>(kernel));
}
template <class... Params, class... Args>
void Launch(void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t smem, const KernelContext& ctx,
            Args&&... args) {
  LaunchClusters(1, kernel, grid, block, smem, ctx, std::forward<Args>(args)...);
}

// Calls f with a value of the operand type: f(T{}), T one of float, __half, __nv_bfloat16.
template <class F>
decltype(auto) WithOperand(Precision precision, F&& f) {
  if (precision.operands == DType::kF32) return f(float{});
  if (precision.operands == DType::kF16) return f(__half{});
  return f(__nv_bfloat16{});
}

// Calls f with a value of the type that keys and values are kept in, in a mode whose operands are T.
template <class T, class F>
decltype(auto) WithCached(Precision precision, F&& f) {
  if (precision.kv == DType::kF8_E4M3) return f(__nv_fp8_e4m3{});
  return f(T{});
}

__device__ __forceinline__ float AsFloat(float v) { return v; }
__device__ __forceinline__ float AsFloat(__half v) { return __half2float(v); }
__device__ __forceinline__ float AsFloat(__nv_bfloat16 v) { return __bfloat162float(v); }
__device__ __forceinline__ float AsFloat(__nv_fp8_e4m3 v) { return static_cast<float>(v); }

// Round to nearest even; what exceeds the largest e4m3 becomes it.
template <class T>
__device__ __forceinline__ T RoundTo(float v) {
  if constexpr (std::is_same_v<T, float>)
    return v;
  else if constexpr (std::is_same_v<T, __half>)
    return __float2half_rn(v);
  else if constexpr (std::is_same_v<T, __nv_fp8_e4m3>)
    return __nv_fp8_e4m3(v);
  else
    return __float2bfloat16_rn(v);
}

// What becomes a 16-bit operand needs no last bits.
template <class T>
__device__ __forceinline__ float Activate(float x, Activation activation) {
  // (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u))
  const float u = activation == Activation::kSilu ? x : 1.5957691216057308f * (x + 0.044715f * x * x * x);
  if constexpr (std::is_same_v<T, float>)
    return x / (1.0f + expf(-u));
  else
    return __fdividef(x, 1.0f + __expf(-u));
}

}  // namespace assay
