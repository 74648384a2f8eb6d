// Router: one kernel computes the experts' logits (warps over experts, rows in tiles), a second one softmax, choice and
// weights (a warp per row). They are two kernels, because one block alone would read the router at a single
// multiprocessor's share of bandwidth.
#include <algorithm>

#include "engine/ops/kernels/kernels.h"
#include "engine/ops/kernels/reduce.cuh"

namespace assay {
namespace {

constexpr int kWarps = 8;
constexpr int kChoiceWarps = 4;
constexpr std::size_t kDefaultShared = 48 * 1024;

// Puts the normed input of row `row` into shared memory. Each block of a row computes it anew, in the same order.
__device__ __forceinline__ void NormedInput(float* input, const float* x, const float* router_scale, int hidden,
                                            float root, float eps, float* scratch) {
  float sum = 0.0f;
  for (int i = static_cast<int>(threadIdx.x); i < hidden; i += kWarps * 32) {
    const float v = x[i];
    input[i] = v;
    sum += v * v;
  }
  const float inverse = InverseRms(BlockSum(sum, scratch), hidden, eps);
  for (int i = static_cast<int>(threadIdx.x); i < hidden; i += kWarps * 32)
    input[i] = input[i] * inverse * router_scale[i] * root;
  __syncthreads();
}

// Computes logits[row, e]. A warp computes kExperts experts for kRows rows. The sum of a (row, expert) runs in the same
// order in every instance: lane l takes vectors l, l + 32, ... and the lanes are added last.
template <int kRows, int kExperts, int kVector>
__global__ void __launch_bounds__(kWarps * 32)
    RouteLogits(float* logits, const float* x, const float* router, const float* router_scale, int rows, int hidden,
                int experts, float root, float eps) {
  extern __shared__ float4 shared4[];
  auto* input = reinterpret_cast<float*>(shared4);  // [kRows, hidden]
  __shared__ float scratch[kRows][32];
  LetSuccessorsStart();
  WaitForPredecessors();
  const int first_row = static_cast<int>(blockIdx.y) * kRows, lane = static_cast<int>(threadIdx.x) % 32;
  const int first = (static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32) * kExperts;
#pragma unroll 1
  for (int r = 0; r < kRows; ++r) {
    const std::int64_t row = min(first_row + r, rows - 1);  // rows past the end repeat the last one and are not written
    NormedInput(input + r * hidden, x + row * hidden, router_scale, hidden, root, eps, scratch[r]);
  }
  float sum[kRows][kExperts] = {};
  const float* w[kExperts];
#pragma unroll
  for (int e = 0; e < kExperts; ++e) w[e] = router + std::int64_t{min(first + e, experts - 1)} * hidden;
#pragma unroll 2
  for (int i = lane; i < hidden / kVector; i += 32) {
    if constexpr (kVector == 4) {
      float4 weight[kExperts];
#pragma unroll
      for (int e = 0; e < kExperts; ++e) weight[e] = Load4(w[e] + 4 * i);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float4 v = Load4(input + r * hidden + 4 * i);
#pragma unroll
        for (int e = 0; e < kExperts; ++e) {
          sum[r][e] = fmaf(weight[e].x, v.x, sum[r][e]);
          sum[r][e] = fmaf(weight[e].y, v.y, sum[r][e]);
          sum[r][e] = fmaf(weight[e].z, v.z, sum[r][e]);
          sum[r][e] = fmaf(weight[e].w, v.w, sum[r][e]);
        }
      }
    } else {
#pragma unroll
      for (int r = 0; r < kRows; ++r)
#pragma unroll
        for (int e = 0; e < kExperts; ++e) sum[r][e] = fmaf(w[e][i], input[r * hidden + i], sum[r][e]);
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int e = 0; e < kExperts; ++e) {
      const float total = WarpSum(sum[r][e]);
      if (lane == 0 && first_row + r < rows && first + e < experts)
        logits[std::int64_t{first_row + r} * experts + first + e] = total;
    }
  }
}

__global__ void __launch_bounds__(kChoiceWarps * 32)
    RouteChoice(std::int32_t* expert, float* weight, const float* logits, const float* expert_scale, int rows,
                int experts, int top_k) {
  extern __shared__ float4 shared4[];
  LetSuccessorsStart();
  WaitForPredecessors();
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>(blockIdx.x) * kChoiceWarps + warp;
  if (row >= rows) return;
  float* p = reinterpret_cast<float*>(shared4) + warp * (experts + top_k);  // lane l owns p[l], p[l + 32], ...
  float* chosen = p + experts;
  float largest = -INFINITY, sum = 0.0f;
  for (int e = lane; e < experts; e += 32) {
    p[e] = logits[std::int64_t{row} * experts + e];
    largest = fmaxf(largest, p[e]);
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, step));
  for (int e = lane; e < experts; e += 32) {
    p[e] = expf(p[e] - largest);
    sum += p[e];
  }
  sum = WarpSum(sum);
  for (int e = lane; e < experts; e += 32) p[e] /= sum;
  float total = 0.0f;
  for (int k = 0; k < top_k; ++k) {
    float best = -2.0f;
    int index = experts;
    for (int e = lane; e < experts; e += 32) {
      if (p[e] > best) {  // ascending e: the first of equals
        best = p[e];
        index = e;
      }
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
      const float other = __shfl_xor_sync(0xffffffffu, best, step);
      const int other_index = __shfl_xor_sync(0xffffffffu, index, step);
      if (other > best || (other == best && other_index < index)) {
        best = other;
        index = other_index;
      }
    }
    if (index == experts) index = k < experts ? k : 0;  // only NaN is left: stay in range, the weight carries the NaN
    best = __shfl_sync(0xffffffffu, index % 32 == lane ? p[index] : 0.0f, index % 32);
    total += best;
    if (lane == 0) {
      expert[std::int64_t{row} * top_k + k] = index;
      chosen[k] = best;
    }
    if (index % 32 == lane) p[index] = -1.0f;
  }
  __syncwarp();
  for (int k = lane; k < top_k; k += 32) {
    const std::int64_t at = std::int64_t{row} * top_k + k;
    weight[at] = chosen[k] / total * (expert_scale != nullptr ? expert_scale[expert[at]] : 1.0f);
  }
}

