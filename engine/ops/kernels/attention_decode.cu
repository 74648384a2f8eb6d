// Attention of rows that are queries of their own (decode, short verify segments). One launch for all rows: blocks over
// (row, kv head, chunk of keys), all query heads of a kv head together, then a merge of the chunks in their order.
//
// Chunks are fixed by the row (split_keys.h); the grid only says how many blocks share them, so it may follow a bound
// that is known when a step is captured. Merging is a kernel of its own: a last-arriving block would read all partials
// of long contexts at one multiprocessor's bandwidth.
#include "engine/ops/kernels/attention.cuh"
#include "engine/ops/kernels/fault.cuh"
#include "engine/ops/kernels/flash.cuh"
#include "engine/ops/split_keys.h"

namespace assay {
namespace {

// Partial results: values [rows, heads, capacity, head_dim], then (largest score, sum of weights) [rows, heads,
// capacity].
struct Partials {
  float* values;
  float2* stats;
  int capacity;  // chunks of a row there is room for
  ASSAY_HD long long Index(long long row, int heads, int head, int chunk) const {
    return (row * heads + head) * capacity + chunk;
  }
};

// Chunks of a row that this launch has room for: all, unless the context bound is wrong, which is reported. Rows of
// padding (session < 0) move on with every step of a recorded loop and mean nothing.
__device__ __forceinline__ int ChunksOf(const KeySpan& span, const Partials& partials, std::int32_t session,
                                        std::uint64_t* fault) {
  if (span.chunks <= partials.capacity) return span.chunks;
  if (session >= 0 && blockIdx.y == 0 && blockIdx.z == 0 && threadIdx.x == 0)
    Report(fault, KernelFault::kContextBound, span.chunks, partials.capacity);
  return partials.capacity;
}

constexpr int kHeadTile = 16;  // query heads of a block: the rows of one tensor-core fragment
constexpr int kMergeThreads = 512;
constexpr int kMergeGroups = 16;  // the most that share one (row, head)
constexpr int kBlocksPerSm = 8;   // what the grid aims at where there is a choice

// Keys of a tile, by the bytes of one. A tile has as many as a chunk, because a single row must not wait for a second
// tile; where many blocks share the multiprocessors it has half as many for wide heads, because more blocks fit then.
constexpr int TileKeys(int key_bytes, bool many_blocks) {
  return key_bytes > 512 || (many_blocks && key_bytes > 256) ? 32 : 64;
}
// Whether there is a kernel for many blocks: of registers for narrow heads all have enough, and wider keys leave shared
// memory for too few.
constexpr bool SharesSm(int head_dim, int key_bytes) { return head_dim > 128 && key_bytes <= 512; }
template <class T, class Cached, int kHeadDim, bool kManyBlocks>
using DecodeFlash = Flash<T, Cached, kHeadDim, 1, 4, TileKeys(kHeadDim * sizeof(Cached), kManyBlocks), true>;
constexpr int kManyBlocksPerSm = 3;  // of one multiprocessor; above this there are many
template <bool kManyBlocks>
constexpr int kDecodeBlocks = kManyBlocks ? kManyBlocksPerSm + 1 : 1;

// Successors may start only after the wait, because the product that follows reads its weights ahead as soon as it
// starts, and those reads must not delay this kernel's own loads.
template <class T, class Cached, int kHeadDim, bool kManyBlocks>
__global__ void __launch_bounds__(128, (kDecodeBlocks<kManyBlocks>))
    DecodeKernel(T* out, const T* q, KvView kv, const std::int32_t* position, const std::int32_t* session,
                 Partials partials, AttentionShape shape, std::uint64_t* fault) {
  using Tile = DecodeFlash<T, Cached, kHeadDim, kManyBlocks>;
  extern __shared__ uint4 shared16[];
  auto* shared = reinterpret_cast<unsigned char*>(shared16);
  const std::int64_t row = blockIdx.x;
  const int owner = max(session[row], 0);
  const KeySpan span = SpanOf(position[row], shape.window);
  WaitForPredecessors();
  LetSuccessorsStart();
  const int chunks = ChunksOf(span, partials, session[row], fault);
  if (static_cast<int>(blockIdx.z) >= chunks) return;
  const int tiles = (shape.group + kHeadTile - 1) / kHeadTile;
  const int kv_head = static_cast<int>(blockIdx.y) / tiles, tile = static_cast<int>(blockIdx.y) % tiles;
  const int first_head = kv_head * shape.group + tile * kHeadTile,
            heads = min(kHeadTile, shape.group - tile * kHeadTile);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const T* mine = q + (row * shape.heads + first_head) * kHeadDim;
  const auto query = [&](int m) { return mine + (m < heads ? m : 0) * kHeadDim; };
  if constexpr (!Tile::kWidens) Tile::CopyQueries(shared, query, heads);
  const std::int64_t head_at = owner * kv.session_stride() + std::int64_t{kv_head} * kv.slots * kHeadDim;
  const auto* keys = static_cast<const Cached*>(kv.keys) + head_at;
  const auto* values = static_cast<const Cached*>(kv.values) + head_at;
  const int halves = heads > 8 ? 2 : 1;
  Tile flash;
  for (int chunk = static_cast<int>(blockIdx.z); chunk < chunks; chunk += static_cast<int>(gridDim.z)) {
    const int lo = span.first + chunk * span.length, hi = min(lo + span.length, span.end);
    const KeyRange range[2] = {{lo, hi - 1}, {lo, hi - 1}};
    flash.Reset();
    flash.Run(shared, keys, values, lo, lo, hi, kv.slots, range, shape.scale2, halves, [&] {
      if (chunk == static_cast<int>(blockIdx.z)) Tile::WidenQueries(shared, query, heads);
    });
    flash.Finish();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int m = lane / 4 + 8 * half;
      if (m >= heads) continue;
      if (chunks == 1) {
        T* const to = out + (row * shape.heads + first_head + m) * kHeadDim;
        const float inverse = 1.0f / flash.sum[half];
        flash.ForEachPair(half, [&](int dim, float a, float b) {
          *reinterpret_cast<std::uint32_t*>(to + dim) = PackPair(a * inverse, b * inverse, T{});
        });
      } else {
        const std::int64_t index = partials.Index(row, shape.heads, first_head + m, chunk);
        float* const to = partials.values + index * kHeadDim;
        flash.ForEachPair(half, [&](int dim, float a, float b) { *reinterpret_cast<float2*>(to + dim) = {a, b}; });
        if (warp == 0 && lane % 4 == 0) partials.stats[index] = {flash.Largest(half), flash.sum[half]};
      }
    }
  }
}

// The kernel for all that tensor cores do not take: any even head_dim and any operand type, in float32 on CUDA cores. A
// block computes four query heads over tiles of 32 keys.
constexpr int kGenericHeads = 4;
constexpr int kGenericKeys = 32;
constexpr int kGenericThreads = 32 * kGenericHeads;  // a warp per head in the softmax

template <class T, class Cached>
__global__ void __launch_bounds__(kGenericThreads)
    GenericKernel(T* out, const T* q, KvView kv, const std::int32_t* position, const std::int32_t* session,
                  Partials partials, AttentionShape shape, std::uint64_t* fault) {
  extern __shared__ float floats[];
  const int head_dim = kv.head_dim, thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  float* queries = floats;                               // [kGenericHeads, head_dim]
  float* gathered = queries + kGenericHeads * head_dim;  // [kGenericHeads, head_dim]
  __shared__ float weights[kGenericHeads][kGenericKeys];
  __shared__ float rescale[kGenericHeads];
  WaitForPredecessors();
  LetSuccessorsStart();
  const std::int64_t row = blockIdx.x;
  KeySpan span = SpanOf(position[row], shape.window);
  if (partials.values == nullptr) {  // not split
    span.length = span.end - span.first;
    span.chunks = 1;
  }
  const int chunks = ChunksOf(span, partials, session[row], fault);
  if (static_cast<int>(blockIdx.z) >= chunks) return;
  const int tiles = (shape.group + kGenericHeads - 1) / kGenericHeads;
  const int kv_head = static_cast<int>(blockIdx.y) / tiles, tile = static_cast<int>(blockIdx.y) % tiles;
  const int first_head = kv_head * shape.group + tile * kGenericHeads;
  const int heads = min(kGenericHeads, shape.group - tile * kGenericHeads);
  const T* mine = q + (row * shape.heads + first_head) * head_dim;
  for (int i = thread; i < kGenericHeads * head_dim; i += kGenericThreads)
    queries[i] = i < heads * head_dim ? AsFloat(mine[i]) : 0.0f;
  const auto* keys = static_cast<const Cached*>(kv.keys);
  const auto* values = static_cast<const Cached*>(kv.values);
  const int owner = max(session[row], 0);  // padding reads what is there; nobody reads what it yields
  for (int chunk = static_cast<int>(blockIdx.z); chunk < chunks; chunk += static_cast<int>(gridDim.z)) {
    const int lo = span.first + chunk * span.length, hi = min(lo + span.length, span.end);
    for (int i = thread; i < kGenericHeads * head_dim; i += kGenericThreads) gathered[i] = 0.0f;
    float largest = -INFINITY, sum = 0.0f;  // of head `warp`
    for (int start = lo; start < hi; start += kGenericKeys) {
      const int count = min(kGenericKeys, hi - start);
      __syncthreads();
      for (int k = warp; k < count; k += kGenericHeads) {
        const Cached* key = keys + kv.Offset(owner, kv_head, start + k);
        float dot[kGenericHeads] = {};
        for (int d = lane; d < head_dim; d += 32) {
          const float v = AsFloat(key[d]);
#pragma unroll
          for (int h = 0; h < kGenericHeads; ++h) dot[h] = fmaf(v, queries[h * head_dim + d], dot[h]);
        }
#pragma unroll
        for (int h = 0; h < kGenericHeads; ++h) {
          const float total = WarpSum(dot[h]);
          if (lane == 0) weights[h][k] = total;
        }
      }
      __syncthreads();
      const float score = lane < count ? weights[warp][lane] : -INFINITY;
      float top = fmaxf(largest, score);
#pragma unroll
      for (int step = 16; step > 0; step /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, step));
      const float factor = exp2f((largest - top) * shape.scale2), weight = exp2f((score - top) * shape.scale2);
      sum = sum * factor + WarpSum(weight);
      largest = top;
      weights[warp][lane] = weight;
      if (lane == 0) rescale[warp] = factor;
      __syncthreads();
      for (int d = thread; d < head_dim; d += kGenericThreads) {
        float total[kGenericHeads];
#pragma unroll
        for (int h = 0; h < kGenericHeads; ++h) total[h] = gathered[h * head_dim + d] * rescale[h];
        for (int k = 0; k < count; ++k) {
          const float v = AsFloat(values[kv.Offset(owner, kv_head, start + k) + d]);
#pragma unroll
          for (int h = 0; h < kGenericHeads; ++h) total[h] = fmaf(weights[h][k], v, total[h]);
        }
#pragma unroll
        for (int h = 0; h < kGenericHeads; ++h) gathered[h * head_dim + d] = total[h];
      }
    }
    __syncthreads();
    if (warp < heads) {
      const int head = first_head + warp;
      const float inverse = 1.0f / sum;
      const std::int64_t index = partials.Index(row, shape.heads, head, chunk);
      for (int d = lane; d < head_dim; d += 32) {
        const float v = gathered[warp * head_dim + d];
        if (chunks == 1) {
          out[(row * shape.heads + head) * head_dim + d] = RoundTo<T>(v * inverse);
        } else {
          partials.values[index * head_dim + d] = v;
        }
      }
      if (chunks > 1 && lane == 0) partials.stats[index] = {largest, sum};
    }
    __syncthreads();
  }
}

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
  const KeySpan span = SpanOf(position[row], shape.window);
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

