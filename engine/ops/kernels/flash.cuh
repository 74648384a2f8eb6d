// The tile loop of attention on tensor cores, shared by decode and prefill: online softmax over keys lo..hi-1 of one
// cache for kRows = 16 * kWarpRows queries (any mix of rows and query heads that read the same kv head).
//
// Warps form a grid of kWarpRows x kSplit. A warp owns 16 queries and 1 / kSplit of the head's dimensions of the
// output; for the scores it owns 1 / kSplit of a tile's keys instead, and with kSplit > 1 scores are exchanged through
// shared memory. So the accumulators of 512-wide heads fit in registers, and a single row of 16 queries still keeps
// four or eight warps busy. kExactP keeps the softmax weights as a sum of two operands (error 2^-17 instead of 2^-9);
// decode can afford the products.
//
// Keys and values of type e4m3 are widened to fp16, which holds each of their numbers, on the way from shared memory
// (flash_tiles.cuh) into the fragments: fp16 because that takes one instruction for two of them.
//
// Fragments are those of mma.m16n8k16: lane = 4 * r + c holds rows r and r + 8, columns 2c and 2c + 1. Four bytes of
// e4m3 fill two of them, so the order of dimensions inside a run of 16 is another one then: see WidenQueries and
// ForEachPair.
#pragma once

#include "engine/ops/kernels/flash_tiles.cuh"
#include "engine/ops/kernels/reduce.cuh"

namespace assay {

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

// T: operands, Cached: keys and values, T or e4m3.
template <class T, class Cached, int kHeadDim, int kWarpRows, int kSplit, int kKeys, bool kExactP>
struct Flash : FlashTiles<T, Cached, kHeadDim, kWarpRows, kSplit, kKeys> {
  using Tiles = FlashTiles<T, Cached, kHeadDim, kWarpRows, kSplit, kKeys>;
  using Tiles::kQueryBytes, Tiles::kScoreBytes, Tiles::kScorePitch, Tiles::kTileBytes, Tiles::kWarpDims,
      Tiles::kWarpKeys, Tiles::kWidens, Tiles::LoadTile, Tiles::Place, Tiles::PlaceQuery;
  using typename Tiles::Factor;

  float out[kWarpDims / 8][4];  // [n tile of 8 dimensions]; unnormalised
  float largest[2];             // of raw scores, rows r and r + 8
  float sum[2];                 // of weights; of this lane's columns until Finish
  float unit[2];                // kWidens: what raw scores are multiples of

  __device__ __forceinline__ void Reset() {
#pragma unroll
    for (auto& tile : out)
#pragma unroll
      for (float& v : tile) v = 0.0f;
    largest[0] = largest[1] = -INFINITY;
    sum[0] = sum[1] = 0.0f;
    unit[0] = unit[1] = 1.0f;
  }

