// Attention of rows that are queries of their own (decode, short verify segments; in batch-invariant mode all). One
// launch for all rows: blocks over (row, kv head, chunk of keys), all query heads of a kv head together, in
// batch-invariant mode consecutive rows as well, then a merge of the chunks in their order.
//
// Chunks are fixed by the row and by how many are joined (split_keys.h); the grid only says how many blocks share them,
// so it may follow a bound that is known when a step is captured.
#include <algorithm>

#include "engine/ops/kernels/attention_split.cuh"
#include "engine/ops/kernels/flash.cuh"

namespace assay {
namespace {

constexpr int kHeadTile = 16;  // query heads of a block: the rows of one tensor-core fragment

// How the decode kernel is made.
enum class DecodeKind : std::uint8_t {
  kFewBlocks,   // each with as many warps as its head has work for, because latency is all that counts
  kManyBlocks,  // that share the multiprocessors
  kTogether,    // aligned chunks, for any number of blocks: as many consecutive rows of a session share one as a
                // fragment holds
};

// Keys of a tile, by the bytes of one. A tile has as many as a chunk, because a single row must not wait for a second
// tile; where blocks share the multiprocessors it has half as many for wide heads, because more blocks fit then.
constexpr int TileKeys(int key_bytes, bool share) { return share && key_bytes > 256 ? 32 : 64; }
// Whether registers decide how many blocks of a multiprocessor fit: for narrow heads all have enough, and wider keys
// leave shared memory for too few.
constexpr bool SharesSm(int head_dim, int key_bytes) { return head_dim > 128 && key_bytes <= 512; }
constexpr int Warps(int head_dim, DecodeKind kind) { return kind == DecodeKind::kFewBlocks && head_dim > 64 ? 8 : 4; }
template <class T, class Cached, int kHeadDim, DecodeKind kKind>
using DecodeFlash = Flash<T, Cached, kHeadDim, 1, Warps(kHeadDim, kKind),
                          TileKeys(kHeadDim * sizeof(Cached), kKind != DecodeKind::kFewBlocks), true>;
constexpr int kFewBlocksPerSm = 2;  // of one multiprocessor; above this there are many
constexpr int kManyResident = 4;    // blocks that registers are shared by where they decide
template <class Cached, int kHeadDim, DecodeKind kKind>
constexpr int kDecodeBlocks = (kKind != DecodeKind::kFewBlocks) && SharesSm(kHeadDim, kHeadDim * sizeof(Cached))
                                  ? kManyResident
                                  : 1;

// How many of many blocks run on a multiprocessor at a time, as far as shared memory and registers are known here.
template <class T, class Cached, int kHeadDim>
int Resident(const KernelContext& ctx) {
  constexpr std::size_t kReserved = 1024;  // of shared memory, by the system for each block
  constexpr int kMost = SharesSm(kHeadDim, kHeadDim * sizeof(Cached)) ? kManyResident : 5;
  const std::size_t fit =
      ctx.shared_memory / (DecodeFlash<T, Cached, kHeadDim, DecodeKind::kManyBlocks>::kShared + kReserved);
  return std::clamp(static_cast<int>(fit), 1, kMost);
}

// How many rows from `row` on one block takes: consecutive ones of a session whose positions have the same quotient by
// `together`; 0 where the row before takes this one. It depends on where a text is cut, but no result of a row does.
__device__ __forceinline__ int RowsOfBlock(const std::int32_t* position, const std::int32_t* session, int row, int rows,
                                           int together) {
  const auto follows = [&](int r) {
    return session[r] >= 0 && session[r] == session[r - 1] && position[r] == position[r - 1] + 1 &&
           position[r] % together != 0;
  };
  if (row > 0 && follows(row)) return 0;
  int count = 1;
  while (row + count < rows && follows(row + count)) ++count;
  return count;
}

// Successors may start only after the wait, because the product that follows reads its weights ahead as soon as it
// starts, and those reads must not delay this kernel's own loads.
template <class T, class Cached, int kHeadDim, DecodeKind kKind>
__global__ void __launch_bounds__(DecodeFlash<T, Cached, kHeadDim, kKind>::kThreads,
                                  (kDecodeBlocks<Cached, kHeadDim, kKind>))
    DecodeKernel(T* out, const T* q, KvView kv, const std::int32_t* position, const std::int32_t* session,
                 Partials partials, AttentionShape shape, int together, std::uint64_t* fault) {
  using Tile = DecodeFlash<T, Cached, kHeadDim, kKind>;
  constexpr bool kTogether = kKind == DecodeKind::kTogether;
  extern __shared__ uint4 shared16[];
  auto* shared = reinterpret_cast<unsigned char*>(shared16);
  const std::int64_t row = blockIdx.x;
  const int owner = max(session[row], 0);
  const int rows =
      kTogether ? RowsOfBlock(position, session, static_cast<int>(row), static_cast<int>(gridDim.x), together) : 1;
  // Of the last row, whose keys begin and end last.
  KeySpan span = SpanOf(position[row + max(rows, 1) - 1], shape.window, kTogether, shape.joined);
  WaitForPredecessors();
  LetSuccessorsStart();
  if (rows == 0) return;
  span.chunks = ChunksOf(span, partials, session[row], fault);
  const KeySpan first_span = rows > 1 ? SpanOf(position[row], shape.window, kTogether) : span;
  const int chunks = (span.start - first_span.start) / span.length + span.chunks;  // of all rows
  if (static_cast<int>(blockIdx.z) >= chunks) return;
  const int tiles = (shape.group + kHeadTile - 1) / kHeadTile;
  const int kv_head = static_cast<int>(blockIdx.y) / tiles, tile = static_cast<int>(blockIdx.y) % tiles;
  const int first_head = kv_head * shape.group + tile * kHeadTile,
            heads = min(kHeadTile, shape.group - tile * kHeadTile), pairs = rows * heads;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const auto row_of = [&](int m) { return kTogether ? min(m / heads, rows - 1) : 0; };
  const auto head_of = [&](int m) {
    return (row + row_of(m)) * shape.heads + first_head + (kTogether ? m % heads : m);
  };
  const auto query = [&](int m) { return q + head_of(m < pairs ? m : 0) * kHeadDim; };
  if constexpr (!Tile::kWidens) Tile::CopyQueries(shared, query, pairs);
  const std::int64_t head_at = owner * kv.session_stride() + std::int64_t{kv_head} * kv.slots * kHeadDim;
  const auto* keys = static_cast<const Cached*>(kv.keys) + head_at;
  const auto* values = static_cast<const Cached*>(kv.values) + head_at;
  const int halves = pairs > 8 ? 2 : 1;
  // What the two pairs of a lane see.
  KeySpan own[2] = {span, span};
  if constexpr (kTogether) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      own[half] = SpanOf(position[row + row_of(lane / 4 + 8 * half)], shape.window, true);
      own[half].chunks = min(own[half].chunks, partials.capacity);
    }
  }
  Tile flash;
  for (int chunk = static_cast<int>(blockIdx.z); chunk < chunks; chunk += static_cast<int>(gridDim.z)) {
    const int begin = first_span.start + chunk * span.length, lo = max(begin, first_span.first),
              hi = min(begin + span.length, span.end);
    const KeyRange range[2] = {{max(lo, own[0].first), min(hi, own[0].end) - 1},
                               {max(lo, own[1].first), min(hi, own[1].end) - 1}};
    flash.Reset();
    flash.Run(shared, keys, values, begin, lo, hi, kv.slots, range, shape.scale2, halves, [&] {
      if (chunk == static_cast<int>(blockIdx.z)) Tile::WidenQueries(shared, query, pairs);
    });
    flash.Finish();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int m = lane / 4 + 8 * half;
      if (m >= pairs) continue;
      const int at = chunk - (own[half].start - first_span.start) / span.length;  // of its own chunks
      if (kTogether && (at < 0 || at >= own[half].chunks)) continue;
      if (own[half].chunks == 1) {
        T* const to = out + head_of(m) * kHeadDim;
        const float inverse = 1.0f / flash.sum[half];
        flash.ForEachPair(half, [&](int dim, float a, float b) {
          *reinterpret_cast<std::uint32_t*>(to + dim) = PackPair(a * inverse, b * inverse, T{});
        });
      } else {
        const std::int64_t index =
            partials.Index(row + row_of(m), shape.heads, first_head + (kTogether ? m % heads : m), at);
        float* const to = partials.values + index * kHeadDim;
        flash.ForEachPair(half, [&](int dim, float a, float b) { *reinterpret_cast<float2*>(to + dim) = {a, b}; });
        if (warp == 0 && lane % 4 == 0) partials.stats[index] = {flash.Largest(half), flash.sum[half]};
      }
    }
  }
}

}  // namespace

