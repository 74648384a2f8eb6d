// The tensor-core product with weights as the M operand: a tile is 16 MT weight rows by 8 NT activation rows, k
// interleaved over the eight warps of a block in 64-byte groups. Sums of a result depend on nothing but its weight rows
// and its own activation row. A block walks over several tiles and loads the first groups of the next one while it
// finishes the last, because all blocks finish their tiles at about the same time and memory would stand idle until
// then.
#pragma once

#include <algorithm>

#include "engine/ops/kernels/epilogue.cuh"
#include "engine/ops/kernels/fault.cuh"
#include "engine/ops/kernels/reduce.cuh"

namespace assay {

constexpr int kSkinnyWarps = 8;
constexpr int kGroupBytes = 64;  // of a weight row: see fragments.cuh

// Where the blocks that split one product over k add their sums: here if gridDim.z > 1; streamed ones in a layout of
// their own (stream_finish.cuh).
struct SplitSums {
  float4* partial = nullptr;  // [token tiles][row tiles][splits][NT * 32]
  // [token tiles][row tiles] blocks that have stored theirs; zeros before and after.
  std::uint32_t* semaphores = nullptr;
  std::uint64_t* fault = nullptr;
};

// With room for `bytes` of parts of `tiles` tiles.
inline SplitSums SplitOver(const KernelContext& ctx, std::size_t bytes, int tiles) {
  Require<Error>(tiles <= kSemaphores, "{} tiles of a product that blocks share: too many", tiles);
  if (ctx.semaphores_used != nullptr) *ctx.semaphores_used = std::max(*ctx.semaphores_used, tiles);
  return {static_cast<float4*>(ctx.Workspace(bytes)), ctx.semaphores, ctx.fault};
}

// The 16 weight rows of a block: lane row g and its partner, which is g + 8, or the up row of gate row g.
struct TileRows {
  std::int64_t a, b;            // result rows as the epilogue counts them
  std::int64_t load_a, load_b;  // rows to read: inside the matrix
};
__device__ __forceinline__ TileRows RowsOfTile(const Product& p, std::int64_t tile, int g) {
  if (p.epilogue == Epilogue::kGated) {
    const std::int64_t half = p.w.rows / 2, a = tile * 8 + g, load = min(a, half - 1);
    return {a, a + half, load, load + half};
  }
  const std::int64_t a = tile * 16 + g;
  return {a, a + 8, min(a, p.w.rows - 1), min(a + 8, p.w.rows - 1)};
}

// Where a lane reads the weight rows of its tile, and the groups it has in flight.
template <class Format, int MT, int kAhead>
struct WeightRing {
  uint4 a[kAhead][MT], b[kAhead][MT];
  GroupScales<Format> scale_a[kAhead][MT], scale_b[kAhead][MT];
  const uint4 *row_a[MT], *row_b[MT];
  const __half *scales_a[MT], *scales_b[MT];