  // Scores the queries of this warp against kWarpKeys keys.
  static __device__ __forceinline__ void Scores(float (&s)[kWarpKeys / 8][4], std::uint32_t queries, std::uint32_t keys,
                                                int warp_row, int warp_split, int lane) {
#pragma unroll
    for (auto& tile : s)
#pragma unroll
      for (float& v : tile) v = 0.0f;
    const int query = warp_row * 16 + (lane & 15), query_chunk = lane >> 4;
    if constexpr (kWidens && kWarpKeys == 8) {
      const int key = warp_split * 8 + (lane & 7);
#pragma unroll 4
      for (int k = 0; k < kHeadDim / 64; ++k) {
        std::uint32_t b[4];
        LoadMatrices(b, keys + Place(key, 4 * k + (lane >> 3)));
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          std::uint32_t a[4];
          LoadMatrices(a, queries + PlaceQuery(query, 8 * k + 2 * j + query_chunk));
          AddWidened(s[0], a, b[j]);
        }
      }
    } else if constexpr (kWidens) {
      const int key = warp_split * kWarpKeys + (lane & 7) + ((lane >> 4) << 3);
#pragma unroll 4
      for (int k = 0; k < kHeadDim / 32; ++k) {
        std::uint32_t a[2][4];
        LoadMatrices(a[0], queries + PlaceQuery(query, 4 * k + query_chunk));
        LoadMatrices(a[1], queries + PlaceQuery(query, 4 * k + 2 + query_chunk));
#pragma unroll
        for (int n = 0; n < kWarpKeys / 16; ++n) {
          std::uint32_t b[4];
          LoadMatrices(b, keys + Place(key + 16 * n, 2 * k + ((lane >> 3) & 1)));
#pragma unroll
          for (int j = 0; j < 4; ++j) AddWidened(s[2 * n + j / 2], a[j % 2], b[j]);
        }
      }
    } else if constexpr (kWarpKeys == 8) {
      const int key = warp_split * 8 + (lane & 7);
#pragma unroll 4
      for (int k = 0; k < kHeadDim / 32; ++k) {
        std::uint32_t a[4], b[4];
        LoadMatrices(b, keys + Place(key, 4 * k + (lane >> 3)));
        LoadMatrices(a, queries + PlaceQuery(query, 4 * k + query_chunk));
        Mma<T>(s[0], a[0], a[1], a[2], a[3], b[0], b[1]);
        LoadMatrices(a, queries + PlaceQuery(query, 4 * k + 2 + query_chunk));
        Mma<T>(s[0], a[0], a[1], a[2], a[3], b[2], b[3]);
      }
    } else {
      const int key = warp_split * kWarpKeys + (lane & 7) + ((lane >> 4) << 3);
#pragma unroll 4
      for (int k = 0; k < kHeadDim / 16; ++k) {
        std::uint32_t a[4];
        LoadMatrices(a, queries + PlaceQuery(query, 2 * k + query_chunk));
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

  // c += a b, for the 16 dimensions of eight keys in `b`.
  static __device__ __forceinline__ void AddWidened(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b) {
    std::uint32_t pair[2];
    WidenPairs(pair, b);
    Mma<Factor>(c, a[0], a[1], a[2], a[3], pair[0], pair[1]);
  }

  // Masks the scores p of a tile that starts at `start`, turns them into weights and rescales what was gathered so far.
  // Rows r + 8 are left out, with weights 0, when `halves` is 1.
  __device__ __forceinline__ void Softmax(float (&p)[kKeys / 8][4], int start, const KeyRange (&range)[2],
                                          const float (&scales2)[2], int halves) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (half >= halves) {
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) p[n][2 * half] = p[n][2 * half + 1] = 0.0f;
        continue;
      }
      const int from = range[half].from, to = range[half].to;
      const float scale2 = scales2[half];
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

  // The weights of keys 16 step..16 step + 15 as operands, and what rounding left.
  static __device__ __forceinline__ void Weights(std::uint32_t (&a)[4], std::uint32_t (&rest)[4],
                                                 const float (&p)[kKeys / 8][4], int step) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float x = p[2 * step + i / 2][2 * (i % 2)], y = p[2 * step + i / 2][2 * (i % 2) + 1];
      a[i] = PackPair(x, y, Factor{});
      if constexpr (kExactP) {
        float rounded[2];
        UnpackPair(rounded, a[i], Factor{});
        rest[i] = PackPair(x - rounded[0], y - rounded[1], Factor{});
      }
    }
  }
  // Adds the products of 16 keys' weights with two runs of eight dimensions, whose fragments are b[0], b[1] and b[2],
  // b[3].
  static __device__ __forceinline__ void AddProducts(float (&c)[4], float (&d)[4], const std::uint32_t (&a)[4],
                                                     const std::uint32_t (&rest)[4], const std::uint32_t (&b)[4]) {
    Mma<Factor>(c, a[0], a[1], a[2], a[3], b[0], b[1]);
    Mma<Factor>(d, a[0], a[1], a[2], a[3], b[2], b[3]);
    if constexpr (kExactP) {
      Mma<Factor>(c, rest[0], rest[1], rest[2], rest[3], b[0], b[1]);
      Mma<Factor>(d, rest[0], rest[1], rest[2], rest[3], b[2], b[3]);
    }
  }