void LaunchAttentionDecode(const KernelContext& ctx, const Ops::AttentionArgs& args) {
  AttentionShape shape = ShapeOf(ctx, args);
  const int blocks = args.kv->kv_heads * ((shape.group + kHeadTile - 1) / kHeadTile);
  const bool fast = WithFastHeadDim(ctx.precision, args.kv->head_dim, [&](auto head_dim) {
    WithHalfOperand(ctx.precision, [&](auto type, auto cached) {
      using T = decltype(type);
      using Cached = decltype(cached);
      constexpr int kHeadDim = decltype(head_dim)::value;
      const std::int64_t others = std::int64_t{args.rows->count} * blocks;
      shape.joined = JoinedChunks(ctx, others, ChunkCapacity(ctx, args), Resident<T, Cached, kHeadDim>(ctx));
      const Partials partials = PartialsIn(ctx, args, shape.joined);
      const auto launch = [&](auto kind, int together) {
        using Tile = DecodeFlash<T, Cached, kHeadDim, decltype(kind)::value>;
        Launch(DecodeKernel<T, Cached, kHeadDim, decltype(kind)::value>,
               dim3(U(args.rows->count), U(blocks), ChunkBlocks(ctx, others, partials.capacity)), dim3(Tile::kThreads),
               Tile::kShared, ctx, static_cast<T*>(args.out), static_cast<const T*>(args.q), *args.kv,
               args.rows->position, args.rows->session, partials, shape, together, ctx.fault);
      };
      // Some devices have less shared memory than tiles of wide heads take.
      const bool fits = DecodeFlash<T, Cached, kHeadDim, DecodeKind::kFewBlocks>::kShared <= ctx.shared_memory;
      const bool many_blocks = !fits || others * partials.capacity > std::int64_t{kFewBlocksPerSm} * ctx.sm_count;
      constexpr DecodeKind kMany = kHeadDim > 64 ? DecodeKind::kManyBlocks : DecodeKind::kFewBlocks;
      if (ctx.batch_invariant)  // tiles of another length round differently: the number of rows must not decide
        launch(std::integral_constant<DecodeKind, DecodeKind::kTogether>{}, RowsTogether(shape.group, kHeadTile));
      else if (many_blocks)
        launch(std::integral_constant<DecodeKind, kMany>{}, 1);
      else
        launch(std::integral_constant<DecodeKind, DecodeKind::kFewBlocks>{}, 1);
      LaunchMerge(ctx, args, shape, partials);
    });
  });
  if (!fast) LaunchAttentionGeneric(ctx, args, true);
}

}  // namespace assay
