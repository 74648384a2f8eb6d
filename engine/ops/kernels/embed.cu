// Looks up the embedding row of a token, and makes the per-layer input of a projected context and a table row.
#include "engine/ops/kernels/fault.cuh"
#include "engine/ops/kernels/kernels.h"
#include "engine/ops/kernels/reduce.cuh"
#include "engine/ops/kernels/weight_view.cuh"

namespace assay {
namespace {

constexpr int kEmbedThreads = 256;
constexpr int kPleWarps = 8;
constexpr float kRootHalf = 0.70710678118654752440f;

// Nothing outside the table is read.
__device__ __forceinline__ std::int64_t RowOf(std::int32_t token, const WeightView& table) {
  return token >= 0 && token < table.rows ? token : 0;
}

template <class T>
__global__ void __launch_bounds__(kEmbedThreads)
    EmbedKernel(float* x, T* operand, WeightView table, const std::int32_t* token, float scale, std::uint64_t* fault) {
  LetSuccessorsStart();
  WaitForPredecessors();
  const std::int64_t row = blockIdx.x, cols = table.cols;
  const std::int64_t id = RowOf(token[row], table);
  if (id != token[row] && blockIdx.y == 0 && threadIdx.x == 0)
    Report(fault, KernelFault::kToken, token[row], table.rows);
  for (std::int64_t i = blockIdx.y * std::int64_t{kEmbedThreads} + threadIdx.x; i < cols;
       i += std::int64_t{gridDim.y} * kEmbedThreads) {
    const float v = WeightElement(table, id, i) * scale;
    x[row * cols + i] = v;
    if (operand != nullptr) operand[row * cols + i] = RoundTo<T>(v);
  }
}

// A warp works on one (row, layer).
__global__ void __launch_bounds__(kPleWarps * 32)
    PleInputKernel(float* ple, const float* context, WeightView table, const float* norm, const std::int32_t* token,
                   int rows, int layers, int width, float token_scale, float context_scale, float eps) {
  LetSuccessorsStart();
  WaitForPredecessors();
  const std::int64_t task = std::int64_t{blockIdx.x} * kPleWarps + threadIdx.x / 32;
  if (task >= std::int64_t{rows} * layers) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t row = task / layers, layer = task % layers, at = task * width,
                     id = RowOf(token[row], table);  // reported by EmbedKernel
  float sum = 0.0f;
  for (int i = lane; i < width; i += 32) {
    const float v = context[at + i] * context_scale;
    sum += v * v;
  }
  const float inverse = InverseRms(WarpSum(sum), width, eps);
  for (int i = lane; i < width; i += 32) {
    const float v = context[at + i] * context_scale;
    ple[at + i] = (v * inverse * norm[i] + WeightElement(table, id, layer * width + i) * token_scale) * kRootHalf;
  }
}

}  // namespace

void LaunchEmbed(const KernelContext& ctx, const Ops::EmbedArgs& args) {
  const WeightView& table = ViewOf(*args.table);
  // Few rows are spread over several blocks, because latency and not bandwidth bounds the gather.
  const auto blocks = static_cast<unsigned>((table.cols + kEmbedThreads - 1) / kEmbedThreads);
  WithOperand(ctx.precision, [&](auto type) {
    using T = decltype(type);
    Launch(EmbedKernel<T>, dim3(static_cast<unsigned>(args.rows->count), args.rows->count > 64 ? 1u : blocks),
           dim3(kEmbedThreads), 0, ctx, args.x, static_cast<T*>(args.operand), table, args.rows->token, args.scale,
           ctx.fault);
  });
}

void LaunchPleInput(const KernelContext& ctx, const Ops::PleInputArgs& args) {
  const std::int64_t tasks = std::int64_t{args.rows->count} * args.layers;
  Launch(PleInputKernel, dim3(static_cast<unsigned>((tasks + kPleWarps - 1) / kPleWarps)), dim3(kPleWarps * 32), 0, ctx,
         args.ple, args.context, ViewOf(*args.table), args.norm, args.rows->token, args.rows->count, args.layers,
         args.width, args.token_scale, args.context_scale, args.eps);
}

}  // namespace assay
