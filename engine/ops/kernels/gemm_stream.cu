// The product that streams weights through a ring in shared memory to the tensor cores of compute capability 9.0a: for
// 8 to 128 activation rows at a time, all 16-bit modes, plain, Q8_0 and Q4_0 weights.
//
// A tile is 128 weight rows by N activation rows. The steps along k of all tiles, one after the other, are cut evenly
// over as many blocks as there are multiprocessors, by the shape alone. Blocks that share a tile leave their sums in
// workspace, wait for each other, and each adds those of some activation rows in the order of k.
//
// A block is one warpgroup that copies and two that multiply, 64 weight rows each. Weights are requested before the
// wait for predecessors, as deep as the ring is. Plain weights are multiplied from shared memory. Quantised ones are
// expanded in registers to integers, which are exact, and each block's float32 sum is scaled, as in LaunchSkinny. There
// a lane takes eight consecutive columns of a block; here, where the activations keep their order, lane t takes columns
// 2 t and 2 t + 1 of each eight.
#include <algorithm>

#include "engine/ops/kernels/epilogue.cuh"
#include "engine/ops/kernels/fault.cuh"
#include "engine/ops/kernels/skinny.cuh"
#include "engine/ops/kernels/warpgroup.cuh"

namespace assay {

// How the steps of all tiles are cut.
struct StreamCut {
  int steps = 0;  // of a tile
  int tiles = 0;  // of 128 weight rows
  __host__ __device__ std::int64_t total() const { return std::int64_t{steps} * tiles; }
  __host__ __device__ std::int64_t begin(int block, int blocks) const { return total() * block / blocks; }
  // The block that has step `at`.
  __host__ __device__ int owner(std::int64_t at, int blocks) const {
    return static_cast<int>(((at + 1) * blocks - 1) / total());
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
inline constexpr int kCopyRegisters = 88, kMultiplyRegisters = 208;  // of a thread; all threads share 65536
inline constexpr int kMostStages = 8;
inline constexpr int kRingBytes = 208 * 1024;

// What one step along k holds.
template <class Format, int N>
struct Stage {
  static constexpr int kColumns = Format::kScaled ? 128 : 64;
  static constexpr int kRowBytes = kColumns / (32 * Format::kBlocks) * kGroupBytes;  // of a weight row
  static constexpr int kWeights = kTileRows * kRowBytes;
  static constexpr int kScales = Format::kScaled ? kTileRows * 8 : 0;  // four fp16 a row
  static constexpr int kActivations = N * 2 * kColumns;                // [k / 64][N][128 bytes]
  static constexpr int kScalesAt = kWeights + kActivations;            // after both, which begin on 1024
  static constexpr int kBytes = (kScalesAt + kScales + 1023) / 1024 * 1024;
  static constexpr int kCount = std::min(kMostStages, kRingBytes / kBytes);
  static_assert(kWeights % 1024 == 0 && kActivations % 1024 == 0 && kCount >= 3);
};

namespace {

#ifdef ASSAY_WARPGROUP

// The segments of a block, which all its warps walk alike: of a product of all rows its share of the steps, of experts
// every tile of weight rows with every tile of assignments, whole, in turn with the other blocks.
template <bool kGrouped>
struct Walk {
  const Product& p;
  const StreamCut& cut;
  const ExpertTiles& tiles;
  std::int64_t at, end;

  __device__ Walk(const Product& product, const StreamCut& steps, const ExpertTiles& assignments)
      : p(product), cut(steps), tiles(assignments) {
    const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
    at = kGrouped ? block : cut.begin(block, blocks);
    end = kGrouped ? std::int64_t{cut.tiles} * tiles.max_tiles : cut.begin(block + 1, blocks);
  }
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
    return kGrouped ? tiles.list[segment.first + i] : i;
  }
};

// Row of the stored matrices that row r of a tile shows: rows 8 to 15 of each 16 are the partners of 0 to 7.
__device__ __forceinline__ std::int64_t WeightRow(const Product& p, const StreamSegment& segment, int r) {
  const TileRows rows = RowsOfTile(p, std::int64_t{segment.tile} * (kTileRows / 16) + r / 16, r % 8);
  return segment.matrix * p.w.rows + (r % 16 < 8 ? rows.load_a : rows.load_b);
}

// Two warps copy weights and scales.
template <class Format, int N, bool kGrouped>
__device__ void CopyWeights(Walk<kGrouped> walk, std::uint32_t ring, std::uint32_t full, std::uint32_t empty,
                            int thread) {
  using S = Stage<Format, N>;
  const Product& p = walk.p;
  constexpr int kChunks = S::kRowBytes / 16, kRows = 64 / kChunks, kTurns = kTileRows / kRows;
  const int chunk = thread % kChunks, row = thread / kChunks;
  const std::int64_t row_bytes = p.w.row_bytes, scales_row = p.w.stride / 32;
  const auto* data = static_cast<const uint4*>(p.w.data);
  std::uint32_t from[kTurns];  // 16-byte vectors from `data` to a row
  const __half* scales[2] = {};
  int stage = 0;
  std::uint32_t phase = 1;
  StreamSegment segment;
  while (walk.Next(segment)) {
#pragma unroll
    for (int i = 0; i < kTurns; ++i)
      from[i] = static_cast<std::uint32_t>(WeightRow(p, segment, row + i * kRows) * (row_bytes / 16));
    if constexpr (Format::kScaled) {
#pragma unroll
      for (int i = 0; i < 2; ++i)
        scales[i] = static_cast<const __half*>(p.w.scales) + WeightRow(p, segment, thread + 64 * i) * scales_row;
    }
    for (int step = segment.step; step < segment.step + segment.steps; ++step) {
      WaitBarrier(empty + 8 * stage, phase);
      const std::uint32_t to = ring + stage * S::kBytes;
      const int vector = step * (S::kRowBytes / 16) + chunk;
      const bool present = vector < row_bytes / 16;
#pragma unroll
      for (int i = 0; i < kTurns; ++i) {
        const int r = row + i * kRows;
        // Plain: rows of 128 bytes. Quantised: [group][row][64 bytes]. Swizzled so that what a warp reads at once lies
        // in different banks.
        const std::uint32_t place = Format::kScaled
                                        ? (chunk / 4) * kTileRows * 64 + r * 64 + ((chunk % 4) ^ (r / 2 % 4)) * 16
                                        : r * 128 + (chunk ^ (r % 8)) * 16;
        CopyAsync<16>(to + place, data + from[i] + (present ? vector : 0), present);
      }
      if constexpr (Format::kScaled) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
#pragma unroll
          for (int h = 0; h < 2; ++h) {
            const int first = 4 * step + 2 * h;  // rows of scales begin on four bytes
            const bool here = first < scales_row;
            CopyAsync<4>(to + S::kScalesAt + (thread + 64 * i) * 8 + 4 * h, scales[i] + (here ? first : 0), here);
          }
        }
      }
      ArriveAfterCopies(full + 8 * stage);
      if (++stage == S::kCount) stage = 0, phase ^= 1;
    }
  }
}

// Two warps copy activations.
template <class Format, class T, int N, bool kGrouped>
__device__ void CopyActivations(Walk<kGrouped> walk, std::uint32_t ring, std::uint32_t full, std::uint32_t empty,
                                int thread) {
  using S = Stage<Format, N>;
  const Product& p = walk.p;
  const int chunk = thread % 8, row = thread / 8, cols = static_cast<int>(p.w.cols);
  const auto* x = static_cast<const uint4*>(p.x);
  const std::uint32_t place = row * 128 + (chunk ^ row) * 16;
  std::uint32_t from[N / 8];  // 16-byte vectors from x to rows row, row + 8, ... of the segment
  int stage = 0;
  std::uint32_t phase = 1;
  StreamSegment segment;
  while (walk.Next(segment)) {
    const int rows = (segment.count - row + 7) / 8;  // that this thread copies
#pragma unroll
    for (int i = 0; i < N / 8; ++i) {
      const int r = i < rows ? walk.Row(segment, row + 8 * i) : 0;
      from[i] = static_cast<std::uint32_t>(kGrouped ? r / p.x_share : r) * static_cast<std::uint32_t>(cols / 8);
    }
    for (int step = segment.step; step < segment.step + segment.steps; ++step) {
      WaitBarrier(empty + 8 * stage, phase);
      const std::uint32_t to = ring + stage * S::kBytes + S::kWeights + place;
#pragma unroll
      for (int half = 0; half < S::kColumns / 64; ++half) {
        const int k = step * S::kColumns + 64 * half + 8 * chunk, present = k < cols ? rows : 0;
        const uint4* column = x + (k < cols ? k / 8 : 0);
#pragma unroll
        for (int i = 0; i < N / 8; ++i) CopyAsync<16>(to + half * N * 128 + i * 1024, column + from[i], i < present);
      }
      ArriveAfterCopies(full + 8 * stage);
      if (++stage == S::kCount) stage = 0, phase ^= 1;
    }
  }
}

// Expands columns 2 t, 2 t + 1 of each eight of block b: four pairs.
template <class Format, class T>
__device__ __forceinline__ void ExpandPairsAcross(std::uint32_t (&pair)[4], const unsigned char* group, int row, int b,
                                                  int t) {
  const auto word = [&](int chunk, int i) {
    return *reinterpret_cast<const std::uint32_t*>(group + row * 64 + (chunk ^ (row / 2 % 4)) * 16 + 4 * i);
  };
  uint4 raw = {};
  if constexpr (std::is_same_v<Format, Q8Format>) {
    // Of each two words, the half that t says.
    const std::uint32_t select = t % 2 == 0 ? 0x5410u : 0x7632u;
    raw.x = __byte_perm(word(0, 2 * b + t / 2), word(1, 2 * b + t / 2), select);
    raw.y = __byte_perm(word(2, 2 * b + t / 2), word(3, 2 * b + t / 2), select);
    ExpandPairs<Format, T>(pair, raw, 0);
  } else {
    // Pair t of each word moves to where pair p is expected.
#pragma unroll
    for (int p = 0; p < 4; ++p) raw.x |= ((word(p, b) >> (4 * t)) & 0x000f000fu) << (4 * p);
    ExpandPairs<Format, T>(pair, raw, 0);
  }
}

// 64 weight rows by 32 columns in the registers of a warpgroup: the operands of two products.
struct ExpandedBlock {
  std::uint32_t first[4], second[4];
  float scale_a, scale_b;
};
// Block i of the four of a stage, for weight rows `row` and row + 8.
template <class Format, class T, int N>
__device__ __forceinline__ void Expand(ExpandedBlock& block, const unsigned char* stage, int i, int row, int t) {
  const unsigned char* group = stage + i / Format::kBlocks * kTileRows * 64;
  std::uint32_t a[4], b[4];
  ExpandPairsAcross<Format, T>(a, group, row, i % Format::kBlocks, t);
  ExpandPairsAcross<Format, T>(b, group, row + 8, i % Format::kBlocks, t);
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    block.first[2 * h] = a[h], block.first[2 * h + 1] = b[h];
    block.second[2 * h] = a[2 + h], block.second[2 * h + 1] = b[2 + h];
  }
  const auto* scales = reinterpret_cast<const __half*>(stage + Stage<Format, N>::kScalesAt) + i;
  block.scale_a = __half2float(scales[4 * row]);
  block.scale_b = __half2float(scales[4 * (row + 8)]);
}

