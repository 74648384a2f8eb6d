// Merges the chunks of a row in their order. A kernel of its own: a last-arriving block would read all partial results
// of long contexts at one multiprocessor's bandwidth.
#include <algorithm>

#include "engine/ops/kernels/attention_split.cuh"
#include "engine/ops/kernels/flash.cuh"

namespace assay {
namespace {

constexpr int kMergeThreads = 512;
constexpr int kMergeGroups = 16;  // the most that share one (row, head)
constexpr int kBlocksPerSm = 8;   // what the grid of chunks aims at where there is a choice

// A block per (row, head). `early`: the product that follows may read its weights ahead while the keys are read. It
// pays for one row; the blocks of the product for more rows take the room that keys need. Group g of threads adds
// chunks g, g + groups, ... in order, then the groups are added in order.
template <class T, int kVector>
__global__ void __launch_bounds__(kMergeThreads)
    MergeKernel(T* out, Partials partials, const std::int32_t* position, AttentionShape shape, int head_dim, int groups,
                bool early) {
  extern __shared__ float floats[];
  __shared__ float scratch[2][kMergeThreads / 32];
  const std::int64_t row = blockIdx.x;
  const int head = static_cast<int>(blockIdx.y);
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), lane = thread % 32;
  const int units = head_dim / kVector, group = thread / units, at = thread % units * kVector;
  float* factor = floats;                                  // [capacity]
  float* sums = floats + (partials.capacity + 3) / 4 * 4;  // [groups, head_dim]
  const std::int64_t index = partials.Index(row, shape.heads, head, 0);
  const float* const from = partials.values + index * head_dim + at;
  const auto values_of = [&](float(&v)[kVector], int c) {
    if constexpr (kVector == 4)
      *reinterpret_cast<float4*>(v) = Load4(from + std::int64_t{c} * head_dim);
    else
      *reinterpret_cast<float2*>(v) = *reinterpret_cast<const float2*>(from + std::int64_t{c} * head_dim);
  };
  const KeySpan span = SpanOf(position[row], shape.window, shape.aligned, shape.joined);
  const int chunks = min(span.chunks, partials.capacity);
  if (early) LetSuccessorsStart();
  WaitForPredecessors();
  if (!early) LetSuccessorsStart();
  if (span.chunks == 1) return;  // written by the chunk itself
  // A thread reads its first statistics and values together, so that it waits for memory once.
  float2 first_stats = {-INFINITY, 0.0f};
  if (thread < chunks) first_stats = partials.stats[index + thread];
  float first[kVector] = {};
  if (group < groups && group < chunks) values_of(first, group);
  const auto stats_of = [&](int c) { return c == thread ? first_stats : partials.stats[index + c]; };
  float top = -INFINITY;
  for (int c = thread; c < chunks; c += threads) top = fmaxf(top, stats_of(c).x);
#pragma unroll
  for (int step = 16; step > 0; step /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, step));
  if (lane == 0) scratch[0][thread / 32] = top;
  __syncthreads();
  for (int w = 0; w < threads / 32; ++w) top = fmaxf(top, scratch[0][w]);
  float sum = 0.0f;
  for (int c = thread; c < chunks; c += threads) {
    const float2 stats = stats_of(c);
    factor[c] = exp2f((stats.x - top) * shape.scale2);
    sum += factor[c] * stats.y;
  }
  const float inverse = 1.0f / BlockSum(sum, scratch[1]);  // its barrier also publishes `factor`
  if (group < groups) {
    float total[kVector] = {};
    if (group < chunks) {
#pragma unroll
      for (int j = 0; j < kVector; ++j) total[j] = factor[group] * first[j];
    }
#pragma unroll 4
    for (int c = group + groups; c < chunks; c += groups) {
      float v[kVector];
      values_of(v, c);
#pragma unroll
      for (int j = 0; j < kVector; ++j) total[j] = fmaf(factor[c], v[j], total[j]);
    }
#pragma unroll
    for (int j = 0; j < kVector; ++j) sums[group * head_dim + at + j] = total[j];
  }
  __syncthreads();
  for (int d = thread; d < head_dim; d += threads) {
    float total = 0.0f;
    for (int g = 0; g < groups; ++g) total += sums[g * head_dim + d];
    out[(row * shape.heads + head) * head_dim + d] = RoundTo<T>(total * inverse);
  }
}

}  // namespace

