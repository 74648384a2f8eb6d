// What becomes of the sums of a streamed product (gemm_stream.cu): the epilogue of a tile that a block has whole, and
// of one that several blocks share.
#pragma once

#include "engine/ops/kernels/epilogue.cuh"
#include "engine/ops/kernels/fault.cuh"
#include "engine/ops/kernels/stream_ring.cuh"

namespace assay {

#ifdef ASSAY_WARPGROUP

// All who multiply, or a warpgroup of them.
__device__ __forceinline__ void SyncMultipliers() { asm volatile("bar.sync 1, 256;" ::: "memory"); }
__device__ __forceinline__ void SyncGroup(int group) { asm volatile("bar.sync %0, 128;" ::"r"(2 + group) : "memory"); }

// What changes no sum it is added to, the sign of a zero included.
__device__ __forceinline__ float4 Nothing() { return make_float4(-0.0f, -0.0f, -0.0f, -0.0f); }

// Sums of the 64 weight rows of a warpgroup by some activation rows, or what a gated product makes of them, through
// which they come from lanes to results.
template <int N>
struct GroupResults {
  static constexpr int kRows = N < 32 ? N : 32;  // activation rows
  static constexpr int kPitch = 68;              // floats: lanes of a warp fall into different banks
  static constexpr int kGatedPitch = 80;         // bytes, of 32 16-bit elements
  alignas(16) float sum[kRows][kPitch];

  // What a lane has of activation rows 8 j to 8 j + 7.
  template <class T>
  __device__ __forceinline__ void PutGated(int j, float4 v, Activation activation, int thread) {
    const std::uint32_t pair = PackPair(Activate<T>(v.x, activation) * v.z, Activate<T>(v.y, activation) * v.w, T{});
    StoreTransposed(SharedAddress(sum) + (8 * j + thread % 8) * kGatedPitch + thread / 32 * 16, pair);
  }
  __device__ __forceinline__ void Put(int j, float4 v, int thread) {
    const int t = thread % 4, row = thread / 32 * 16 + thread % 32 / 4;
    sum[8 * j + 2 * t][row] = v.x, sum[8 * j + 2 * t + 1][row] = v.y;
    sum[8 * j + 2 * t][row + 8] = v.z, sum[8 * j + 2 * t + 1][row + 8] = v.w;
  }
};

// They stand beside the ring, which may begin up to 1024 bytes late, and its barriers. A multiprocessor has 228 KiB, of
// which each block costs one more.
template <int N>
inline constexpr bool kFits = BlockShare<N>::kResident*(BlockShare<N>::kRingBytes + 1024 + 2 * sizeof(GroupResults<N>) +
                                                        512 + 1024) <= 228 * 1024;
static_assert(kFits<8> && kFits<16> && kFits<32> && kFits<64> && kFits<128> && kFits<256>);

// A warpgroup that multiplies.
template <class T, int N, Schedule kSchedule>
struct Multiplier {
  const Walk<kSchedule, N>& walk;
  GroupResults<N>& results;
  int group, thread;  // the thread of the group

  // What the lane has of activation rows 8 j to 8 j + 7 of those that Write is to write.
  __device__ __forceinline__ void Put(int j, float4 v) const {
    if (walk.p.epilogue == Epilogue::kGated)
      results.template PutGated<T>(j, v, walk.p.activation, thread);
    else
      results.Put(j, v, thread);
  }

  // The row of the result that belongs to activation row `from` + lane of the segment.
  __device__ __forceinline__ int RowOfLane(const StreamSegment& segment, int from) const {
    return walk.Row(segment, min(from + thread % 32, segment.count - 1));
  }

  // Writes `count` activation rows of the segment, of which RowOfLane says where they go.
  __device__ __forceinline__ void Write(const StreamSegment& segment, int row_of_lane, int count) const {
    SyncGroup(group);
    const Product& p = walk.p;
    if (p.epilogue == Epilogue::kGated)
      WriteGated(segment, row_of_lane, count);
    else if (p.epilogue == Epilogue::kStore && p.w.rows % 4 == 0 && reinterpret_cast<std::uintptr_t>(p.out) % 16 == 0)
      WriteQuads(segment, row_of_lane, count);
    else
      WriteSums(segment, row_of_lane, count);
    SyncGroup(group);
  }

  __device__ __forceinline__ void WriteGated(const StreamSegment& segment, int row_of_lane, int count) const {
    const Product& p = walk.p;
    const int i = thread / 4, chunk = thread % 4;
    const std::int64_t o = (std::int64_t{segment.tile} * 2 + group) * 32 + 8 * chunk, end = p.w.rows / 2;
    const std::int64_t to = __shfl_sync(0xffffffffu, row_of_lane, i);
    if (i >= count || o >= end) return;
    const auto* row = reinterpret_cast<const unsigned char*>(results.sum) + i * GroupResults<N>::kGatedPitch;
    *reinterpret_cast<uint4*>(static_cast<T*>(p.operand) + to * end + o) =
        *reinterpret_cast<const uint4*>(row + 16 * chunk);
  }