unsigned U(int v) { return static_cast<unsigned>(v); }

// Blocks that share the chunks of one (row, kv head, head tile).
unsigned ChunkBlocks(const KernelContext& ctx, std::int64_t others, int capacity) {
  const std::int64_t wanted = (std::int64_t{kBlocksPerSm} * ctx.sm_count + others - 1) / others;
  return static_cast<unsigned>(wanted < capacity ? (wanted > 0 ? wanted : 1) : capacity);
}

Partials PartialsIn(const KernelContext& ctx, const Ops::AttentionArgs& args) {
  const int capacity = MostChunks(MostKeys(args)), rows = args.rows->count, head_dim = args.kv->head_dim;
  if (capacity == 1) return {nullptr, nullptr, 1};
  auto* values = static_cast<float*>(ctx.Workspace(DecodePartialBytes(rows, args.heads, head_dim, MostKeys(args))));
  const std::size_t count = std::int64_t{rows} * args.heads * capacity;
  return {values, reinterpret_cast<float2*>(values + count * head_dim), capacity};
}

template <class T>
void Merge(const KernelContext& ctx, const Ops::AttentionArgs& args, const Partials& partials) {
  if (partials.capacity == 1) return;
  const int head_dim = args.kv->head_dim, vector = head_dim % 4 == 0 ? 4 : 2, units = head_dim / vector;
  int groups = kMergeThreads / units;
  groups = groups < 1 ? 1 : groups > kMergeGroups ? kMergeGroups : groups;
  const int threads = (units * groups + 31) / 32 * 32;
  const std::size_t shared = ((partials.capacity + 3) / 4 * 4 + groups * head_dim) * sizeof(float);
  Launch(vector == 4 ? MergeKernel<T, 4> : MergeKernel<T, 2>, dim3(U(args.rows->count), U(args.heads)),
         dim3(U(threads)), shared, ctx, static_cast<T*>(args.out), partials, args.rows->position, ShapeOf(args),
         head_dim, groups, args.rows->count == 1);
}

}  // namespace