template <int N>
__device__ __forceinline__ void AddScaled(float (&sum)[N / 2], const float (&dot)[N / 2], const ExpandedBlock& block) {
#pragma unroll
  for (int j = 0; j < N / 8; ++j) {
    sum[4 * j] = fmaf(block.scale_a, dot[4 * j], sum[4 * j]);
    sum[4 * j + 1] = fmaf(block.scale_a, dot[4 * j + 1], sum[4 * j + 1]);
    sum[4 * j + 2] = fmaf(block.scale_b, dot[4 * j + 2], sum[4 * j + 2]);
    sum[4 * j + 3] = fmaf(block.scale_b, dot[4 * j + 3], sum[4 * j + 3]);
  }
}

// Where a warpgroup reads the ring.
template <class Format, int N>
struct RingReader {
  const unsigned char* data;  // of the ring
  std::uint32_t ring, full, empty;
  int stage = 0;
  std::uint32_t phase = 0;

  __device__ __forceinline__ void Wait() const {
    WaitBarrier(full + 8 * stage, phase);
    FenceShared();
  }
  __device__ __forceinline__ void Next() {
    if (++stage == Stage<Format, N>::kCount) stage = 0, phase ^= 1;
  }
  __device__ __forceinline__ void Release(int s, int lane) const {
    __syncwarp();
    if (lane == 0) Arrive(empty + 8 * s);
  }
  __device__ __forceinline__ std::uint32_t weights(int s) const { return ring + s * Stage<Format, N>::kBytes; }
  __device__ __forceinline__ std::uint32_t activations(int s) const { return weights(s) + Stage<Format, N>::kWeights; }
};