  __device__ __forceinline__ void Point(const Product& p, std::int64_t row_vectors, std::int64_t matrix,
                                        std::int64_t tile, int g, int t) {
    const auto* data = static_cast<const uint4*>(p.w.data) + t;
    const auto* scales = static_cast<const __half*>(p.w.scales);
    const std::int64_t base = matrix * p.w.rows, groups = p.w.stride / 32;
#pragma unroll
    for (int m = 0; m < MT; ++m) {
      const TileRows rows = RowsOfTile(p, tile * MT + m, g);
      row_a[m] = data + (base + rows.load_a) * row_vectors;
      row_b[m] = data + (base + rows.load_b) * row_vectors;
      scales_a[m] = scales + (base + rows.load_a) * groups;
      scales_b[m] = scales + (base + rows.load_b) * groups;
    }
  }
  __device__ __forceinline__ void Load(int u, int group) {
#pragma unroll
    for (int m = 0; m < MT; ++m) {
      a[u][m] = LoadStream(row_a[m] + static_cast<std::int64_t>(group) * 4);
      b[u][m] = LoadStream(row_b[m] + static_cast<std::int64_t>(group) * 4);
      scale_a[u][m].Load(scales_a[m], group);
      scale_b[u][m].Load(scales_b[m], group);
    }
  }
};

// Activations of block b of a group: rows 8 n + g.
template <bool kWhole, class Format, int NT, class T>
__device__ __forceinline__ void LoadActivations(uint4 (&v)[NT], const T* x, const std::uint32_t (&x_row)[NT], int group,
                                                int b, int t, int cols, bool aligned) {
#pragma unroll
  for (int n = 0; n < NT; ++n)
    v[n] = LoadOperand8<kWhole>(x + x_row[n], 32 * (Format::kBlocks * group + b) + 8 * t, cols, aligned);
}

// acc[m][n] += 16 weight rows x 8 activation rows over one group, of which the lane has `a` and `b`. load(v, block)
// yields the activations of a block.
template <class Format, class T, int NT, int MT, class Load>
__device__ __forceinline__ void MultiplyGroup(float (&acc)[MT][NT][4], const uint4 (&a)[MT], const uint4 (&b)[MT],
                                              const GroupScales<Format> (&scale_a)[MT],
                                              const GroupScales<Format> (&scale_b)[MT], Load&& load) {
#pragma unroll
  for (int block = 0; block < Format::kBlocks; ++block) {
    uint4 x[NT];
    load(x, block);
#pragma unroll
    for (int m = 0; m < MT; ++m) {
      std::uint32_t wa[4], wb[4];
      ExpandPairs<Format, T>(wa, a[m], block);
      ExpandPairs<Format, T>(wb, b[m], block);
      const float sa = scale_a[m].At(block), sb = scale_b[m].At(block);
#pragma unroll
      for (int n = 0; n < NT; ++n) {
        const uint4& v = x[n];
        float(&sum)[4] = acc[m][n];
        if constexpr (Format::kScaled) {
          float dot[4] = {};
          Mma<T>(dot, wa[0], wb[0], wa[1], wb[1], v.x, v.y);
          Mma<T>(dot, wa[2], wb[2], wa[3], wb[3], v.z, v.w);
          sum[0] = fmaf(sa, dot[0], sum[0]);
          sum[1] = fmaf(sa, dot[1], sum[1]);
          sum[2] = fmaf(sb, dot[2], sum[2]);
          sum[3] = fmaf(sb, dot[3], sum[3]);
        } else {
          Mma<T>(sum, wa[0], wb[0], wa[1], wb[1], v.x, v.y);
          Mma<T>(sum, wa[2], wb[2], wa[3], wb[3], v.z, v.w);
        }
      }
    }
  }
}

// Adds to a counter and returns what it was. What the block has written before a barrier that precedes the call is seen
// by whoever counts later, and what earlier ones wrote by the block behind a barrier that follows.
__device__ __forceinline__ std::uint32_t Count(std::uint32_t* counter, std::uint32_t more) {
  std::uint32_t before;
  asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], %2;" : "=r"(before) : "l"(counter), "r"(more) : "memory");
  return before;
}

// A thread counts that its block has stored its part of a tile. True in the last block to do so, which sets the tile's
// semaphore back to zero.
__device__ __forceinline__ bool ArrivesLast(const SplitSums& split, std::int64_t tile, int splits) {
  const std::uint32_t before = Count(split.semaphores + tile, 1);
  const bool last = before == static_cast<std::uint32_t>(splits - 1);
  // A counter that did not begin at zero: the sum was taken too early. What this leaves behind, Logits looks for.
  if (before >= static_cast<std::uint32_t>(splits)) Report(split.fault, KernelFault::kArrivals, before, splits - 1);
  if (last) split.semaphores[tile] = 0;
  return last;
}

// Of one item, whose parts are `items` apart, in order.
__device__ __forceinline__ float4 SumOfParts(const float4* part, int splits, int items) {
  float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  for (int s = 0; s < splits; ++s) v = Plus(v, __ldcg(part + static_cast<std::int64_t>(s) * items));
  return v;
}

// Split-K reduction: sums v over the splits of one tile. Returns false in all blocks but the last to arrive, which
// holds the sum.
__device__ __forceinline__ bool ReduceSplits(float4& v, const SplitSums& split, std::int64_t tile, int item,
                                             int items) {
  const int splits = static_cast<int>(gridDim.z);
  float4* parts = split.partial + tile * splits * items;
  if (item < items) parts[static_cast<std::int64_t>(blockIdx.z) * items + item] = v;
  __syncthreads();
  __shared__ bool last;
  if (item == 0) last = ArrivesLast(split, tile, splits);
  __syncthreads();
  if (!last) return false;
  if (item < items) v = SumOfParts(parts + item, splits, items);
  return true;
}

// The same by one warp, which has the 32 items of a tile.
__device__ __forceinline__ bool ReduceSplitsOfWarp(float4& v, const SplitSums& split, std::int64_t tile, int lane) {
  const int splits = static_cast<int>(gridDim.z);
  float4* const parts = split.partial + tile * splits * 32 + lane;
  parts[static_cast<std::int64_t>(blockIdx.z) * 32] = v;
  __syncwarp();
  const bool last = __shfl_sync(0xffffffffu, lane == 0 && ArrivesLast(split, tile, splits), 0);
  __syncwarp();
  if (last) v = SumOfParts(parts, splits, 32);
  return last;
}

