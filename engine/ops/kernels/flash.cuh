// The tile loop of attention on tensor cores, shared by decode and prefill: online softmax over keys lo..hi-1 of one
// cache for kRows = 16 * kWarpRows queries (any mix of rows and query heads that read the same kv head).
//
// Warps form a grid of kWarpRows x kSplit. A warp owns 16 queries and 1 / kSplit of the head's dimensions of the
// output; for the scores it owns 1 / kSplit of a tile's keys instead, and with kSplit > 1 scores are exchanged through
// shared memory. So the accumulators of 512-wide heads fit in registers, and a single row of 16 queries still keeps
// four warps busy. kExactP keeps the softmax weights as a sum of two operands (error 2^-17 instead of 2^-9); decode can
// afford the products.
//
// Fragments are those of mma.m16n8k16: lane = 4 * r + c holds rows r and r + 8, columns 2c and 2c + 1.
#pragma once

#include "engine/base/ring.h"
#include "engine/ops/kernels/fragments.cuh"
#include "engine/ops/kernels/reduce.cuh"

namespace assay {

// Copies 16 bytes to shared memory asynchronously; writes zeros when !valid.
__device__ __forceinline__ void CopyAsync16(std::uint32_t to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
}
__device__ __forceinline__ void CopyCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
__device__ __forceinline__ void CopyWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}
__device__ __forceinline__ void LoadMatrices(std::uint32_t (&r)[4], std::uint32_t from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from)
               : "memory");
}
__device__ __forceinline__ void LoadMatricesTransposed(std::uint32_t (&r)[4], std::uint32_t from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from)
               : "memory");
}

__device__ __forceinline__ std::uint32_t PackPair(float a, float b, __half) {
  const __half2 v = __floats2half2_rn(a, b);
  return reinterpret_cast<const std::uint32_t&>(v);
}
__device__ __forceinline__ std::uint32_t PackPair(float a, float b, __nv_bfloat16) {
  const __nv_bfloat162 v = __floats2bfloat162_rn(a, b);
  return reinterpret_cast<const std::uint32_t&>(v);
}

constexpr float kLog2E = 1.4426950408889634f;

// Gives 2^x to 2 ulp; results below 2^-126 become 0.
__device__ __forceinline__ float PowerOf2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// The keys one query may see: positions from..to, both included.
struct KeyRange {
  int from, to;
};

template <class T, int kHeadDim, int kWarpRows, int kSplit, int kKeys, bool kExactP>
struct Flash {
  static constexpr int kThreads = kWarpRows * kSplit * 32;
  static constexpr int kRows = kWarpRows * 16;
  static constexpr int kWidth = kKeys;
  static constexpr int kChunks = kHeadDim / 8;  // 16-byte pieces of a head
  static constexpr int kRowBytes = kHeadDim * 2;
  static constexpr int kWarpKeys = kKeys / kSplit;     // keys a warp scores
  static constexpr int kWarpDims = kHeadDim / kSplit;  // output dimensions a warp owns
  static constexpr int kScorePitch = kKeys + 8;        // two wavefronts per float2 store, the least possible
  static constexpr std::size_t kQueryBytes = std::size_t{kRows} * kRowBytes;
  static constexpr std::size_t kTileBytes = std::size_t{kKeys} * kRowBytes;
  static constexpr std::size_t kShared =
      kQueryBytes + 2 * kTileBytes + (kSplit > 1 ? std::size_t{kRows} * kScorePitch * sizeof(float) : 0);
  static_assert(kWarpDims % 16 == 0 && (kWarpKeys == 8 || kWarpKeys % 16 == 0) && kKeys % 16 == 0);
  static_assert(kThreads % kChunks == 0 && kKeys * kChunks % kThreads == 0);

  float out[kWarpDims / 8][4];  // [n tile of 8 dimensions]; unnormalised
  float largest[2];             // of raw scores, rows r and r + 8
  float sum[2];                 // of weights; of this lane's columns until Finish

  // Where 16-byte piece `chunk` of row `row` of a tile lies. The exclusive or keeps eight rows of one chunk in
  // different banks.
  static __device__ __forceinline__ std::uint32_t Place(int row, int chunk) {
    return static_cast<std::uint32_t>(row * kRowBytes + ((chunk ^ (row & 7)) << 4));
  }