// sum += `steps` steps of plain weights, which are multiplied from shared memory. The products of one step run while
// the next is waited for.
template <class Format, class T, int N>
__device__ __forceinline__ void MultiplyPlain(float (&sum)[N / 2], RingReader<Format, N>& reader, int steps,
                                              int thread) {
  const int lane = thread % 32, group = thread / kGroupThreads;
  int before = -1;  // the stage whose products may still run
  for (int step = 0; step < steps; ++step) {
    reader.Wait();
    const std::uint32_t w = reader.weights(reader.stage) + group * 64 * 128, x = reader.activations(reader.stage);
    FenceProducts();
#pragma unroll
    for (int i = 0; i < 4; ++i)
      Warpgroup<T, N>::Multiply(sum, SharedOperand(w + 32 * i), SharedOperand(x + 32 * i), true);
    CommitProducts();
    if (before >= 0) {
      WaitProducts<1>();
      reader.Release(before, lane);
    }
    before = reader.stage;
    reader.Next();
  }
  WaitProducts<0>();
  reader.Release(before, lane);
}

// sum += `steps` steps of quantised weights, which are expanded in registers: the next blocks while the products of
// some run.
template <class Format, class T, int N>
__device__ __forceinline__ void MultiplyExpanded(float (&sum)[N / 2], RingReader<Format, N>& reader, int steps,
                                                 int thread) {
  constexpr int kTogether = N <= 64 ? 2 : 1;  // blocks, as registers allow
  const int lane = thread % 32, t = lane % 4, row = thread / 32 * 16 + lane / 4;
  ExpandedBlock blocks[2 * kTogether];
  const auto expand = [&](int first) {
#pragma unroll
    for (int i = first; i < first + kTogether; ++i)
      Expand<Format, T, N>(blocks[i % (2 * kTogether)], reader.data + reader.stage * Stage<Format, N>::kBytes, i, row,
                           t);
  };
  reader.Wait();
  expand(0);
  for (int step = 0; step < steps; ++step) {
    const int stage = reader.stage;
    const std::uint32_t x = reader.activations(stage);
#pragma unroll
    for (int first = 0; first < 4; first += kTogether) {
      float dot[kTogether][N / 2];
      FenceProducts();
#pragma unroll
      for (int i = first; i < first + kTogether; ++i) {
        const ExpandedBlock& block = blocks[i % (2 * kTogether)];
        const std::uint32_t at = x + i / 2 * N * 128 + i % 2 * 64;
        Warpgroup<T, N>::Multiply(dot[i - first], block.first, SharedOperand(at), false);
        Warpgroup<T, N>::Multiply(dot[i - first], block.second, SharedOperand(at + 32), true);
      }
      CommitProducts();
      if (first + kTogether < 4) {
        expand(first + kTogether);
      } else {
        reader.Next();
        if (step + 1 < steps) {
          reader.Wait();
          expand(0);
        }
      }
      WaitProducts<0>();
#pragma unroll
      for (int i = first; i < first + kTogether; ++i) AddScaled<N>(sum, dot[i - first], blocks[i % (2 * kTogether)]);
    }
    reader.Release(stage, lane);
  }
}