  __device__ __forceinline__ void WriteQuads(const StreamSegment& segment, int row_of_lane, int count) const {
    const Product& p = walk.p;
    const int q = 4 * (thread % 16);
    const std::int64_t o = (std::int64_t{segment.tile} * 2 + group) * 64 + q, end = p.w.rows;
#pragma unroll
    for (int i = thread / 16; i < GroupResults<N>::kRows; i += kGroupThreads / 16) {
      const std::int64_t to = __shfl_sync(0xffffffffu, row_of_lane, i);
      if (i < count && o < end)
        *reinterpret_cast<float4*>(p.out + to * end + o) = *reinterpret_cast<const float4*>(&results.sum[i][q]);
    }
  }

  // A warp writes runs of a result's row: rows may be a megabyte apart, and scattered writes cost more than the
  // product. Several results at a time hide what an activation takes.
  __device__ __forceinline__ void WriteSums(const StreamSegment& segment, int row_of_lane, int count) const {
    const Product& p = walk.p;
    const int r = thread % 64;
    const std::int64_t end = p.w.rows, here = (std::int64_t{segment.tile} * 2 + group) * 64 + r, o = min(here, end - 1);
    constexpr int kTogether = 4, step = kGroupThreads / 64;
#pragma unroll 1
    for (int first = thread / 64; first < count; first += kTogether * step) {
      float v[kTogether];
      std::int64_t to[kTogether];
#pragma unroll
      for (int u = 0; u < kTogether; ++u) {
        const int i = min(first + u * step, count - 1);
        to[u] = __shfl_sync(0xffffffffu, row_of_lane, i);
        v[u] = results.sum[i][r];
        if (p.epilogue != Epilogue::kStore) v[u] = Activate<T>(v[u], p.activation) * p.ple[to[u] * p.ple_stride + o];
      }
#pragma unroll
      for (int u = 0; u < kTogether; ++u) {
        if (first + u * step >= count || here >= end) break;
        if (p.epilogue == Epilogue::kStore)
          p.out[to[u] * end + o] = v[u];
        else
          static_cast<T*>(p.operand)[to[u] * end + o] = RoundTo<T>(v[u]);
      }
    }
  }

  // The results of a tile whose sums are whole.
  __device__ __forceinline__ void Finish(const StreamSegment& segment, const float (&sum)[N / 2]) const {
    constexpr int kRows = GroupResults<N>::kRows;
    int row_of_lane[N / kRows];  // all at once: they may have to be read
#pragma unroll
    for (int i = 0; i < N / kRows; ++i) row_of_lane[i] = RowOfLane(segment, i * kRows);
#pragma unroll
    for (int from = 0; from < N; from += kRows) {
      if (from >= segment.count) break;
#pragma unroll
      for (int j = 0; j < kRows / 8; ++j) {
        const float* v = sum + from / 2 + 4 * j;
        Put(j, make_float4(v[0], v[1], v[2], v[3]));
      }
      Write(segment, row_of_lane[from / kRows], min(kRows, segment.count - from));
    }
  }
};

// A tile that several blocks share. Each leaves its sums in workspace. Of few blocks, or for few activation rows, the
// last to leave them adds all in the order of k and finishes the tile. Else each waits behind its last step until all
// have left theirs, adds the sums for its share of the activation rows and finishes these. Where some of the blocks
// cannot begin while it waits (other programs may hold multiprocessors), it gives up after a while; the last to leave
// sums sees that and finishes all shares, so that no block needs another to go on.
template <int N>
struct SharedTile {
  static constexpr int kColumns = N / 8;  // items of a thread
  static constexpr int kPitch = 2 * kGroupThreads;
  bool at_once;             // StreamCut
  int self, parts;          // which of so many blocks
  float4 *sums, *of_first;  // of part i at sums + 2 * i * kColumns * kPitch, but of the first at `of_first`
  // Counts blocks that have left their sums, that are done with the counter, and that gave up; zero between kernels.
  std::uint32_t* counter;
  static constexpr int kBits = 10;  // of a count
  static constexpr std::uint32_t kLeft = 1, kDone = kLeft << kBits, kGaveUp = kDone << kBits, kMask = kDone - 1;
  static constexpr long long kPatience = 1 << 18;  // cycles
  enum class Shares { kNone, kOwn, kAll };

