// The ring in shared memory through which a streamed product (gemm_stream.cu) takes weights and activations: what a
// block does in which order, what a stage holds, who copies it, and how it is read.
#pragma once

#include <algorithm>

#include "engine/ops/kernels/skinny.cuh"
#include "engine/ops/kernels/tensor_copy.cuh"

namespace assay {

// What the blocks of a launch take.
enum class Schedule : std::uint8_t {
  kStreamK,       // of up to N activation rows: each a share of the steps of all tiles
  kDataParallel,  // of any number of activation rows: whole tiles in turn, their sums added as those of shares are
  kGrouped,       // of experts: whole tiles in turn
};

// Blocks of a cluster. Those of whole tiles take other weights and the same activations, of which each copies a part
// for all: read by every block, they would cost more of the L2 cache's bandwidth than it has.
template <Schedule kSchedule>
inline constexpr int kCluster = kSchedule == Schedule::kDataParallel ? 2 : 1;

// Activation rows of a box, which is what a block of a cluster copies at a time.
template <Schedule kSchedule, int N>
inline constexpr int kBoxRows = kSchedule == Schedule::kDataParallel ? N / 4 : N;

// How the steps of all tiles are cut into shares, and with them the sum of a result into parts.
struct StreamCut {
  int steps = 0;  // of a tile
  int tiles = 0;  // of 128 weight rows
  int shares = 1;
  bool at_once = true;  // whether the blocks that have a share each run at a time
  __host__ __device__ std::int64_t total() const { return std::int64_t{steps} * tiles; }
  __host__ __device__ std::int64_t begin(int share) const { return total() * share / shares; }
  // The share that step `at` is in.
  __host__ __device__ int owner(std::int64_t at) const { return static_cast<int>(((at + 1) * shares - 1) / total()); }
  // Steps from `step` of a tile to the end of the tile or of the share.
  __host__ __device__ int part(int tile, int step) const {
    const std::int64_t at = std::int64_t{tile} * steps + step, end = begin(owner(at) + 1) - at;
    return end < steps - step ? static_cast<int>(end) : steps - step;
  }
};

// Steps [step, step + steps) of one tile.
struct StreamSegment {
  std::int64_t matrix = 0;  // the expert's
  int tile = 0, step = 0, steps = 0;
  int first = 0, count = 0;  // activation rows, or places in the list of assignments
};

inline constexpr int kTileRows = 128;
inline constexpr int kGroupThreads = 128;  // a warpgroup
inline constexpr int kThreads = 3 * kGroupThreads;
inline constexpr int kMostStages = 8;

// What a block takes of a multiprocessor, registers being those of a thread. With few activation rows two blocks fit,
// so that a product's weights are requested while the one before finishes.
template <int N>
struct BlockShare {
  static constexpr int kResident = N <= 32 ? 2 : 1;
  static constexpr int kRingBytes = (N <= 32 ? 93 : 208) * 1024;
  static constexpr int kCopyRegisters = N <= 32 || N == 256 ? 40 : 56;
  static constexpr int kMultiplyRegisters = N <= 32 ? 96 : N == 256 ? 232 : 224;
};

// What one step along k holds.
template <class Format, int N>
struct Stage {
  static constexpr int kColumns = Format::kScaled ? 128 : 64;
  static constexpr int kRowBytes = kColumns / (32 * Format::kBlocks) * kGroupBytes;  // of a weight row
  static constexpr int kBoxBytes = Format::kScaled ? 64 : 128;  // weights lie as [row / kBoxBytes][128][kBoxBytes]
  static constexpr int kWeights = kTileRows * kRowBytes;
  static constexpr int kScales = Format::kScaled ? kTileRows * 8 : 0;  // four fp16 a row
  static constexpr int kActivations = N * 2 * kColumns;                // [k / 64][N][128 bytes]
  static constexpr int kScalesAt = kWeights + kActivations;            // after both, which begin on 1024
  static constexpr int kBytes = (kScalesAt + kScales + 1023) / 1024 * 1024;
  static constexpr int kCount = std::min(kMostStages, BlockShare<N>::kRingBytes / kBytes);
  static_assert(kWeights % 1024 == 0 && kActivations % 1024 == 0 && kCount >= 3);
};

#ifdef ASSAY_WARPGROUP

// The segments of a block, which all its warps walk alike. Whole tiles of activation rows follow each other for the
// same weight rows, which are then in the L2 cache.
template <Schedule kSchedule, int N>
struct Walk {
  static constexpr bool kGrouped = kSchedule == Schedule::kGrouped;
  const Product& p;
  const StreamCut& cut;
  const ExpertTiles& tiles;
  std::int64_t at, end;