// All who multiply, or a warpgroup of them.
__device__ __forceinline__ void SyncMultipliers() { asm volatile("bar.sync 1, 256;" ::: "memory"); }
__device__ __forceinline__ void SyncGroup(int group) { asm volatile("bar.sync %0, 128;" ::"r"(2 + group) : "memory"); }

// Sums of the 64 weight rows of a warpgroup by some activation rows, through which they come from lanes to results.
template <int N>
struct GroupResults {
  static constexpr int kRows = N < 32 ? N : 32;  // activation rows
  static constexpr int kPitch = 68;              // floats: lanes of a warp fall into different banks
  float sum[kRows][kPitch];

  // What a lane has of activation rows 8 j to 8 j + 7.
  __device__ __forceinline__ void Put(int j, float4 v, int thread) {
    const int t = thread % 4, row = thread / 32 * 16 + thread % 32 / 4;
    sum[8 * j + 2 * t][row] = v.x, sum[8 * j + 2 * t + 1][row] = v.y;
    sum[8 * j + 2 * t][row + 8] = v.z, sum[8 * j + 2 * t + 1][row + 8] = v.w;
  }
};

// A warpgroup that multiplies.
template <class T, int N, bool kGrouped>
struct Multiplier {
  const Walk<kGrouped>& walk;
  GroupResults<N>& results;
  int group, thread;  // the thread of the group

