// The tile loop of attention on tensor cores, shared by decode and prefill: online softmax over keys lo..hi-1 of one
// cache for kRows = 16 * kWarpRows queries (any mix of rows and query heads that read the same kv head).
//
// Warps form a grid of kWarpRows x kSplit. A warp owns 16 queries and 1 / kSplit of the head's dimensions of the
// output; for the scores it owns 1 / kSplit of a tile's keys instead, and with kSplit > 1 scores are exchanged through
// shared memory. So the accumulators of 512-wide heads fit in registers, and a single row of 16 queries still keeps
// four warps busy. kExactP keeps the softmax weights as a sum of two operands (error 2^-17 instead of 2^-9); decode can
// afford the products.
//
// Keys and values of type e4m3 are copied to shared memory as they are and widened to fp16, which holds each of their
// numbers, on the way into the fragments: fp16 because that takes one instruction for two of them. Queries become fp16
// too: those of bf16 times a power of two for each, so that the largest of a query is just below fp16's largest number.
//
// Fragments are those of mma.m16n8k16: lane = 4 * r + c holds rows r and r + 8, columns 2c and 2c + 1. Four bytes of
// e4m3 fill two of them, so the order of dimensions inside a run of 16 is another one then: see WidenQueries and
// ForEachPair.
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
__device__ __forceinline__ void LoadMatricesTransposed(std::uint32_t (&r)[2], std::uint32_t from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(from)
               : "memory");
}

// Two e4m3 to two fp16, of the low and of the high half of a word.
__device__ __forceinline__ void WidenPairs(std::uint32_t (&pair)[2], std::uint32_t word) {
#if __CUDA_ARCH__ >= 890
  asm("{.reg .b16 low, high; mov.b32 {low, high}, %2; cvt.rn.f16x2.e4m3x2 %0, low; cvt.rn.f16x2.e4m3x2 %1, high;}"
      : "=r"(pair[0]), "=r"(pair[1])
      : "r"(word));
#else
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const __half2_raw v = __nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(word >> (16 * i)), __NV_E4M3);
    pair[i] = static_cast<std::uint32_t>(v.x) | (static_cast<std::uint32_t>(v.y) << 16);
  }
#endif
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

// T: operands, Cached: keys and values, T or e4m3.
template <class T, class Cached, int kHeadDim, int kWarpRows, int kSplit, int kKeys, bool kExactP>
struct Flash {
  static constexpr bool kWidens = !std::is_same_v<T, Cached>;
  using Factor = std::conditional_t<kWidens, __half, T>;  // what tensor cores multiply
  static constexpr int kThreads = kWarpRows * kSplit * 32;
  static constexpr int kRows = kWarpRows * 16;
  static constexpr int kWidth = kKeys;
  static constexpr int kQueryRowBytes = kHeadDim * 2;
  static constexpr int kRowBytes = kHeadDim * static_cast<int>(sizeof(Cached));  // of a key, or a value
  static constexpr int kChunks = kRowBytes / 16;                                 // 16-byte pieces of it
  static constexpr int kWarpKeys = kKeys / kSplit;                               // keys a warp scores
  static constexpr int kWarpDims = kHeadDim / kSplit;                            // output dimensions a warp owns
  static constexpr int kScorePitch = kKeys + 8;  // two wavefronts per float2 store, the least possible
  static constexpr std::size_t kQueryBytes = std::size_t{kRows} * kQueryRowBytes;
  static constexpr std::size_t kTileBytes = std::size_t{kKeys} * kRowBytes;
  static constexpr std::size_t kScoreBytes = kSplit > 1 ? std::size_t{kRows} * kScorePitch * sizeof(float) : 0;
  static constexpr std::size_t kUnitBytes = kWidens ? kRows * sizeof(float) : 0;
  static constexpr std::size_t kShared = kQueryBytes + 2 * kTileBytes + kScoreBytes + kUnitBytes;
  static_assert(kWarpDims % 16 == 0 && (kWarpKeys == 8 || kWarpKeys % 16 == 0) && kKeys % 16 == 0);
  static_assert(kThreads % kChunks == 0 && kKeys * kChunks % kThreads == 0);

  float out[kWarpDims / 8][4];  // [n tile of 8 dimensions]; unnormalised
  float largest[2];             // of raw scores, rows r and r + 8
  float sum[2];                 // of weights; of this lane's columns until Finish
  float unit[2];                // kWidens: what raw scores are multiples of