  // Loads the tile of keys (or values) start..start + kKeys - 1, with zeros outside lo..hi-1. `head` is slot 0 of the
  // session's head.
  static __device__ __forceinline__ void LoadTile(std::uint32_t to, const T* head, int start, int lo, int hi,
                                                  int slots) {
    const int chunk = static_cast<int>(threadIdx.x) % kChunks, first = static_cast<int>(threadIdx.x) / kChunks;
    const int base = RingSlot(start, slots);
#pragma unroll
    for (int pass = 0; pass < kKeys * kChunks / kThreads; ++pass) {
      const int row = first + pass * (kThreads / kChunks), position = start + row;
      int slot = base + row;
      if (slot >= slots) slot -= slots;
      if (slot >= slots) slot = RingSlot(slot, slots);  // only in caches shorter than a tile
      const bool valid = position >= lo && position < hi;
      CopyAsync16(to + Place(row, chunk), head + (valid ? std::int64_t{slot} * kHeadDim : 0) + chunk * 8, valid);
    }
  }

  __device__ __forceinline__ void Reset() {
#pragma unroll
    for (auto& tile : out)
#pragma unroll
      for (float& v : tile) v = 0.0f;
    largest[0] = largest[1] = -INFINITY;
    sum[0] = sum[1] = 0.0f;
  }

  // Scores the queries of this warp against kWarpKeys keys.
  static __device__ __forceinline__ void Scores(float (&s)[kWarpKeys / 8][4], std::uint32_t queries, std::uint32_t keys,
                                                int warp_row, int warp_split, int lane) {
#pragma unroll
    for (auto& tile : s)
#pragma unroll
      for (float& v : tile) v = 0.0f;
    const int query = warp_row * 16 + (lane & 15), query_chunk = lane >> 4;
    if constexpr (kWarpKeys == 8) {
      const int key = warp_split * 8 + (lane & 7);
#pragma unroll 4
      for (int k = 0; k < kHeadDim / 32; ++k) {
        std::uint32_t a[4], b[4];
        LoadMatrices(b, keys + Place(key, 4 * k + (lane >> 3)));
        LoadMatrices(a, queries + Place(query, 4 * k + query_chunk));
        Mma<T>(s[0], a[0], a[1], a[2], a[3], b[0], b[1]);
        LoadMatrices(a, queries + Place(query, 4 * k + 2 + query_chunk));
        Mma<T>(s[0], a[0], a[1], a[2], a[3], b[2], b[3]);
      }
    } else {
      const int key = warp_split * kWarpKeys + (lane & 7) + ((lane >> 4) << 3);
#pragma unroll 4
      for (int k = 0; k < kHeadDim / 16; ++k) {
        std::uint32_t a[4];
        LoadMatrices(a, queries + Place(query, 2 * k + query_chunk));
#pragma unroll
        for (int n = 0; n < kWarpKeys / 16; ++n) {
          std::uint32_t b[4];
          LoadMatrices(b, keys + Place(key + 16 * n, 2 * k + ((lane >> 3) & 1)));
          Mma<T>(s[2 * n], a[0], a[1], a[2], a[3], b[0], b[1]);
          Mma<T>(s[2 * n + 1], a[0], a[1], a[2], a[3], b[2], b[3]);
        }
      }
    }
  }

  // Masks the scores p of a tile that starts at `start`, turns them into weights and rescales what was gathered so far.
  // Rows r + 8 are left out, with weights 0, when `halves` is 1.
  __device__ __forceinline__ void Softmax(float (&p)[kKeys / 8][4], int start, const KeyRange (&range)[2], float scale2,
                                          int halves) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (half >= halves) {
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) p[n][2 * half] = p[n][2 * half + 1] = 0.0f;
        continue;
      }
      const int from = range[half].from, to = range[half].to;
      if (start < from || start + kKeys - 1 > to) {
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
          for (int j = 0; j < 2; ++j) {
            const int position = start + 8 * n + 2 * (lane & 3) + j;
            if (position < from || position > to) p[n][2 * half + j] = -INFINITY;
          }
      }
      float top = largest[half];
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) top = fmaxf(top, fmaxf(p[n][2 * half], p[n][2 * half + 1]));
      top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
      top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
      // A query may have no key in this tile and none before it; its weights must come out as 0, not as NaN. The
      // products stand alone instead of in a multiply-add, because an unchanged maximum must rescale by exactly 1, or
      // tiles that are masked for a query would change its last bits.
      const float base = top == -INFINITY ? 0.0f : __fmul_rn(top, scale2);
      const float rescale = PowerOf2(__fmul_rn(largest[half], scale2) - base);
      float added = 0.0f;
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const float weight = PowerOf2(p[n][2 * half + j] * scale2 - base);
          p[n][2 * half + j] = weight;
          added += weight;
        }
      largest[half] = top;
      sum[half] = sum[half] * rescale + added;