  // Applies the epilogue to `count` activation rows of the segment from `from` on. A warp writes runs of a result's
  // row: rows may be a megabyte apart, and scattered writes cost more than the product. Several results at a time hide
  // what an activation takes.
  __device__ __forceinline__ void Apply(const StreamSegment& segment, int from, int count) const {
    const Product& p = walk.p;
    const bool gated = p.epilogue == Epilogue::kGated;
    const int width = gated ? 32 : 64, r = gated ? thread % 32 : thread % 64, a = gated ? r / 8 * 16 + r % 8 : r;
    const std::int64_t o = (std::int64_t{segment.tile} * 2 + group) * width + r, end = gated ? p.w.rows / 2 : p.w.rows;
    SyncGroup(group);
    if (o < end) {
      constexpr int kTogether = 4;
      const int step = gated ? kGroupThreads / 32 : kGroupThreads / 64;
#pragma unroll 1
      for (int first = gated ? thread / 32 : thread / 64; first < count; first += kTogether * step) {
        float v[kTogether];
#pragma unroll
        for (int u = 0; u < kTogether; ++u) {
          const int i = min(first + u * step, count - 1);
          v[u] = results.sum[i][a];
          if (p.epilogue != Epilogue::kStore) {
            v[u] = Activate(v[u], p.activation);
            v[u] *= gated ? results.sum[i][a + 8] : p.ple[walk.Row(segment, from + i) * p.ple_stride + o];
          }
        }
#pragma unroll
        for (int u = 0; u < kTogether; ++u) {
          const int i = first + u * step;
          if (i >= count) break;
          const std::int64_t at = walk.Row(segment, from + i) * end + o;
          if (p.epilogue == Epilogue::kStore)
            p.out[at] = v[u];
          else
            static_cast<T*>(p.operand)[at] = RoundTo<T>(v[u]);
        }
      }
    }
    SyncGroup(group);
  }