  __device__ Walk(const Product& product, const StreamCut& steps, const ExpertTiles& assignments)
      : p(product), cut(steps), tiles(assignments) {
    const int block = static_cast<int>(blockIdx.x);
    if constexpr (kSchedule == Schedule::kStreamK) {
      at = cut.begin(block), end = cut.begin(block + 1);
    } else if constexpr (kGrouped) {
      at = block, end = std::int64_t{cut.tiles} * tiles.max_tiles;
    } else {
      // As many tiles of weights at a time as a cluster has blocks; the last may lie behind the last weight row.
      at = block / kCluster<kSchedule>;
      end = std::int64_t{(cut.tiles + kCluster<kSchedule> - 1) / kCluster<kSchedule>} * row_tiles();
    }
  }
  // Of the cluster.
  static __device__ __forceinline__ int rank() { return static_cast<int>(blockIdx.x) % kCluster<kSchedule>; }
  // Of activation rows.
  __device__ __forceinline__ int row_tiles() const { return (p.rows + N - 1) / N; }
  __device__ __forceinline__ bool Next(StreamSegment& segment) {
    if constexpr (kGrouped) {
      for (; at < end; at += gridDim.x) {
        const std::int32_t* own = tiles.tiles + 3 * (at / cut.tiles);
        if (own[2] == 0) continue;
        segment = {own[0], static_cast<int>(at % cut.tiles), 0, cut.steps, own[1], own[2]};
        at += gridDim.x;
        return true;
      }
      return false;
    } else if constexpr (kSchedule == Schedule::kDataParallel) {
      if (at >= end) return false;
      const int first = static_cast<int>(at % row_tiles()) * N;
      const int tile = static_cast<int>(at / row_tiles()) * kCluster<kSchedule> + rank();
      segment = {0, tile, 0, cut.steps, first, min(N, p.rows - first)};
      at += gridDim.x / kCluster<kSchedule>;
      return true;
    } else {
      if (at >= end) return false;
      const std::int64_t tile = at / cut.steps, tile_end = min(end, (tile + 1) * cut.steps);
      segment = {
          0,     static_cast<int>(tile), static_cast<int>(at - tile * cut.steps), static_cast<int>(tile_end - at), 0,
          p.rows};
      at = tile_end;
      return true;
    }
  }
  // Of the result: the i-th of the segment.
  __device__ __forceinline__ int Row(const StreamSegment& segment, int i) const {
    return kGrouped ? tiles.list[segment.first + i] : segment.first + i;
  }
};

// Activation rows that are multiplied for a segment of `count`, in three widths at most.
template <Schedule kSchedule, int N>
__device__ __forceinline__ int Width(int count) {
  if (kSchedule == Schedule::kStreamK || N < 64) return N;
  if (count <= N / 2) return N / 2;
  return N == 256 && count <= 192 ? 192 : N;
}

// Row of the stored matrices that row r of a tile shows: rows 8 to 15 of each 16 are the partners of 0 to 7.
__device__ __forceinline__ std::int64_t WeightRow(const Product& p, const StreamSegment& segment, int r) {
  const TileRows rows = RowsOfTile(p, std::int64_t{segment.tile} * (kTileRows / 16) + r / 16, r % 8);
  return segment.matrix * p.w.rows + (r % 16 < 8 ? rows.load_a : rows.load_b);
}

// Where those who copy are in the ring.
template <class Format, int N>
struct RingWriter {
  std::uint32_t ring, full, empty;
  int stage = 0;
  std::uint32_t phase = 1;

