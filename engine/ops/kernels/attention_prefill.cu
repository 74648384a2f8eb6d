// Attention of runs of consecutive rows, on tensor cores: tiles of (row, query head) pairs of one segment and one kv
// head against the keys they may see. A pair's result depends on its row and its session's cache alone: tiles of keys
// begin at multiples of their length, and tiles that are masked for a pair change nothing in it.
#include <algorithm>

#include "engine/ops/kernels/attention.cuh"
#include "engine/ops/kernels/flash.cuh"
#include "engine/ops/split_keys.h"

namespace assay {
namespace {

// For 512-wide heads two warps share the output of 16 queries, and tiles of keys are half as long, because the
// registers and the shared memory hold no more.
template <class T, class Cached, int kHeadDim>
using PrefillFlash =
    Flash<T, Cached, kHeadDim, (kHeadDim > 256 ? 4 : 8), (kHeadDim > 256 ? 2 : 1), (kHeadDim > 256 ? 32 : 64), false>;

struct TileIndex {
  int segment;  // -1: no such tile
  int tile;     // of that segment
};

// Finds tile `index` among the tiles of all segments, counted in order. One whole warp calls it.
__device__ __forceinline__ TileIndex FindTile(const Segment* segment, int segments, int group, int tile_rows,
                                              int index) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int base = 0; base < segments; base += 32) {
    const int s = base + lane;
    const int tiles = s < segments ? (segment[s].rows * group + tile_rows - 1) / tile_rows : 0;
    int upto = tiles;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const int other = __shfl_up_sync(0xffffffffu, upto, step);
      if (lane >= step) upto += other;
    }
    const unsigned holds = __ballot_sync(0xffffffffu, upto > index);
    if (holds != 0) {
      const int owner = __ffs(static_cast<int>(holds)) - 1;
      return {base + owner, __shfl_sync(0xffffffffu, index - (upto - tiles), owner)};
    }
    index -= __shfl_sync(0xffffffffu, upto, 31);
  }
  return {-1, 0};
}

template <class T, class Cached, int kHeadDim>
__global__ void __launch_bounds__(PrefillFlash<T, Cached, kHeadDim>::kThreads, 1)
    PrefillKernel(T* out, const T* q, KvView kv, const Segment* segments, int segment_count, int first_row,
                  AttentionShape shape) {
  using Tile = PrefillFlash<T, Cached, kHeadDim>;
  extern __shared__ uint4 shared16[];
  auto* shared = reinterpret_cast<unsigned char*>(shared16);
  __shared__ TileIndex shared_found;
  LetSuccessorsStart();
  WaitForPredecessors();
  if (threadIdx.x < 32) {
    // Later tiles see more keys, so they go first.
    const TileIndex found =
        FindTile(segments, segment_count, shape.group, Tile::kRows, static_cast<int>(gridDim.x - 1 - blockIdx.x));
    if (threadIdx.x == 0) shared_found = found;
  }
  __syncthreads();
  const TileIndex index = shared_found;
  if (index.segment < 0) return;
  const Segment segment = segments[index.segment];
  const int kv_head = static_cast<int>(blockIdx.y), group = shape.group;
  const int first = index.tile * Tile::kRows, last = min(first + Tile::kRows, segment.rows * group) - 1;  // pairs
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const auto element = [&](int pair) {  // first element of a pair's head in q and out
    const int row = pair / group, head = kv_head * group + pair % group;
    return (std::int64_t{segment.first_row - first_row + row} * shape.heads + head) * kHeadDim;
  };
  const auto query = [&](int m) { return q + element(min(first + m, last)); };
  if constexpr (!Tile::kWidens) Tile::CopyQueries(shared, query, Tile::kRows);
  const auto range_of = [&](int pair) -> KeyRange {
    const int to = segment.first_position + min(pair, last) / group;
    return {shape.window > 0 ? max(0, to - shape.window + 1) : 0, to};
  };
  const int pair = first + warp / (Tile::kThreads / 32 / (Tile::kRows / 16)) * 16 + lane / 4;
  const KeyRange range[2] = {range_of(pair), range_of(pair + 8)};
  const int lo = range_of(first).from, hi = range_of(last).to + 1;
  const std::int64_t head_at = segment.session * kv.session_stride() + std::int64_t{kv_head} * kv.slots * kHeadDim;
  Tile flash;
  flash.Reset();
  flash.Run(shared, static_cast<const Cached*>(kv.keys) + head_at, static_cast<const Cached*>(kv.values) + head_at,
            lo / Tile::kWidth * Tile::kWidth, lo, hi, kv.slots, range, shape.scale2, 2,
            [&] { Tile::WidenQueries(shared, query, Tile::kRows); });
  flash.Finish();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (pair + 8 * half > last) continue;
    T* const to = out + element(pair + 8 * half);
    const float inverse = 1.0f / flash.sum[half];
    flash.ForEachPair(half, [&](int dim, float a, float b) {
      *reinterpret_cast<std::uint32_t*>(to + dim) = PackPair(a * inverse, b * inverse, T{});
    });
  }
}

}  // namespace