// How a block works: how many groups of weights are in flight, how many groups of activations are read ahead of their
// use (0: they are read when due), and how many blocks a multiprocessor must be able to hold, which is as many as fit
// without spilling registers.
template <class Format, int NT, int MT>
struct SkinnyShape {
  static constexpr int kAhead = MT == 2 ? 2 : 4;
  static constexpr int kAheadX = Format::kScaled ? 0 : NT == 1 ? kAhead - 1 : NT == 2 ? 1 : 0;
  static constexpr int kBlocksPerSm = NT == 8 ? 1 : 2;
};

// grid (token tiles, blocks that share the row tiles, splits of k). kGrouped: token tiles are those of `tiles`, each
// with its expert's matrix. kWhole: WholeRows(p).
template <class Format, class T, int NT, int MT, bool kGrouped, bool kWhole>
__global__ void __launch_bounds__(32 * kSkinnyWarps, (SkinnyShape<Format, NT, MT>::kBlocksPerSm))
    SkinnyKernel(Product p, std::int64_t row_vectors, int groups, int row_tiles, bool aligned, SplitSums split,
                 ExpertTiles tiles) {
  constexpr int kAhead = SkinnyShape<Format, NT, MT>::kAhead, kAheadX = SkinnyShape<Format, NT, MT>::kAheadX;
  static_assert(kAhead % (kAheadX + 1) == 0 && (kAheadX == 0 || Format::kBlocks == 1));
  constexpr int kStride = kAhead * kSkinnyWarps;
  LetSuccessorsStart();
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32, g = lane / 4,
            t = lane % 4;
  const int end = static_cast<int>(static_cast<std::int64_t>(groups) * (blockIdx.z + 1) / gridDim.z);
  const int begin = static_cast<int>(static_cast<std::int64_t>(groups) * blockIdx.z / gridDim.z) + warp;
  int tile = static_cast<int>(blockIdx.y);
  std::int64_t matrix = 0;
  std::int32_t first = static_cast<std::int32_t>(blockIdx.x) * 8 * NT, count = min(8 * NT, p.rows - first);
  if constexpr (kGrouped) {
    WaitForPredecessors();
    const std::int32_t* own = tiles.tiles + 3 * blockIdx.x;
    matrix = own[0], first = own[1], count = own[2];
    if (count == 0) return;
  }
  WeightRing<Format, MT, kAhead> ring;
  ring.Point(p, row_vectors, matrix, tile, g, t);
#pragma unroll
  for (int u = 0; u < kAhead; ++u)
    if (begin + u * kSkinnyWarps < end) ring.Load(u, begin + u * kSkinnyWarps);
  WaitForPredecessors();

  // Columns past the last row repeat it: a column of the product touches no other, and they are dropped at the end.
  const auto result_row = [&](int i) { return kGrouped ? tiles.list[first + i] : first + i; };
  std::uint32_t x_row[NT];
#pragma unroll
  for (int n = 0; n < NT; ++n) {
    const int i = result_row(min(8 * n + g, count - 1));
    x_row[n] = static_cast<std::uint32_t>(kGrouped ? i / p.x_share : i) * static_cast<std::uint32_t>(p.w.cols);
  }
  const auto* x = static_cast<const T*>(p.x);
  const int cols = static_cast<int>(p.w.cols);
  uint4 ahead[kAheadX + 1][NT];  // activations of the next groups, used in rotation
  const auto load_ahead = [&](int slot, int group) {
    if (kAheadX > 0 && group < end) LoadActivations<kWhole, Format>(ahead[slot], x, x_row, group, 0, t, cols, aligned);
  };
#pragma unroll
  for (int u = 0; u < kAheadX; ++u) load_ahead(u, begin + u * kSkinnyWarps);

  constexpr int kItems = MT * NT * 32;
  static_assert(kItems <= 32 * kSkinnyWarps);
  __shared__ float4 sums[kSkinnyWarps][kItems];
  for (; tile < row_tiles; tile += static_cast<int>(gridDim.y)) {
    float acc[MT][NT][4] = {};
    for (int base = begin; base < end; base += kStride) {
      // What follows in the ring: the next groups of this tile or, after its last ones, the first of the next tile.
      int follow = base + kStride;
      if (follow >= end) {
        const int next = tile + static_cast<int>(gridDim.y);
        if (next < row_tiles) {
          ring.Point(p, row_vectors, matrix, next, g, t);
          follow = begin;
        }
      }
#pragma unroll
      for (int u = 0; u < kAhead; ++u) {
        const int group = base + u * kSkinnyWarps;
        const int due =
            u + kAheadX < kAhead ? group + kAheadX * kSkinnyWarps : follow + (u + kAheadX - kAhead) * kSkinnyWarps;
        load_ahead((u + kAheadX) % (kAheadX + 1), due);
        if (group < end) {
          MultiplyGroup<Format, T, NT, MT>(
              acc, ring.a[u], ring.b[u], ring.scale_a[u], ring.scale_b[u], [&](uint4(&v)[NT], int block) {
                if constexpr (kAheadX == 0) {
                  LoadActivations<kWhole, Format>(v, x, x_row, group, block, t, cols, aligned);
                } else {
#pragma unroll
                  for (int n = 0; n < NT; ++n) v[n] = ahead[u % (kAheadX + 1)][n];
                }
              });
        }
        if (follow + u * kSkinnyWarps < end) ring.Load(u, follow + u * kSkinnyWarps);
      }
    }

    if (tile != static_cast<int>(blockIdx.y)) __syncthreads();  // the sums of the tile before have been read
#pragma unroll
    for (int m = 0; m < MT; ++m)
#pragma unroll
      for (int n = 0; n < NT; ++n)
        sums[warp][(m * NT + n) * 32 + lane] = make_float4(acc[m][n][0], acc[m][n][1], acc[m][n][2], acc[m][n][3]);
    __syncthreads();
    const int item = static_cast<int>(threadIdx.x);
    float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (item < kItems) {
#pragma unroll
      for (int w = 0; w < kSkinnyWarps; ++w) v = Plus(v, sums[w][item]);
    }
    if (gridDim.z > 1 && !ReduceSplits(v, split, std::int64_t{blockIdx.x} * row_tiles + tile, item, kItems)) continue;
    if (item >= kItems) continue;
    // Item = (m, n, lane) of the accumulators: rows a and b, activation rows 2t and 2t + 1 of tile n. lane is the same
    // as before.
    const TileRows rows = RowsOfTile(p, std::int64_t{tile} * MT + item / (NT * 32), g);
    const int i = 8 * (item / 32 % NT) + 2 * t;
    if (i < count) ApplyEpiloguePair<T>(p, result_row(i), rows.a, rows.b, v.x, v.z);
    if (i + 1 < count) ApplyEpiloguePair<T>(p, result_row(i + 1), rows.a, rows.b, v.y, v.w);
  }
}