int MostKeys(const Ops::AttentionArgs& args) {
  const int bound = args.rows->context_bound > 0 ? args.rows->context_bound : args.kv->slots;
  return args.window > 0 && args.window < bound ? args.window : bound;
}

AttentionShape ShapeOf(const Ops::AttentionArgs& args) {
  return {args.heads, args.heads / args.kv->kv_heads, args.window, args.scale * kLog2E};
}

void LaunchAttentionGeneric(const KernelContext& ctx, const Ops::AttentionArgs& args, bool split) {
  const Partials partials = split ? PartialsIn(ctx, args) : Partials{nullptr, nullptr, 1};
  const AttentionShape shape = ShapeOf(args);
  const int blocks = args.kv->kv_heads * ((shape.group + kGenericHeads - 1) / kGenericHeads);
  const std::size_t shared = 2 * kGenericHeads * args.kv->head_dim * sizeof(float);
  WithOperand(ctx.precision, [&](auto type) {
    using T = decltype(type);
    WithCached<T>(ctx.precision, [&](auto cached) {
      Launch(GenericKernel<T, decltype(cached)>,
             dim3(U(args.rows->count), U(blocks),
                  ChunkBlocks(ctx, std::int64_t{args.rows->count} * blocks, partials.capacity)),
             dim3(kGenericThreads), shared, ctx, static_cast<T*>(args.out), static_cast<const T*>(args.q), *args.kv,
             args.rows->position, args.rows->session, partials, shape, ctx.fault);
    });
    Merge<T>(ctx, args, partials);
  });
}