  __device__ __forceinline__ void AddValues(const float (&p)[kKeys / 8][4], std::uint32_t values, int warp_split,
                                            int lane) {
    if constexpr (kWidens) {
      // A transposed pair of bytes is of one key and two dimensions: even ones go to one tile, odd ones to the next.
      constexpr int kRun = kWarpDims % 32 == 0 ? 2 : 1;  // pieces that are loaded together
#pragma unroll
      for (int k = 0; k < kKeys / 16; ++k) {
        std::uint32_t a[4], rest[4];
        Weights(a, rest, p, k);
        const int key = 16 * k + (lane & 15), chunk = warp_split * (kWarpDims / 16) + (kRun == 2 ? lane >> 4 : 0);
#pragma unroll
        for (int n = 0; n < kWarpDims / 16; n += kRun) {
          std::uint32_t bytes[2 * kRun];
          LoadMatricesTransposed(bytes, values + Place(key, chunk + n));
#pragma unroll
          for (int c = 0; c < kRun; ++c) {
            std::uint32_t low[2], high[2];
            WidenPairs(low, __byte_perm(bytes[2 * c], 0, 0x3120));
            WidenPairs(high, __byte_perm(bytes[2 * c + 1], 0, 0x3120));
            const std::uint32_t b[4] = {low[0], high[0], low[1], high[1]};
            AddProducts(out[2 * (n + c)], out[2 * (n + c) + 1], a, rest, b);
          }
        }
      }
    } else {
#pragma unroll
      for (int k = 0; k < kKeys / 16; ++k) {
        std::uint32_t a[4], rest[4];
        Weights(a, rest, p, k);
        const int key = 16 * k + (lane & 15), chunk = warp_split * (kWarpDims / 8) + (lane >> 4);
#pragma unroll
        for (int n = 0; n < kWarpDims / 16; ++n) {
          std::uint32_t b[4];
          LoadMatricesTransposed(b, values + Place(key, chunk + 2 * n));
          AddProducts(out[2 * n], out[2 * n + 1], a, rest, b);
        }
      }
    }
  }

  // Calls f(dim, a, b) for each pair of dimensions dim, dim + 1 of the head of which this lane has the sums a and b, in
  // row r or, with half = 1, r + 8.
  template <class F>
  __device__ __forceinline__ void ForEachPair(int half, F&& f) const {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int first = warp % kSplit * kWarpDims;
    if constexpr (kWidens) {
#pragma unroll
      for (int n = 0; n < kWarpDims / 16; ++n)
#pragma unroll
        for (int j = 0; j < 2; ++j)
          f(first + 16 * n + 4 * (lane % 4) + 2 * j, out[2 * n][2 * half + j], out[2 * n + 1][2 * half + j]);
    } else {
#pragma unroll
      for (int n = 0; n < kWarpDims / 8; ++n) f(first + 8 * n + 2 * (lane % 4), out[n][2 * half], out[n][2 * half + 1]);
    }
  }
  // The largest score, in row r or r + 8.
  __device__ __forceinline__ float Largest(int half) const {
    if constexpr (kWidens) return largest[half] * unit[half];
    return largest[half];
  }

  // Adds keys max(lo, start)..hi-1 to the state. Queries lie (or are on their way, uncommitted) at `shared`, or
  // widen() puts them there while the first tiles are under way; tiles begin at `start`, so that a query meets the same
  // tiles whatever else is in the block. Ends with all reads of shared memory done.
  template <class Widen>
  __device__ __forceinline__ void Run(unsigned char* shared, const Cached* keys_head, const Cached* values_head,
                                      int start, int lo, int hi, int slots, const KeyRange (&range)[2], float scale2,
                                      int halves, const Widen& widen) {
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
    if constexpr (kWidens) widen();
    for (; start < hi; start += kKeys) {
      const bool more = start + kKeys < hi;
      CopyWait<1>();
      __syncthreads();
      if constexpr (kWidens) {
        const float* const units = scores + kScoreBytes / sizeof(float) + warp_row * 16 + lane / 4;
        unit[0] = units[0], unit[1] = units[8];
      }
      const float scales2[2] = {kWidens ? scale2 * unit[0] : scale2, kWidens ? scale2 * unit[1] : scale2};
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
      Softmax(p, start, range, scales2, halves);
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