inline int CeilDiv(std::int64_t a, std::int64_t b) { return static_cast<int>((a + b - 1) / b); }

// Tiles of 16 * row_tile weight rows.
inline int RowTiles(const Product& p, int row_tile) {
  const std::int64_t tiles = p.epilogue == Epilogue::kGated ? (p.w.rows / 2 + 7) / 8 : (p.w.rows + 15) / 16;
  return CeilDiv(tiles, row_tile);
}

// Rows [row, row + count) of a product without experts.
template <class T>
Product RowsOf(const Product& all, int row, int count) {
  Product p = all;
  p.rows = count;
  p.x = static_cast<const T*>(all.x) + row * all.w.cols;
  if (p.out != nullptr) p.out += row * all.width();
  if (p.operand != nullptr) p.operand = static_cast<T*>(p.operand) + row * all.width();
  if (p.ple != nullptr) p.ple += row * all.ple_stride;
  return p;
}

// Calls f(std::integral_constant<int, NT>) with the smallest NT in {1, 2, 4, 8} whose 8 NT activation rows hold `rows`.
template <class F>
void WithTile(int rows, F&& f) {
  if (rows <= 8)
    f(std::integral_constant<int, 1>{});
  else if (rows <= 16)
    f(std::integral_constant<int, 2>{});
  else if (rows <= 32)
    f(std::integral_constant<int, 4>{});
  else
    f(std::integral_constant<int, 8>{});
}

// Calls f(std::bool_constant<WholeRows(p)>{}).
template <class F>
void WithWhole(const Product& p, F&& f) {
  if (WholeRows(p))
    f(std::true_type{});
  else
    f(std::false_type{});
}

// Calls f(T{}) for the 16-bit modes.
template <class F>
void With16Bit(Precision precision, F&& f) {
  if (precision.operands == DType::kF16)
    f(__half{});
  else
    f(__nv_bfloat16{});
}

}  // namespace assay