void LaunchAttentionDecode(const KernelContext& ctx, const Ops::AttentionArgs& args) {
  const AttentionShape shape = ShapeOf(args);
  const int blocks = args.kv->kv_heads * ((shape.group + kHeadTile - 1) / kHeadTile);
  const bool fast = WithFastHeadDim(ctx.precision, args.kv->head_dim, [&](auto head_dim) {
    WithHalfOperand(ctx.precision, [&](auto type, auto cached) {
      using T = decltype(type);
      using Cached = decltype(cached);
      constexpr int kHeadDim = decltype(head_dim)::value;
      const Partials partials = PartialsIn(ctx, args);
      const std::int64_t others = std::int64_t{args.rows->count} * blocks;
      const auto launch = [&](auto many_blocks) {
        using Tile = DecodeFlash<T, Cached, kHeadDim, decltype(many_blocks)::value>;
        Launch(DecodeKernel<T, Cached, kHeadDim, decltype(many_blocks)::value>,
               dim3(U(args.rows->count), U(blocks), ChunkBlocks(ctx, others, partials.capacity)), dim3(Tile::kThreads),
               Tile::kShared, ctx, static_cast<T*>(args.out), static_cast<const T*>(args.q), *args.kv,
               args.rows->position, args.rows->session, partials, shape, ctx.fault);
      };
      // Tiles of another length round differently: in batch-invariant mode the number of rows must not decide.
      const bool many_blocks =
          !ctx.batch_invariant && others * partials.capacity > std::int64_t{kManyBlocksPerSm} * ctx.sm_count;
      constexpr bool kShared = SharesSm(kHeadDim, kHeadDim * sizeof(Cached));
      if (kShared && many_blocks)
        launch(std::bool_constant<kShared>{});
      else
        launch(std::false_type{});
      Merge<T>(ctx, args, partials);
    });
  });
  if (!fast) LaunchAttentionGeneric(ctx, args, true);
}

}  // namespace assay