template <int kRows, int kExperts, int kVector>
void Enqueue(const KernelContext& ctx, const Ops::RouteArgs& args, float* logits) {
  const int experts_per_block = kWarps * kExperts;
  const dim3 grid(static_cast<unsigned>((args.experts + experts_per_block - 1) / experts_per_block),
                  static_cast<unsigned>((args.rows + kRows - 1) / kRows));
  Launch(RouteLogits<kRows, kExperts, kVector>, grid, dim3(kWarps * 32),
         std::int64_t{kRows} * args.hidden * sizeof(float), ctx, logits, args.x, args.router, args.router_scale,
         args.rows, args.hidden, args.experts, 1.0f / sqrtf(static_cast<float>(args.hidden)), args.eps);
}

}  // namespace

void LaunchRoute(const KernelContext& ctx, const Ops::RouteArgs& args) {
  constexpr int kTile = 8;
  auto* logits = static_cast<float*>(ctx.Workspace(std::int64_t{args.rows} * args.experts * sizeof(float)));
  const bool quads = args.hidden % 4 == 0 && Aligned16(args.router);
  const bool tiled = args.rows >= 4 * kTile && sizeof(float) * args.hidden * kTile <= 2 * kDefaultShared;
  if (!quads) {
    Enqueue<1, 1, 1>(ctx, args, logits);
  } else if (tiled) {
    Enqueue<kTile, 4, 4>(ctx, args, logits);
  } else {
    Enqueue<1, 1, 4>(ctx, args, logits);
  }
  const std::size_t shared = sizeof(float) * kChoiceWarps * (args.experts + args.top_k);
  Launch(RouteChoice, dim3(static_cast<unsigned>((args.rows + kChoiceWarps - 1) / kChoiceWarps)),
         dim3(kChoiceWarps * 32), shared, ctx, args.expert, args.weight, logits, args.expert_scale, args.rows,
         args.experts, args.top_k);
}

}  // namespace assay