#pragma unroll
      for (int n = 0; n < kWarpDims / 8; ++n) {
        out[n][2 * half] *= rescale;
        out[n][2 * half + 1] *= rescale;
      }
    }
  }

  __device__ __forceinline__ void AddValues(const float (&p)[kKeys / 8][4], std::uint32_t values, int warp_split,
                                            int lane) {
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
      std::uint32_t a[4], rest[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float x = p[2 * k + i / 2][2 * (i % 2)], y = p[2 * k + i / 2][2 * (i % 2) + 1];
        a[i] = PackPair(x, y, T{});
        if constexpr (kExactP) {
          float rounded[2];
          UnpackPair(rounded, a[i], T{});
          rest[i] = PackPair(x - rounded[0], y - rounded[1], T{});
        }
      }
      const int key = 16 * k + (lane & 15), chunk = warp_split * (kWarpDims / 8) + (lane >> 4);
#pragma unroll
      for (int n = 0; n < kWarpDims / 16; ++n) {
        std::uint32_t b[4];
        LoadMatricesTransposed(b, values + Place(key, chunk + 2 * n));
        Mma<T>(out[2 * n], a[0], a[1], a[2], a[3], b[0], b[1]);
        Mma<T>(out[2 * n + 1], a[0], a[1], a[2], a[3], b[2], b[3]);
        if constexpr (kExactP) {
          Mma<T>(out[2 * n], rest[0], rest[1], rest[2], rest[3], b[0], b[1]);
          Mma<T>(out[2 * n + 1], rest[0], rest[1], rest[2], rest[3], b[2], b[3]);
        }
      }
    }
  }

  // Adds keys max(lo, start)..hi-1 to the state. Queries lie (or are on their way, uncommitted) at `shared`; tiles
  // begin at `start`, so that a query meets the same tiles whatever else is in the block. Ends with all reads of shared
  // memory done.
  __device__ __forceinline__ void Run(unsigned char* shared, const T* keys_head, const T* values_head, int start,
                                      int lo, int hi, int slots, const KeyRange (&range)[2], float scale2, int halves) {
    const auto queries = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
    const std::uint32_t keys = queries + static_cast<std::uint32_t>(kQueryBytes),
                        values = keys + static_cast<std::uint32_t>(kTileBytes);
    float* scores = reinterpret_cast<float*>(shared + kQueryBytes + 2 * kTileBytes);
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int warp_row = warp / kSplit, warp_split = warp % kSplit;
    LoadTile(keys, keys_head, start, lo, hi, slots);
    CopyCommit();
    LoadTile(values, values_head, start, lo, hi, slots);
    CopyCommit();
    for (; start < hi; start += kKeys) {
      const bool more = start + kKeys < hi;
      CopyWait<1>();
      __syncthreads();
      float p[kKeys / 8][4];
      if constexpr (kSplit == 1) {
        Scores(p, queries, keys, warp_row, warp_split, lane);
        __syncthreads();
      } else {
        float s[kWarpKeys / 8][4];
        Scores(s, queries, keys, warp_row, warp_split, lane);
        float* mine = scores + (warp_row * 16 + lane / 4) * kScorePitch + 2 * (lane % 4);
#pragma unroll
        for (int n = 0; n < kWarpKeys / 8; ++n) {
          float* to = mine + warp_split * kWarpKeys + 8 * n;
          *reinterpret_cast<float2*>(to) = {s[n][0], s[n][1]};
          *reinterpret_cast<float2*>(to + 8 * kScorePitch) = {s[n][2], s[n][3]};
        }
        __syncthreads();
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
          const float2 low = *reinterpret_cast<const float2*>(mine + 8 * n);
          const float2 high = *reinterpret_cast<const float2*>(mine + 8 * n + 8 * kScorePitch);
          p[n][0] = low.x, p[n][1] = low.y, p[n][2] = high.x, p[n][3] = high.y;
        }
      }
      if (more) LoadTile(keys, keys_head, start + kKeys, lo, hi, slots);
      CopyCommit();
      Softmax(p, start, range, scale2, halves);
      CopyWait<1>();
      __syncthreads();
      AddValues(p, values, warp_split, lane);
      __syncthreads();
      if (more) LoadTile(values, values_head, start + kKeys, lo, hi, slots);
      CopyCommit();
    }
  }

  // Adds up `sum` over the lanes of a row.
  __device__ __forceinline__ void Finish() {
#pragma unroll
    for (float& v : sum) {
      v += __shfl_xor_sync(0xffffffffu, v, 1);
      v += __shfl_xor_sync(0xffffffffu, v, 2);
    }
  }
};

}  // namespace assay
