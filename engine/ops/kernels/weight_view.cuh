// Reads single elements of weights in any stored layout, for gathers, conversions at load and tests.
//
// kSplit layouts keep a row's quants 16-byte aligned and ordered so that lane t of a quad reads, in one 16-byte load,
// the eight elements 8t..8t+7 of each of the B consecutive 32-element blocks (Q8_0: B = 2, 1 byte each; Q4_0: B = 4,
// one 32-bit word each): what an mma.m16n8k16 lane needs when the k order inside a block is permuted alike on both
// sides. Inside a Q4_0 word the element pair (2p, 2p+1) sits in nibbles p and p + 4. Columns from cols to stride hold
// quant 0 and scale 0.
#pragma once

#include "engine/ops/kernels/launch.cuh"

namespace assay {

// Byte of element `col` in a kSplit Q8_0 row.
__host__ __device__ __forceinline__ std::int64_t SplitByteQ8(std::int64_t col) {
  return (col / 64) * 64 + ((col / 8) % 4) * 16 + ((col / 32) % 2) * 8 + col % 8;
}
// 32-bit word of element `col` in a kSplit Q4_0 row, and the shift of its nibble there.
__host__ __device__ __forceinline__ std::int64_t SplitWordQ4(std::int64_t col) {
  return (col / 128) * 16 + ((col / 8) % 4) * 4 + (col / 32) % 4;
}
__host__ __device__ __forceinline__ int SplitShiftQ4(std::int64_t col) {
  const int e = static_cast<int>(col % 8);
  return 4 * (e / 2 + 4 * (e % 2));
}

namespace blocks {

__device__ __forceinline__ std::uint32_t Bits16(const unsigned char* p) {
  return p[0] | (static_cast<std::uint32_t>(p[1]) << 8);
}
__device__ __forceinline__ float Half(const unsigned char* p) {
  return __half2float(__ushort_as_half(static_cast<unsigned short>(Bits16(p))));
}
__device__ __forceinline__ int Nibble(int byte, int which) { return (byte >> (4 * which)) & 15; }

// Integer value tables of the non-linear four-bit types.
__device__ __forceinline__ float NonLinear4(int n) {
  constexpr signed char kTable[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  return static_cast<float>(kTable[n]);
}
__device__ __forceinline__ float Float4(int n) {
  constexpr signed char kTable[8] = {0, 1, 2, 3, 4, 6, 8, 12};
  const float magnitude = static_cast<float>(kTable[n & 7]);
  return (n & 8) ? -magnitude : magnitude;
}

// Scale and min of group j of a Q4_K or Q5_K block.
__device__ __forceinline__ int2 ScaleMinK4(const unsigned char* s, int j) {
  if (j < 4) return {s[j] & 63, s[j + 4] & 63};
  return {(s[j + 4] & 15) | ((s[j - 4] >> 6) << 4), (s[j + 4] >> 4) | ((s[j] >> 6) << 4)};
}

// Products and sums are spelled with intrinsics so that no contraction changes the last bit against the host's
// formulas.
__device__ inline float Small(DType type, const unsigned char* b, int i) {
  const int j = i % 16, high = i / 16;
  switch (type) {
    case DType::kQ4_0:
      return __fmul_rn(Half(b), static_cast<float>(Nibble(b[2 + j], high) - 8));
    case DType::kQ4_1:
      return __fadd_rn(__fmul_rn(Half(b), static_cast<float>(Nibble(b[4 + j], high))), Half(b + 2));
    case DType::kQ5_0: {
      const std::uint32_t qh = Bits16(b + 2) | (Bits16(b + 4) << 16);
      const int n = Nibble(b[6 + j], high) | static_cast<int>(((qh >> i) & 1u) << 4);
      return __fmul_rn(Half(b), static_cast<float>(n - 16));
    }
    case DType::kQ5_1: {
      const std::uint32_t qh = Bits16(b + 4) | (Bits16(b + 6) << 16);
      const int n = Nibble(b[8 + j], high) | static_cast<int>(((qh >> i) & 1u) << 4);
      return __fadd_rn(__fmul_rn(Half(b), static_cast<float>(n)), Half(b + 2));
    }
    case DType::kQ8_0:
      return __fmul_rn(Half(b), static_cast<float>(static_cast<signed char>(b[2 + i])));
    case DType::kQ8_1:
      return __fmul_rn(Half(b), static_cast<float>(static_cast<signed char>(b[4 + i])));
    case DType::kIQ4_NL:
      return __fmul_rn(Half(b), NonLinear4(Nibble(b[2 + j], high)));
    case DType::kMXFP4:
      return __fmul_rn(exp2f(static_cast<float>(static_cast<int>(b[0]) - 128)), Float4(Nibble(b[1 + j], high)));
    default:
      return 0.0f;
  }
}

__device__ inline float Large(DType type, const unsigned char* b, int i) {
  switch (type) {
    case DType::kQ2_K: {
      const int r = i % 128, s = b[i / 16];
      const int q = (b[16 + 32 * (i / 128) + r % 32] >> (2 * (r / 32))) & 3;
      const float scale = __fmul_rn(Half(b + 80), static_cast<float>(s & 15));
      const float min = __fmul_rn(Half(b + 82), static_cast<float>(s >> 4));
      return __fsub_rn(__fmul_rn(scale, static_cast<float>(q)), min);
    }
    case DType::kQ3_K: {
      const int r = i % 128, g = i / 16;
      const int q2 = (b[32 + 32 * (i / 128) + r % 32] >> (2 * (r / 32))) & 3;
      const int q = q2 - (((b[i % 32] >> (i / 32)) & 1) ? 0 : 4);
      const unsigned char* s = b + 96;
      const int scale = (Nibble(s[g % 8], g / 8) | (((s[8 + g % 4] >> (2 * (g / 4))) & 3) << 4)) - 32;
      return __fmul_rn(__fmul_rn(Half(b + 108), static_cast<float>(scale)), static_cast<float>(q));
    }
    case DType::kQ4_K:
    case DType::kQ5_K: {
      const bool five = type == DType::kQ5_K;
      const unsigned char* qs = b + (five ? 48 : 16);
      int q = Nibble(qs[32 * (i / 64) + i % 32], (i / 32) & 1);
      if (five) q |= ((b[16 + i % 32] >> (i / 32)) & 1) << 4;
      const int2 sm = ScaleMinK4(b + 4, i / 32);
      const float scale = __fmul_rn(Half(b), static_cast<float>(sm.x));
      return __fsub_rn(__fmul_rn(scale, static_cast<float>(q)), __fmul_rn(Half(b + 2), static_cast<float>(sm.y)));
    }
    case DType::kQ6_K: {
      const int c = i / 128, r = i % 128, l = r % 32, k = r / 32;
      const int low = Nibble(b[64 * c + l + 32 * (k & 1)], k >> 1);
      const int q = (low | (((b[128 + 32 * c + l] >> (2 * k)) & 3) << 4)) - 32;
      const float scale = static_cast<float>(static_cast<signed char>(b[192 + i / 16]));
      return __fmul_rn(__fmul_rn(Half(b + 208), scale), static_cast<float>(q));
    }
    case DType::kQ8_K: {
      const float d = __uint_as_float(Bits16(b) | (Bits16(b + 2) << 16));
      return __fmul_rn(d, static_cast<float>(static_cast<signed char>(b[4 + i])));
    }
    case DType::kIQ4_XS: {
      const int g = i / 32;
      const int ls = Nibble(b[4 + g / 2], g & 1) | static_cast<int>(((Bits16(b + 2) >> (2 * g)) & 3u) << 4);
      const float scale = __fmul_rn(Half(b), static_cast<float>(ls - 32));
      return __fmul_rn(scale, NonLinear4(Nibble(b[8 + 16 * g + i % 16], (i % 32) / 16)));
    }
    default:
      return 0.0f;
  }
}

}  // namespace blocks

// Element i of a block (or the plain element) of `type` at `p`, as float32.
__device__ __forceinline__ float StoredElement(DType type, const unsigned char* p, int i) {
  switch (type) {
    case DType::kF32:
      return *reinterpret_cast<const float*>(p);
    case DType::kF16:
      return __half2float(*reinterpret_cast<const __half*>(p));
    case DType::kBF16:
      return __bfloat162float(*reinterpret_cast<const __nv_bfloat16*>(p));
    case DType::kQ2_K:
    case DType::kQ3_K:
    case DType::kQ4_K:
    case DType::kQ5_K:
    case DType::kQ6_K:
    case DType::kQ8_K:
    case DType::kIQ4_XS:
      return blocks::Large(type, p, i);
    default:
      return blocks::Small(type, p, i);
  }
}

// Element (row, col) as float32, exactly what the host's dequantisation gives; `row` counts over experts: expert * rows
// + r.
__device__ __forceinline__ float WeightElement(const WeightView& w, std::int64_t row, std::int64_t col) {
  const auto* data = static_cast<const unsigned char*>(w.data);
  if (w.layout == WeightLayout::kSplit) {
    const float scale = __half2float(static_cast<const __half*>(w.scales)[row * (w.stride / 32) + col / 32]);
    if (w.type == DType::kQ8_0) {
      return __fmul_rn(scale, static_cast<float>(static_cast<signed char>(data[row * w.row_bytes + SplitByteQ8(col)])));
    }
    const auto* words = reinterpret_cast<const std::uint32_t*>(data + row * w.row_bytes);
    return __fmul_rn(scale,
                     static_cast<float>(static_cast<int>((words[SplitWordQ4(col)] >> SplitShiftQ4(col)) & 15u) - 8));
  }
  const int i = static_cast<int>(col % w.block);
  return StoredElement(w.type, data + row * w.row_bytes + col / w.block * w.block_bytes, i);
}

}  // namespace assay