// A segment's kernel follows from its own length, so that results of a long one do not depend on its neighbours (of a
// short one they do as far as its chunks are joined), and in batch-invariant mode nothing does, nor on how a text is
// cut: there all rows are taken as in decode. Runs of short segments and of long ones are launches of their own, of
// short ones as many as workspace for them asks: decode rows followed by a chunk of a prompt are two.
void LaunchAttention(const KernelContext& ctx, const Ops::AttentionArgs& args) {
  const Rows& rows = *args.rows;
  if (rows.host_segment == nullptr) return LaunchAttentionDecode(ctx, args);
  const std::int64_t row_bytes = std::int64_t{args.heads} * args.kv->head_dim * Info(OperandType(ctx.precision)).bytes;
  const auto part_of = [&](Rows& run, int first, int count) {
    run = rows;
    run.count = count;
    run.token += first, run.position += first, run.session += first;
    Ops::AttentionArgs part = args;
    part.rows = &run;
    part.q = static_cast<const std::byte*>(args.q) + first * row_bytes;
    part.out = static_cast<std::byte*>(args.out) + first * row_bytes;
    return part;
  };
  const std::size_t partials = DecodePartialBytes(1, args.heads, args.kv->head_dim, ChunkCapacity(ctx, args));
  const int at_once = std::max(1, static_cast<int>(kShortPartials / std::max<std::size_t>(partials, 1)));
  const auto is_short = [&](int s) { return ctx.batch_invariant || !TakesPackedKernel(rows.host_segment[s]); };
  for (int from = 0, upto = 0; from < rows.segments; from = upto) {
    const int first = rows.host_segment[from].first_row;
    int count = 0;
    do count += rows.host_segment[upto++].rows;
    while (upto < rows.segments && is_short(upto) == is_short(from));
    Rows run;
    if (is_short(from)) {
      for (int row = 0; row < count; row += at_once)
        LaunchAttentionDecode(ctx, part_of(run, first + row, std::min(at_once, count - row)));
      // A shorter context cuts at more rows: a run that is cut takes all that any may, so that plans need not try them.
      if (count > at_once) ctx.Workspace(kShortPartials);
    } else {
      const Ops::AttentionArgs part = part_of(run, first, count);
      run.segments = upto - from;
      run.segment += from, run.host_segment += from;
      LaunchAttentionPrefill(ctx, part);
      if (ctx.counters != nullptr)
        ctx.counters->packed_segments = std::max<std::int64_t>(ctx.counters->packed_segments, run.segments);
    }
  }
}

void LaunchAttentionPrefill(const KernelContext& ctx, const Ops::AttentionArgs& args) {
  const AttentionShape shape = ShapeOf(ctx, args);
  bool fits = true;
  const bool fast = WithFastHeadDim(ctx.precision, args.kv->head_dim, [&](auto head_dim) {
    WithHalfOperand(ctx.precision, [&](auto type, auto cached) {
      using T = decltype(type);
      using Cached = decltype(cached);
      constexpr int kHeadDim = decltype(head_dim)::value;
      using Tile = PrefillFlash<T, Cached, kHeadDim>;
      fits = Tile::kShared <= ctx.shared_memory;
      if (!fits) return;
      // At most this many tiles: each segment ends in at most one that is not full.
      const std::int64_t tiles = std::int64_t{args.rows->count} * shape.group / Tile::kRows + args.rows->segments;
      Launch(PrefillKernel<T, Cached, kHeadDim>,
             dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(args.kv->kv_heads)), dim3(Tile::kThreads),
             Tile::kShared, ctx, static_cast<T*>(args.out), static_cast<const T*>(args.q), *args.kv, args.rows->segment,
             args.rows->segments, args.rows->host_segment[0].first_row, shape);
    });
  });
  if (!fast || !fits) LaunchAttentionGeneric(ctx, args, false);
}

}  // namespace assay