  // Where 16-byte piece `chunk` of row `row` lies. The exclusive or keeps eight rows of one chunk in different banks.
  template <int kBytes>
  static __device__ __forceinline__ std::uint32_t PlaceIn(int row, int chunk) {
    const int other = kBytes >= 128 ? row & 7 : (row >> 1) & 3;
    return static_cast<std::uint32_t>(row * kBytes + ((chunk ^ other) << 4));
  }
  static __device__ __forceinline__ std::uint32_t Place(int row, int chunk) { return PlaceIn<kRowBytes>(row, chunk); }
  static __device__ __forceinline__ std::uint32_t PlaceQuery(int row, int chunk) {
    return PlaceIn<kQueryRowBytes>(row, chunk);
  }

  // Starts copying the block's queries: row m from from(m), zeros from row `rows` on. They arrive with the first tile.
  template <class From>
  static __device__ __forceinline__ void CopyQueries(unsigned char* shared, const From& from, int rows) {
    constexpr int kPieces = kQueryRowBytes / 16;
    const auto to = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kPieces; i += kThreads) {
      const int m = i / kPieces, piece = i % kPieces;
      CopyAsync16(to + PlaceQuery(m, piece), from(m) + piece * 8, m < rows);
    }
  }

  // The same as fp16, with the unit of each row behind the scores; done when it returns. In a run of 16 dimensions lane
  // c's columns 2c, 2c + 1 are dimensions 4c, 4c + 1, its columns 2c + 8, 2c + 9 dimensions 4c + 2, 4c + 3.
  template <class From>
  static __device__ __forceinline__ void WidenQueries(unsigned char* shared, const From& from, int rows) {
    constexpr int kWords = kHeadDim / 64;  // pairs of a row that a lane has
    constexpr int kExponent = 14;          // of the largest of a row
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    auto* const units = reinterpret_cast<float*>(shared + kQueryBytes + 2 * kTileBytes + kScoreBytes);
#pragma unroll(kWords > 4 ? 2 : 4)
    for (int m = warp; m < kRows; m += kThreads / 32) {
      std::uint32_t words[kWords] = {};
      float to_score = 1.0f;
      if (m < rows) {
        const auto* const row = reinterpret_cast<const std::uint32_t*>(from(m));
        float x[kWords][2], most = 0.0f, to_units = 1.0f;
#pragma unroll
        for (int i = 0; i < kWords; ++i) UnpackPair(x[i], row[lane + 32 * i], T{});
        if constexpr (!std::is_same_v<T, __half>) {
#pragma unroll
          for (int i = 0; i < kWords; ++i) most = fmaxf(most, fmaxf(fabsf(x[i][0]), fabsf(x[i][1])));
#pragma unroll
          for (int step = 16; step > 0; step /= 2) most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, step));
          // Within what float32 has powers of two for, both ways.
          const int exponent = min(max(static_cast<int>(__float_as_uint(most) >> 23) - 127, -100), 100) - kExponent;
          to_units = __uint_as_float(static_cast<std::uint32_t>(127 - exponent) << 23);
          to_score = __uint_as_float(static_cast<std::uint32_t>(127 + exponent) << 23);
        }
#pragma unroll
        for (int i = 0; i < kWords; ++i) words[i] = PackPair(x[i][0] * to_units, x[i][1] * to_units, __half{});
      }
#pragma unroll
      for (int i = 0; i < kWords; ++i) {
        const int pair = lane + 32 * i, place = pair / 8 * 8 + pair % 2 * 4 + pair % 8 / 2;
        *reinterpret_cast<std::uint32_t*>(shared + PlaceQuery(m, place / 4) + place % 4 * 4) = words[i];
      }
      if (lane == 0) units[m] = to_score;
    }
  }

  // Loads the tile of keys (or values) start..start + kKeys - 1, with zeros outside lo..hi-1. `head` is slot 0 of the
  // session's head.
  static __device__ __forceinline__ void LoadTile(std::uint32_t to, const Cached* head, int start, int lo, int hi,
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
      CopyAsync16(to + Place(row, chunk),
                  head + (valid ? std::int64_t{slot} * kHeadDim : 0) + chunk * (16 / sizeof(Cached)), valid);
    }
  }

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