  __device__ __forceinline__ void Wait() const { WaitBarrier(empty + 8 * stage, phase); }
  __device__ __forceinline__ std::uint32_t stage_at() const { return ring + stage * Stage<Format, N>::kBytes; }
  __device__ __forceinline__ std::uint32_t barrier() const { return full + 8 * stage; }
  __device__ __forceinline__ void Next() {
    if (++stage == Stage<Format, N>::kCount) stage = 0, phase ^= 1;
  }
};

#endif

template <class Format, int N>
CUtensorMap MapOfWeights(const KernelContext& ctx, const Product& p) {
  constexpr cuuint32_t kBox = Stage<Format, N>::kBoxBytes;
  return MapOfTiles(ctx, p, p.w.data, p.w.row_bytes, kTileRows, kBox,
                    kBox == 64 ? CU_TENSOR_MAP_SWIZZLE_64B : CU_TENSOR_MAP_SWIZZLE_128B);
}

#ifdef ASSAY_WARPGROUP

// A thread copies weights.
template <class Format, int N, Schedule kSchedule>
__device__ void CopyWeights(Walk<kSchedule, N> walk, const CUtensorMap& map, RingWriter<Format, N> writer) {
  using S = Stage<Format, N>;
  const bool gated = walk.p.epilogue == Epilogue::kGated;
  StreamSegment segment;
  while (walk.Next(segment)) {
    const int row = gated ? 0 : segment.tile * kTileRows, pair = gated ? segment.tile * (kTileRows / 16) : 0;
    for (int step = segment.step; step < segment.step + segment.steps; ++step, writer.Next()) {
      writer.Wait();
      ArriveExpecting(writer.barrier(), S::kWeights);
#pragma unroll
      for (int at = 0; at < S::kRowBytes; at += S::kBoxBytes)
        CopyBox<kSchedule != Schedule::kDataParallel>(
            writer.stage_at() + at * kTileRows, map,
            {step * S::kRowBytes + at, row, 0, pair, static_cast<int>(segment.matrix)}, writer.barrier());
    }
  }
}

// A warp copies scales.
template <class Format, int N, Schedule kSchedule>
__device__ void CopyScales(Walk<kSchedule, N> walk, RingWriter<Format, N> writer, int lane) {
  using S = Stage<Format, N>;
  constexpr int kTurns = kTileRows / 32;
  const Product& p = walk.p;
  const std::int64_t scales_row = p.w.stride / 32;
  const bool aligned = scales_row % 4 == 0;  // rows begin on eight bytes, else on four
  const __half* scales[kTurns];
  StreamSegment segment;
  while (walk.Next(segment)) {
#pragma unroll
    for (int i = 0; i < kTurns; ++i)
      scales[i] = static_cast<const __half*>(p.w.scales) + WeightRow(p, segment, lane + 32 * i) * scales_row;
    for (int step = segment.step; step < segment.step + segment.steps; ++step, writer.Next()) {
      writer.Wait();
      const std::uint32_t to = writer.stage_at() + S::kScalesAt + lane * 8;
#pragma unroll
      for (int i = 0; i < kTurns; ++i) {
        if (aligned) {
          CopyAsync<8>(to + 256 * i, scales[i] + 4 * step, true);
          continue;
        }
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const int first = 4 * step + 2 * h;
          const bool here = first < scales_row;
          CopyAsync<4>(to + 256 * i + 4 * h, scales[i] + (here ? first : 0), here);
        }
      }
      ArriveAfterCopies(writer.barrier());
    }
  }
}