  // The results of a tile whose sums are whole.
  __device__ __forceinline__ void Finish(const StreamSegment& segment, const float (&sum)[N / 2]) const {
    constexpr int kRows = GroupResults<N>::kRows;
#pragma unroll
    for (int from = 0; from < N; from += kRows) {
      if (from >= segment.count) break;
#pragma unroll
      for (int j = 0; j < kRows / 8; ++j) {
        const float* v = sum + from / 2 + 4 * j;
        results.Put(j, make_float4(v[0], v[1], v[2], v[3]), thread);
      }
      Apply(segment, from, min(kRows, segment.count - from));
    }
  }
};

// A tile that several blocks share. Each leaves its sums in workspace; when it has done all its steps, it waits for the
// others, adds the sums of all in the order of k for its share of the activation rows and finishes these. Blocks wait
// only behind their last step, and for neighbours alone, which begin in their order: none waits for one that cannot go
// on.
template <int N>
struct SharedTile {
  static constexpr int kColumns = N / 8;  // items of a thread
  static constexpr int kPitch = 2 * kGroupThreads;
  int self, parts;          // which of so many blocks
  float4 *sums, *of_first;  // of part i at sums + 2 * i * kColumns * kPitch, but of the first at `of_first`
  std::uint32_t* counter;

  __device__ SharedTile(const StreamCut& cut, const SplitSums& split, int tile, int thread) {
    const int blocks = static_cast<int>(gridDim.x);
    const std::int64_t begin = std::int64_t{tile} * cut.steps;
    const int first = cut.owner(begin, blocks);
    self = static_cast<int>(blockIdx.x) - first;
    parts = cut.owner(begin + cut.steps - 1, blocks) - first + 1;
    // A block has room for the tile it begins in and for the tile it ends in; only the first of a tile ends there.
    sums = split.partial + std::int64_t{2} * first * kColumns * kPitch + thread;
    of_first = sums + (cut.begin(first, blocks) < begin ? kColumns * kPitch : 0);
    counter = split.semaphores + tile;
  }
  __device__ __forceinline__ float4* part(int i) const {
    return i == 0 ? of_first : sums + std::int64_t{2} * i * kColumns * kPitch;
  }

  __device__ __forceinline__ void Leave(const float (&sum)[N / 2], std::uint64_t* fault, int thread) const {
    float4* own = part(self);
#pragma unroll
    for (int j = 0; j < kColumns; ++j)
      __stcg(own + j * kPitch, make_float4(sum[4 * j], sum[4 * j + 1], sum[4 * j + 2], sum[4 * j + 3]));
    SyncMultipliers();
    if (thread != 0) return;
    const std::uint32_t before = CountArrival(counter);
    if (before >= static_cast<std::uint32_t>(parts)) Report(fault, KernelFault::kArrivals, before, parts - 1);
  }

  template <class T, bool kGrouped>
  __device__ __forceinline__ void Finish(const Multiplier<T, N, kGrouped>& multiplier, const StreamSegment& segment,
                                         int thread) const {
    if (thread == 0) {
      for (std::uint32_t seen = 0; seen < static_cast<std::uint32_t>(parts);)
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
    }
    SyncMultipliers();
    constexpr int kTogether = 4, kAtOnce = GroupResults<N>::kRows / 8;  // parts and items whose loads overlap
    const int end = (self + 1) * kColumns / parts;
#pragma unroll 1
    for (int j = self * kColumns / parts; j < end && 8 * j < segment.count; j += kAtOnce) {
      float4 total[kAtOnce] = {};
#pragma unroll 1
      for (int i = 0; i < parts; i += kTogether) {
        float4 v[kTogether][kAtOnce];
#pragma unroll
        for (int u = 0; u < kTogether; ++u)
#pragma unroll
          for (int c = 0; c < kAtOnce; ++c)
            v[u][c] = i + u < parts && j + c < end ? __ldcg(part(i + u) + (j + c) * kPitch) : float4{};
#pragma unroll
        for (int u = 0; u < kTogether; ++u)
#pragma unroll
          for (int c = 0; c < kAtOnce; ++c) {
            total[c].x += v[u][c].x, total[c].y += v[u][c].y;
            total[c].z += v[u][c].z, total[c].w += v[u][c].w;
          }
      }
#pragma unroll
      for (int c = 0; c < kAtOnce; ++c) multiplier.results.Put(c, total[c], multiplier.thread);
      multiplier.Apply(segment, 8 * j, min(8 * min(end - j, kAtOnce), segment.count - 8 * j));
    }
    // Who leaves last sets the counter back: no one reads it any more.
    if (thread == 0 && CountArrival(counter) == static_cast<std::uint32_t>(2 * parts - 1)) *counter = 0;
  }
};

