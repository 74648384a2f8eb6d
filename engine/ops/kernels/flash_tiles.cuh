// Where attention on tensor cores keeps queries, keys, values and scores in shared memory, and how they come there.
//
// Keys and values of type e4m3 are copied as they are. Queries become fp16 then: those of bf16 times a power of two for
// each, so that the largest of a query is just below fp16's largest number.
#pragma once

#include "engine/base/ring.h"
#include "engine/ops/kernels/fragments.cuh"

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

// T: operands, Cached: keys and values, T or e4m3.
template <class T, class Cached, int kHeadDim, int kWarpRows, int kSplit, int kKeys>
struct FlashTiles {
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
};

}  // namespace assay