int ChunkCapacity(const KernelContext& ctx, const Ops::AttentionArgs& args, int joined) {
  const int bound = args.rows->context_bound > 0 ? args.rows->context_bound : args.kv->slots;
  const bool windowed = args.window > 0 && args.window < bound;
  return MostChunks(windowed ? args.window : bound, windowed && ctx.batch_invariant, joined);
}

AttentionShape ShapeOf(const KernelContext& ctx, const Ops::AttentionArgs& args) {
  return {args.heads, args.heads / args.kv->kv_heads, args.window, args.scale * kLog2E, ctx.batch_invariant, 1};
}

int JoinedChunks(const KernelContext& ctx, std::int64_t others, int capacity, int resident) {
  if (ctx.batch_invariant || others * capacity <= std::int64_t{resident} * ctx.sm_count) return 1;
  const auto share = [](std::int64_t all, std::int64_t of) { return (all + of - 1) / of; };
  const std::int64_t busy = share(std::int64_t{7} * ctx.sm_count, 8), parts = share(busy, others),
                     joined = share(capacity, parts);
  return static_cast<int>(others * share(capacity, joined) >= busy ? joined : capacity / parts);
}

unsigned ChunkBlocks(const KernelContext& ctx, std::int64_t others, int capacity) {
  const std::int64_t wanted = (std::int64_t{kBlocksPerSm} * ctx.sm_count + others - 1) / others;
  return static_cast<unsigned>(wanted < capacity ? (wanted > 0 ? wanted : 1) : capacity);
}

Partials PartialsIn(const KernelContext& ctx, const Ops::AttentionArgs& args, int joined) {
  const int capacity = ChunkCapacity(ctx, args, joined), most = ChunkCapacity(ctx, args), rows = args.rows->count,
            head_dim = args.kv->head_dim;
  if (most == 1) return {nullptr, nullptr, 1};
  // For as many as if none were joined: a memory plan looks at some numbers of rows, and fewer must not need more.
  auto* values = static_cast<float*>(ctx.Workspace(DecodePartialBytes(rows, args.heads, head_dim, most)));
  if (capacity == 1) return {nullptr, nullptr, 1};
  const std::size_t count = std::int64_t{rows} * args.heads * capacity;
  return {values, reinterpret_cast<float2*>(values + count * head_dim), capacity};
}

void LaunchMerge(const KernelContext& ctx, const Ops::AttentionArgs& args, const AttentionShape& shape,
                 const Partials& partials) {
  if (partials.capacity == 1) return;
  const int head_dim = args.kv->head_dim, vector = head_dim % 4 == 0 ? 4 : 2, units = head_dim / vector;
  int groups = kMergeThreads / units;
  groups = groups < 1 ? 1 : groups > kMergeGroups ? kMergeGroups : groups;
  const int threads = (units * groups + 31) / 32 * 32;
  const std::size_t shared = ((partials.capacity + 3) / 4 * 4 + groups * head_dim) * sizeof(float);
  WithOperand(ctx.precision, [&](auto type) {
    using T = decltype(type);
    Launch(vector == 4 ? MergeKernel<T, 4> : MergeKernel<T, 2>, dim3(U(args.rows->count), U(args.heads)),
           dim3(U(threads)), shared, ctx, static_cast<T*>(args.out), partials, args.rows->position, shape, head_dim,
           groups, args.rows->count == 1);
  });
}

}  // namespace assay