template <class Format, class T, int N, bool kGrouped>
__device__ void MultiplySteps(const Walk<kGrouped>& walk, const SplitSums& split, RingReader<Format, N> reader,
                              int thread) {
  __shared__ GroupResults<N> results[2];
  const int group = thread / kGroupThreads;
  const Multiplier<T, N, kGrouped> multiplier{walk, results[group], group, thread % kGroupThreads};
  const auto shared = [&](const StreamSegment& segment) { return !kGrouped && segment.steps < walk.cut.steps; };
  StreamSegment segment;
  for (Walk<kGrouped> steps = walk; steps.Next(segment);) {
    float sum[N / 2];
#pragma unroll
    for (int i = 0; i < N / 2; ++i) sum[i] = 0.0f;
    if constexpr (Format::kScaled)
      MultiplyExpanded<Format, T, N>(sum, reader, segment.steps, thread);
    else
      MultiplyPlain<Format, T, N>(sum, reader, segment.steps, thread);
    if (shared(segment))
      SharedTile<N>(walk.cut, split, segment.tile, thread).Leave(sum, split.fault, thread);
    else
      multiplier.Finish(segment, sum);
  }
  if constexpr (!kGrouped) {
    for (Walk<kGrouped> tiles = walk; tiles.Next(segment);)
      if (shared(segment)) SharedTile<N>(walk.cut, split, segment.tile, thread).Finish(multiplier, segment, thread);
  }
}
#endif

template <class Format, class T, int N, bool kGrouped>
__global__ void __launch_bounds__(kThreads, 1)
    StreamKernel(Product p, StreamCut cut, SplitSums split, ExpertTiles tiles) {
#ifdef ASSAY_WARPGROUP
  using S = Stage<Format, N>;
  extern __shared__ unsigned char shared[];
  __shared__ std::uint64_t barriers[2 * kMostStages];
  LetSuccessorsStart();
  const std::uint32_t unaligned = SharedAddress(shared), ring = (unaligned + 1023) / 1024 * 1024;
  const std::uint32_t full = SharedAddress(barriers), empty = full + 8 * kMostStages;
  if (threadIdx.x == 0) {
    for (int s = 0; s < S::kCount; ++s) {
      InitBarrier(full + 8 * s, kGroupThreads);
      InitBarrier(empty + 8 * s, 2 * kGroupThreads / 32);
    }
  }
  __syncthreads();
  const Walk<kGrouped> walk(p, cut, tiles);
  if (threadIdx.x < kGroupThreads) {
    GiveRegisters<kCopyRegisters>();
    const int thread = static_cast<int>(threadIdx.x) % 64;
    if (threadIdx.x < 64) {
      if (kGrouped) WaitForPredecessors();  // they list the assignments
      CopyWeights<Format, N>(walk, ring, full, empty, thread);
      if (!kGrouped) WaitForPredecessors();
    } else {
      WaitForPredecessors();
      CopyActivations<Format, T, N>(walk, ring, full, empty, thread);
    }
  } else {
    TakeRegisters<kMultiplyRegisters>();
    WaitForPredecessors();
    MultiplySteps<Format, T, N>(walk, split, RingReader<Format, N>{shared + (ring - unaligned), ring, full, empty},
                                static_cast<int>(threadIdx.x) - kGroupThreads);
  }
#else
  __trap();  // code for another architecture: StreamTakes does not let it come to this
#endif
}