// A thread copies the activations of all rows, or its block's part of them to all blocks of the cluster.
template <class Format, int N, Schedule kSchedule>
__device__ void CopyActivations(Walk<kSchedule, N> walk, const CUtensorMap& map, RingWriter<Format, N> writer) {
  using S = Stage<Format, N>;
  constexpr int kBlocks = kCluster<kSchedule>;
  constexpr int kRows = kBoxRows<kSchedule, N>;
  StreamSegment segment;
  while (walk.Next(segment)) {
    const int width = Width<kSchedule, N>(segment.count);
    for (int step = segment.step; step < segment.step + segment.steps; ++step, writer.Next()) {
      writer.Wait();
      ArriveExpecting(writer.barrier(), width * 2 * S::kColumns);
#pragma unroll
      for (int half = 0; half < S::kColumns / 64; ++half) {
        for (int row = walk.rank() * kRows; row < width; row += kBlocks * kRows) {
          const std::uint32_t to = writer.stage_at() + S::kWeights + (half * N + row) * 128;
          const int2 from = {2 * (step * S::kColumns + 64 * half), segment.first + row};
          if constexpr (kBlocks == 1)
            CopyBox(to, map, from, writer.barrier());
          else
            CopyBoxTo((1 << kBlocks) - 1, to, map, from, writer.barrier());
        }
      }
    }
  }
}

// Two warps copy the activations that a tile's assignments name.
template <class Format, int N>
__device__ void CopyAssignedActivations(Walk<Schedule::kGrouped, N> walk, RingWriter<Format, N> writer, int thread) {
  using S = Stage<Format, N>;
  const Product& p = walk.p;
  const int chunk = thread % 8, row = thread / 8, cols = static_cast<int>(p.w.cols);
  const auto* x = static_cast<const uint4*>(p.x);
  const std::uint32_t place = S::kWeights + row * 128 + (chunk ^ row) * 16;
  std::uint32_t from[N / 8];  // 16-byte vectors from x to rows row, row + 8, ... of the segment
  StreamSegment segment;
  while (walk.Next(segment)) {
    const int rows = (segment.count - row + 7) / 8;  // that this thread copies
    const int items = Width<Schedule::kGrouped, N>(segment.count) / 8;
#pragma unroll
    for (int i = 0; i < N / 8; ++i) {
      const int r = i < rows ? walk.Row(segment, row + 8 * i) : 0;
      from[i] = static_cast<std::uint32_t>(r / p.x_share) * static_cast<std::uint32_t>(cols / 8);
    }
    for (int step = segment.step; step < segment.step + segment.steps; ++step, writer.Next()) {
      writer.Wait();
      const std::uint32_t to = writer.stage_at() + place;
#pragma unroll
      for (int half = 0; half < S::kColumns / 64; ++half) {
        const int k = step * S::kColumns + 64 * half + 8 * chunk, present = k < cols ? rows : 0;
        const uint4* column = x + (k < cols ? k / 8 : 0);
#pragma unroll
        for (int i = 0; i < N / 8; ++i) {
          if (i < N / 16 || i < items) CopyAsync<16>(to + half * N * 128 + i * 1024, column + from[i], i < present);
        }
      }
      ArriveAfterCopies(writer.barrier());
    }
  }
}

// Where a warpgroup reads the ring.
template <class Format, int N>
struct RingReader {
  const unsigned char* data;  // of the ring
  std::uint32_t ring, full, empty;
  int stage = 0;
  std::uint32_t phase = 0;

  // Threads' copies, but not those of boxes, must be made visible to products.
  template <Schedule kSchedule>
  __device__ __forceinline__ void Wait() const {
    WaitBarrier(full + 8 * stage, phase);
    if (kSchedule == Schedule::kGrouped) FenceShared();
  }
  __device__ __forceinline__ void Next() {
    if (++stage == Stage<Format, N>::kCount) stage = 0, phase ^= 1;
  }
  // To the blocks that copy into it.
  template <Schedule kSchedule>
  __device__ __forceinline__ void Release(int s, int lane) const {
    __syncwarp();
    if constexpr (kCluster<kSchedule> == 1) {
      if (lane == 0) Arrive(empty + 8 * s);
    } else {
      if (lane < kCluster<kSchedule>) ArriveAt(empty + 8 * s, lane);
    }
  }
  __device__ __forceinline__ std::uint32_t weights(int s) const { return ring + s * Stage<Format, N>::kBytes; }
  __device__ __forceinline__ std::uint32_t activations(int s) const { return weights(s) + Stage<Format, N>::kWeights; }
};

#endif

}  // namespace assay
