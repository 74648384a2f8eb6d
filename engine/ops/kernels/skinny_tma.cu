// Products of quantised weights and few activation rows on tensor cores of compute capability 9.0, with weights copied
// by the tensor memory accelerator. As in skinny.cuh a tile is 16 weight rows by 8 activation rows and the warps of a
// block share k, but weights come through rings in shared memory instead of registers: a warp waits for its oldest copy
// alone, and what is in flight does not follow from how many registers there are. Each warp fills a ring of its own and
// takes every kWarps-th chunk of k, from one tile to the next; another warp adds their sums and makes results, so that
// nobody waits for the end of a tile. Activations are copied whole before the first tile.
#include <algorithm>

#include "engine/ops/kernels/skinny.cuh"
#include "engine/ops/kernels/tensor_copy.cuh"

namespace assay {
namespace {

constexpr int kWarps = 7;  // that multiply
constexpr int kThreads = 32 * (kWarps + 1);
constexpr int kMostStages = 7;  // of a warp's ring: more do not fit
constexpr int kTileRows = 16;
constexpr int kChunkBytes = 256;  // of a weight row
constexpr int kMostRows = 8;      // activation rows of a launch
constexpr int kBarriers = kWarps * kMostStages + 5;
constexpr int kAlignment = 128;  // of what is copied by the accelerator

// What one copy holds: groups of the rows of a tile as [row][group][64 bytes], and their scales as [row][scale]. Of a
// row 256 bytes are contiguous, because shorter pieces cost memory bandwidth.
template <class Format>
struct Chunk {
  static constexpr int kGroups = kChunkBytes / kGroupBytes;
  static constexpr int kColumns = 32 * Format::kBlocks * kGroups;
  static constexpr int kWeights = kTileRows * kChunkBytes;
  static constexpr int kScaleRow = kColumns / 32 * 2;
  static constexpr int kBytes = kWeights + kTileRows * kScaleRow;
  static_assert(kScaleRow % 16 == 0 && kBytes % 128 == 0);
};

struct RingShape {
  int chunks = 0;  // of a weight row
  int tiles = 0;
  int stages = 0;   // of a warp's ring
  int x_pitch = 0;  // bytes from one activation row to the next in shared memory
};

#ifdef ASSAY_WARPGROUP

// A thread copies so many bytes, a multiple of 16 from a multiple of 16.
__device__ __forceinline__ void CopyRun(std::uint32_t to, const void* from, std::uint32_t bytes,
                                        std::uint32_t barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
               "l"(from), "r"(bytes), "r"(barrier)
               : "memory");
}

#endif

// grid (blocks that share the tiles, 1, splits of k).
template <class Format, class T>
__global__ void __launch_bounds__(kThreads, 1)
    SkinnyTmaKernel(Product p, RingShape shape, SplitSums split, const __grid_constant__ CUtensorMap weights,
                    const __grid_constant__ CUtensorMap scales) {
#ifdef ASSAY_WARPGROUP
  using C = Chunk<Format>;
  constexpr int kScaleGroups = 8 / Format::kBlocks;  // whose scales are read together
  LetSuccessorsStart();
  extern __shared__ unsigned char unaligned[];
  __shared__ float4 sums[2][kWarps][32];
  __shared__ std::uint64_t barriers[kBarriers];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32, g = lane / 4,
            t = lane % 4;
  const std::uint32_t full = SharedAddress(barriers + warp * kMostStages),
                      sums_full = SharedAddress(barriers + kWarps * kMostStages), sums_empty = sums_full + 16,
                      x_full = sums_empty + 16;
  const std::uint32_t start = SharedAddress(unaligned), ring_at = (start + kAlignment - 1) / kAlignment * kAlignment;
  unsigned char* const shared = unaligned + (ring_at - start);
  const int splits = static_cast<int>(gridDim.z), z = static_cast<int>(blockIdx.z);
  const int begin = shape.chunks * z / splits, chunks = shape.chunks * (z + 1) / splits - begin;
  const int own_tiles = (shape.tiles - static_cast<int>(blockIdx.x) - 1) / static_cast<int>(gridDim.x) + 1;
  const int x_offset = kWarps * shape.stages * C::kBytes;
  const bool gated = p.epilogue == Epilogue::kGated;

  // The warp's next chunk to ask for: of tile `due_tile` of this block's.
  int due = warp, due_tile = 0;
  const auto settle = [&] {
    while (due >= chunks && due_tile < own_tiles) due -= chunks, ++due_tile;
  };
  const auto copy = [&](int stage) {
    const int tile = static_cast<int>(blockIdx.x) + due_tile * static_cast<int>(gridDim.x), chunk = begin + due;
    const int row = gated ? 0 : tile * kTileRows, pair = gated ? tile : 0;
    const std::uint32_t to = ring_at + (warp * shape.stages + stage) * C::kBytes, barrier = full + 8 * stage;
    ArriveExpecting(barrier, C::kBytes);
    CopyBox<true>(to, weights, {chunk * kChunkBytes, row, 0, pair, 0}, barrier);
    CopyBox<true>(to + C::kWeights, scales, {chunk * C::kScaleRow, row, 0, pair, 0}, barrier);
  };
  if (warp < kWarps) {
    if (lane == 0) {
      for (int s = 0; s < shape.stages; ++s) InitBarrier(full + 8 * s, 1);
      FenceBarriers();
    }
    settle();
    for (int s = 0; s < shape.stages && due_tile < own_tiles; ++s) {
      if (lane == 0) copy(s);
      due += kWarps;
      settle();
    }
    __syncwarp();
  } else if (lane == 0) {
    for (int s = 0; s < 2; ++s) {
      InitBarrier(sums_full + 8 * s, kWarps);
      InitBarrier(sums_empty + 8 * s, 1);
    }
    InitBarrier(x_full, 1);
    FenceBarriers();
  }
  __syncthreads();
  WaitForPredecessors();

  if (warp < kWarps) {  // multiplies
    const unsigned char* const x_row = shared + x_offset + min(g, p.rows - 1) * shape.x_pitch + 16 * t;
    const unsigned char* const own = shared + warp * shape.stages * C::kBytes;
    const unsigned char* const lane_rows = own + g * kChunkBytes + 16 * t;
    const unsigned char* const lane_scales = own + C::kWeights + g * C::kScaleRow;
    WaitBarrier(x_full, 0);
    float acc[1][1][4] = {};
    int stage = 0, at = warp;
    std::uint32_t phase = 0;
    for (int i = 0; i < own_tiles;) {
      if (at < chunks) {
        WaitBarrier(full + 8 * stage, phase);
        const int offset = stage * C::kBytes;
        uint4 scales_a{}, scales_b{};
#pragma unroll
        for (int j = 0; j < C::kGroups; ++j) {
          if (j % kScaleGroups == 0) {
            const unsigned char* const from = lane_scales + offset + j / kScaleGroups * 16;
            scales_a = *reinterpret_cast<const uint4*>(from);
            scales_b = *reinterpret_cast<const uint4*>(from + 8 * C::kScaleRow);
          }
          const unsigned char* const rows = lane_rows + offset + j * kGroupBytes;
          const uint4 a[1] = {*reinterpret_cast<const uint4*>(rows)},
                      b[1] = {*reinterpret_cast<const uint4*>(rows + 8 * kChunkBytes)};
          GroupScales<Format> scale_a[1], scale_b[1];
          scale_a[0].Take(scales_a, j % kScaleGroups);
          scale_b[0].Take(scales_b, j % kScaleGroups);
          const int column = 32 * Format::kBlocks * (at * C::kGroups + j);
          MultiplyGroup<Format, T, 1, 1>(acc, a, b, scale_a, scale_b, [&](uint4(&v)[1], int block) {
            v[0] = *reinterpret_cast<const uint4*>(x_row + 2 * (column + 32 * block));
          });
        }
        __syncwarp();
        if (due_tile < own_tiles) {
          if (lane == 0) copy(stage);
          due += kWarps;
          settle();
        }
        if (++stage == shape.stages) stage = 0, phase ^= 1;
        at += kWarps;
        continue;
      }
      WaitBarrier(sums_empty + 8 * (i % 2), (i / 2 + 1) % 2);
      float(&v)[4] = acc[0][0];
      sums[i % 2][warp][lane] = make_float4(v[0], v[1], v[2], v[3]);
      v[0] = v[1] = v[2] = v[3] = 0.0f;
      __syncwarp();
      if (lane == 0) Arrive(sums_full + 8 * (i % 2));
      at -= chunks;
      ++i;
    }
    return;
  }
  if (lane == 0) {
    const int first = begin * C::kColumns, columns = chunks * C::kColumns;
    ArriveExpecting(x_full, static_cast<std::uint32_t>(p.rows * columns) * 2);
    for (int r = 0; r < p.rows; ++r)
      CopyRun(ring_at + x_offset + r * shape.x_pitch, static_cast<const T*>(p.x) + r * p.w.cols + first,
              static_cast<std::uint32_t>(columns) * 2, x_full);
  }
  __syncwarp();
  for (int i = 0; i < own_tiles; ++i) {  // makes results
    const int tile = static_cast<int>(blockIdx.x) + i * static_cast<int>(gridDim.x);
    WaitBarrier(sums_full + 8 * (i % 2), i / 2 % 2);
    float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
    for (int w = 0; w < kWarps; ++w) v = Plus(v, sums[i % 2][w][lane]);
    __syncwarp();  // orders all lanes' reads before lane 0 arrives; racecheck counts those of the other 31 as hazards
    if (lane == 0) Arrive(sums_empty + 8 * (i % 2));
    if (splits > 1 && !ReduceSplitsOfWarp(v, split, tile, lane)) continue;
    const TileRows rows = RowsOfTile(p, tile, g);
    const int row = 2 * t;
    if (row < p.rows) ApplyEpiloguePair<T>(p, row, rows.a, rows.b, v.x, v.z);
    if (row + 1 < p.rows) ApplyEpiloguePair<T>(p, row + 1, rows.a, rows.b, v.y, v.w);
  }
#else
  __trap();  // code for another architecture: SkinnyTmaTakes does not let it come to this
#endif
}

// Of a block. k is split over blocks where there would be more, so that rings have half of the shared memory or more. A
// block takes all of it: with two a multiprocessor, of one product or of successive ones, products alone were faster by
// up to a fifth, but steps slower by a tenth.
constexpr int kMostActivationBytes = 96 * 1024;

int SplitsOf(const Product& p, int rows) {
  return CeilDiv(static_cast<int>(2 * rows * p.w.cols), kMostActivationBytes);
}

template <class Format, class T>
void LaunchTiles(const KernelContext& ctx, const Product& p) {
  using C = Chunk<Format>;
  const int splits = SplitsOf(p, p.rows);
  RingShape shape;
  shape.chunks = static_cast<int>(p.w.row_bytes / kChunkBytes);
  shape.tiles = RowTiles(p, 1);
  // Eight lanes that read 64 bytes of two rows each meet all banks.
  shape.x_pitch = CeilDiv(shape.chunks, splits) * C::kColumns * 2 + 64;
  const int x_bytes = p.rows * shape.x_pitch,
            static_bytes = 2 * kWarps * 32 * static_cast<int>(sizeof(float4)) + 8 * (kBarriers + 1),
            room = static_cast<int>(ctx.shared_memory) - static_bytes - x_bytes - kAlignment;
  shape.stages = std::clamp(room / (kWarps * C::kBytes), 1, kMostStages);
  const int blocks = std::clamp(ctx.sm_count / splits, 1, shape.tiles);
  SplitSums split;
  if (splits > 1) split = SplitOver(ctx, sizeof(float4) * shape.tiles * splits * 32, shape.tiles);
  Launch(SkinnyTmaKernel<Format, T>, dim3(static_cast<unsigned>(blocks), 1, static_cast<unsigned>(splits)),
         dim3(kThreads), kWarps * shape.stages * C::kBytes + x_bytes + kAlignment, ctx, p, shape, split,
         MapOfTiles(ctx, p, p.w.data, p.w.row_bytes, kTileRows, kChunkBytes, CU_TENSOR_MAP_SWIZZLE_NONE),
         MapOfTiles(ctx, p, p.w.scales, p.w.stride / 16, kTileRows, C::kScaleRow, CU_TENSOR_MAP_SWIZZLE_NONE));
}

}  // namespace

bool SkinnyTmaTakes(const KernelContext& ctx, const Product& p) {
#ifdef ASSAY_STREAM
  return ctx.compute_capability == 90 && ctx.precision.operands != DType::kF32 && p.w.layout == WeightLayout::kSplit &&
         WholeRows(p) && p.w.row_bytes % kChunkBytes == 0 &&
         (p.epilogue != Epilogue::kGated || p.w.rows % kTileRows == 0) &&
         (RowTiles(p, 1) <= kSemaphores || SplitsOf(p, kMostRows) == 1);
#else
  static_cast<void>(ctx), static_cast<void>(p);
  return false;
#endif
}

void LaunchSkinnyTma(const KernelContext& ctx, const Product& all) {
  With16Bit(ctx.precision, [&](auto t) {
    using T = decltype(t);
    for (int row = 0; row < all.rows; row += kMostRows) {
      const Product p = RowsOf<T>(all, row, std::min(all.rows - row, kMostRows));
      if (p.w.type == DType::kQ8_0)
        LaunchTiles<Q8Format, T>(ctx, p);
      else
        LaunchTiles<Q4Format, T>(ctx, p);
    }
  });
}

}  // namespace assay