// Calls f(std::integral_constant<int, N>) with the smallest N that holds `rows`.
template <class F>
void WithStreamTile(int rows, F&& f) {
  if (rows <= 8)
    f(std::integral_constant<int, 8>{});
  else if (rows <= 16)
    f(std::integral_constant<int, 16>{});
  else if (rows <= 32)
    f(std::integral_constant<int, 32>{});
  else if (rows <= 64)
    f(std::integral_constant<int, 64>{});
  else
    f(std::integral_constant<int, 128>{});
}

constexpr int kMostRows = 128;  // a launch

template <class S>
StreamCut CutOf(const Product& p) {
  return {static_cast<int>((p.w.row_bytes + S::kRowBytes - 1) / S::kRowBytes), RowTiles(p, kTileRows / 16)};
}

}  // namespace

bool StreamTakes(const KernelContext& ctx, const Product& p) {
#ifdef ASSAY_STREAM
  return ctx.compute_capability == 90 && ctx.precision.operands != DType::kF32 && AlignedRows(p);
#else
  static_cast<void>(ctx), static_cast<void>(p);
  return false;
#endif
}

void LaunchStream(const KernelContext& ctx, const Product& all) {
  With16Bit(ctx.precision, [&](auto t) {
    WithWeightFormat<decltype(t)>(all.w, [&](auto format) {
      using T = decltype(t);
      using Format = decltype(format);
      for (int row = 0; row < all.rows; row += kMostRows) {
        const Product p = RowsOf<T>(all, row, std::min(all.rows - row, kMostRows));
        WithStreamTile(p.rows, [&](auto n) {
          constexpr int N = decltype(n)::value;
          using S = Stage<Format, N>;
          const StreamCut cut = CutOf<S>(p);
          SplitSums split;
          split.partial =
              static_cast<float4*>(ctx.Workspace(std::size_t{2} * ctx.sm_count * kTileRows * N * sizeof(float)));
          split.semaphores = ctx.semaphores;
          split.fault = ctx.fault;
          Require<Error>(cut.tiles <= kSemaphores, "{} tiles of a streamed product: too many", cut.tiles);
          if (ctx.semaphores_used != nullptr) *ctx.semaphores_used = std::max(*ctx.semaphores_used, cut.tiles);
          // A block that leaves its sums to another writes and reads as many bytes as some steps do.
          constexpr int kLeastSteps = 1 + N / 32;
          const auto blocks = static_cast<unsigned>(
              std::min<std::int64_t>(ctx.sm_count, std::max<std::int64_t>(cut.tiles, cut.total() / kLeastSteps)));
          Launch(StreamKernel<Format, T, N, false>, dim3(blocks), dim3(kThreads), S::kCount * S::kBytes + 1024, ctx, p,
                 cut, split, ExpertTiles{});
        });
      }
    });
  });
}

void LaunchStreamGrouped(const KernelContext& ctx, const Product& p, const ExpertTiles& tiles) {
  With16Bit(ctx.precision, [&](auto t) {
    using T = decltype(t);
    WithWeightFormat<T>(p.w, [&](auto format) {
      using Format = decltype(format);
      WithStreamTile(tiles.tile, [&](auto n) {
        constexpr int N = std::max(decltype(n)::value, kLeastStreamedTile);
        using S = Stage<Format, N>;
        const StreamCut cut = CutOf<S>(p);
        Launch(StreamKernel<Format, T, N, true>, dim3(static_cast<unsigned>(ctx.sm_count)), dim3(kThreads),
               S::kCount * S::kBytes + 1024, ctx, p, cut, SplitSums{}, tiles);
      });
    });
  });
}

}  // namespace assay
