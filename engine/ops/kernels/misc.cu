// Row gathers, greedy feedback, and the elementwise steps that follow products computed by a library.
#include "engine/ops/kernels/kernels.h"
#include "engine/ops/kernels/reduce.cuh"

namespace assay {
namespace {

constexpr int kThreads = 256;

// Waits where the build says so (ASSAY_STEP_DELAY_NS): a gate is tried on a build that is slower by a known time.
__device__ __forceinline__ void DelayStep() {
#ifdef ASSAY_STEP_DELAY_NS
  const auto now = [] {
    unsigned long long ns;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(ns));
    return ns;
  };
  for (const unsigned long long begin = now(); now() - begin < ASSAY_STEP_DELAY_NS;) {
  }
#endif
}

template <class Unit>
__global__ void __launch_bounds__(kThreads)
    GatherKernel(Unit* out, const Unit* in, const std::int32_t* index, std::int64_t row_units) {
  LetSuccessorsStart();
  WaitForPredecessors();
  const std::int64_t row = blockIdx.x, from = index[row];
  for (std::int64_t i = std::int64_t{blockIdx.y} * kThreads + threadIdx.x; i < row_units;
       i += std::int64_t{gridDim.y} * kThreads)
    out[row * row_units + i] = in[from * row_units + i];
}

// Runs as one block, because all threads read *step before one of them advances it. Successors do not start early,
// because they may read the rows' description before they wait (launch.cuh).
__global__ void __launch_bounds__(kThreads)
    AdvanceKernel(std::int32_t* token, std::int32_t* position, Segment* segment, std::int32_t* history,
                  std::int32_t* step, const std::int32_t* best, int rows) {
  WaitForPredecessors();
  const std::int64_t now = *step;
  __syncthreads();
  for (int r = static_cast<int>(threadIdx.x); r < rows; r += kThreads) {
    const std::int32_t chosen = best[r], next = position[r] + 1;
    token[r] = chosen;
    position[r] = next;
    segment[r].first_position = next;
    history[now * rows + r] = chosen;
  }
  if (threadIdx.x == 0) *step = static_cast<std::int32_t>(now + 1);
  DelayStep();
}

template <class T, int kVector>
__global__ void __launch_bounds__(kThreads)
    GateKernel(T* operand, const float* gate_up, std::int64_t rows, std::int64_t width, Activation activation) {
  LetSuccessorsStart();
  WaitForPredecessors();
  const std::int64_t units = width / kVector, count = rows * units;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * kThreads) {
    const std::int64_t row = i / units, o = i % units * kVector;
    const float* gate = gate_up + row * 2 * width + o;
    if constexpr (kVector == 4) {
      const float4 g = Load4(gate), u = Load4(gate + width);
      Store4(operand + row * width + o, {Activate<T>(g.x, activation) * u.x, Activate<T>(g.y, activation) * u.y,
                                         Activate<T>(g.z, activation) * u.z, Activate<T>(g.w, activation) * u.w});
    } else {
      operand[row * width + o] = RoundTo<T>(Activate<T>(gate[0], activation) * gate[width]);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    PleProductKernel(T* operand, const float* gate, const float* ple, std::int64_t ple_stride, std::int64_t rows,
                     std::int64_t width, Activation activation) {
  LetSuccessorsStart();
  WaitForPredecessors();
  const std::int64_t count = rows * width;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * kThreads)
    operand[i] = RoundTo<T>(Activate<T>(gate[i], activation) * ple[i / width * ple_stride + i % width]);
}

__global__ void __launch_bounds__(kThreads)
    AddBiasKernel(float* x, const float* bias, std::int64_t rows, std::int64_t width) {
  LetSuccessorsStart();
  WaitForPredecessors();
  const std::int64_t count = rows * width;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * kThreads)
    x[i] += bias[i % width];
}

__global__ void FenceKernel() {}

// Blocks for `count` independent items: enough to fill the device a few times; each takes the rest by stride.
unsigned Blocks(const KernelContext& ctx, std::int64_t count) {
  const std::int64_t needed = (count + kThreads - 1) / kThreads, most = std::int64_t{16} * ctx.sm_count;
  return static_cast<unsigned>(needed < most ? needed : most);
}

template <class Unit>
void Gather(const KernelContext& ctx, void* out, const void* in, const std::int32_t* index, int count,
            std::int64_t row_bytes) {
  const std::int64_t units = row_bytes / static_cast<std::int64_t>(sizeof(Unit));
  const std::int64_t blocks = (units + kThreads - 1) / kThreads;
  Launch(GatherKernel<Unit>, dim3(static_cast<unsigned>(count), static_cast<unsigned>(blocks < 64 ? blocks : 64)),
         dim3(kThreads), 0, ctx, static_cast<Unit*>(out), static_cast<const Unit*>(in), index, units);
}

}  // namespace

void LaunchFence(const KernelContext& ctx) {
  // Launched the ordinary way it starts when its predecessors have ended, and its successors wait for it.
  KernelContext ordinary = ctx;
  ordinary.pdl = false;
  Launch(FenceKernel, dim3(1), dim3(1), 0, ordinary);
}

void LaunchAddBias(const KernelContext& ctx, float* x, const float* bias, int rows, int width) {
  Launch(AddBiasKernel, dim3(Blocks(ctx, std::int64_t{rows} * width)), dim3(kThreads), 0, ctx, x, bias,
         std::int64_t{rows}, std::int64_t{width});
}

void LaunchGatherRows(const KernelContext& ctx, void* out, const void* in, const std::int32_t* index, int count,
                      std::int64_t row_bytes) {
  const auto together = reinterpret_cast<std::uintptr_t>(out) | reinterpret_cast<std::uintptr_t>(in) |
                        static_cast<std::uintptr_t>(row_bytes);
  if (together % 16 == 0) {
    Gather<uint4>(ctx, out, in, index, count, row_bytes);
  } else if (together % 4 == 0) {
    Gather<std::uint32_t>(ctx, out, in, index, count, row_bytes);
  } else {
    Gather<unsigned char>(ctx, out, in, index, count, row_bytes);
  }
}

void LaunchAdvance(const KernelContext& ctx, const Ops::AdvanceArgs& args) {
  Launch(AdvanceKernel, dim3(1), dim3(kThreads), 0, ctx, args.token, args.position, args.segment, args.history,
         args.step, args.best, args.rows);
}

void LaunchGate(const KernelContext& ctx, void* operand, const float* gate_up, int rows, std::int64_t width,
                Activation activation) {
  const bool quads = width % 4 == 0 && Aligned16(gate_up) && Aligned16(operand);
  WithOperand(ctx.precision, [&](auto type) {
    using T = decltype(type);
    Launch(quads ? GateKernel<T, 4> : GateKernel<T, 1>, dim3(Blocks(ctx, rows * (quads ? width / 4 : width))),
           dim3(kThreads), 0, ctx, static_cast<T*>(operand), gate_up, std::int64_t{rows}, width, activation);
  });
}

void LaunchPleProduct(const KernelContext& ctx, void* operand, const float* gate, const float* ple,
                      std::int64_t ple_stride, int rows, std::int64_t width, Activation activation) {
  WithOperand(ctx.precision, [&](auto type) {
    using T = decltype(type);
    Launch(PleProductKernel<T>, dim3(Blocks(ctx, rows * width)), dim3(kThreads), 0, ctx, static_cast<T*>(operand), gate,
           ple, ple_stride, std::int64_t{rows}, width, activation);
  });
}

}  // namespace assay