  __device__ SharedTile(const StreamCut& cut, const SplitSums& split, int tile, int thread) : at_once(cut.at_once) {
    const std::int64_t begin = std::int64_t{tile} * cut.steps;
    const int first = cut.owner(begin);
    self = static_cast<int>(blockIdx.x) - first;
    parts = cut.owner(begin + cut.steps - 1) - first + 1;
    // A block has room for the tile it begins in and for the tile it ends in; only the first of a tile ends there.
    sums = split.partial + std::int64_t{2} * first * kColumns * kPitch + thread;
    of_first = sums + (cut.begin(first) < begin ? kColumns * kPitch : 0);
    counter = split.semaphores + tile;
  }
  // Reading all sums is then faster than waiting for those of others, or others may not have begun.
  __device__ __forceinline__ bool last_finishes() const { return N <= 8 || parts <= 3 || !at_once; }
  __device__ __forceinline__ float4* part(int i) const {
    return i == 0 ? of_first : sums + std::int64_t{2} * i * kColumns * kPitch;
  }

  // In thread 0: which shares the block will have to finish.
  __device__ __forceinline__ Shares Leave(const float (&sum)[N / 2], std::uint64_t* fault, int thread) const {
    float4* own = part(self);
#pragma unroll
    for (int j = 0; j < kColumns; ++j)
      __stcg(own + j * kPitch, make_float4(sum[4 * j], sum[4 * j + 1], sum[4 * j + 2], sum[4 * j + 3]));
    SyncMultipliers();
    if (thread != 0) return Shares::kOwn;
    const std::uint32_t seen = Count(counter, kLeft), before = seen & kMask,
                        others = static_cast<std::uint32_t>(parts - 1);
    if (before > others) Report(fault, KernelFault::kArrivals, before, others);
    if (last_finishes()) {
      if (before == others) *counter = 0;
      return before == others ? Shares::kAll : Shares::kNone;
    }
    return before == others && seen >> (2 * kBits) > 0 ? Shares::kAll : Shares::kOwn;
  }

  // Thread 0: waits until all sums are there; false when that takes too long. Who is done last sets the counter back.
  __device__ __forceinline__ bool Wait() const {
    const auto complete = [&](std::uint32_t seen) { return (seen & kMask) >= static_cast<std::uint32_t>(parts); };
    const long long begin = clock64();
    std::uint32_t seen = 0;
    do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
    while (!complete(seen) && clock64() - begin < kPatience);
    // Sums that came in the meantime count: then the last has not seen this block give up.
    seen = Count(counter, complete(seen) ? kDone : kDone + kGaveUp);
    if ((seen >> kBits & kMask) == static_cast<std::uint32_t>(parts - 1)) *counter = 0;
    return complete(seen);
  }

  // `shares`: in thread 0, what Leave returned; `slot`: of the tiles of a block, which differ in it.
  template <class T>
  __device__ __forceinline__ void Finish(const Multiplier<T, N, Schedule::kStreamK>& multiplier,
                                         const StreamSegment& segment, Shares shares, int slot, int thread) const {
    __shared__ Shares due[2];
    if (thread == 0) due[slot] = last_finishes() || Wait() ? shares : Shares::kNone;
    SyncMultipliers();
    if (due[slot] == Shares::kNone) return;
    const bool all = due[slot] == Shares::kAll;
    FinishColumns(multiplier, segment, all ? 0 : self * kColumns / parts,
                  all ? kColumns : (self + 1) * kColumns / parts);
  }

  template <class T>
  __device__ void FinishColumns(const Multiplier<T, N, Schedule::kStreamK>& multiplier, const StreamSegment& segment,
                                int begin, int end) const {
    constexpr int kTogether = 4, kAtOnce = GroupResults<N>::kRows / 8;  // parts and items whose loads overlap
#pragma unroll 1
    for (int j = begin; j < end && 8 * j < segment.count; j += kAtOnce) {
      float4 total[kAtOnce];
#pragma unroll
      for (int c = 0; c < kAtOnce; ++c) total[c] = Nothing();
#pragma unroll 1
      for (int i = 0; i < parts; i += kTogether) {
        float4 v[kTogether][kAtOnce];
#pragma unroll
        for (int u = 0; u < kTogether; ++u)
#pragma unroll
          for (int c = 0; c < kAtOnce; ++c)
            v[u][c] = i + u < parts && j + c < end ? __ldcg(part(i + u) + (j + c) * kPitch) : Nothing();
#pragma unroll
        for (int u = 0; u < kTogether; ++u)
#pragma unroll
          for (int c = 0; c < kAtOnce; ++c) {
            total[c].x += v[u][c].x, total[c].y += v[u][c].y;
            total[c].z += v[u][c].z, total[c].w += v[u][c].w;
          }
      }
#pragma unroll
      for (int c = 0; c < kAtOnce; ++c) multiplier.Put(c, total[c]);
      multiplier.Write(segment, multiplier.RowOfLane(segment, 8 * j),
                       min(8 * min(end - j, kAtOnce), segment.count - 8 * j));
    }
  }
};

#endif

}  // namespace assay
