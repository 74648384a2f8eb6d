// How a lane reads weights: 16 bytes of a row in each step, in every weight format, and what those bytes hold.
//
// A "group" is 64 bytes of a row: four lanes of 16 bytes. It holds kBlocks blocks of 32 columns (plain 16-bit: 1, Q8_0:
// 2, Q4_0: 4); lane t has the elements 8t..8t+7 of each block. Feeding an mma.m16n8k16 with a lane's own eight elements
// (two steps of four) permutes k inside a block; reading the activations by the same rule undoes it.
#pragma once

#include "engine/ops/kernels/launch.cuh"

namespace assay {

template <class T>
struct PlainFormat {  // T weights
  static constexpr int kBlocks = 1;
  static constexpr bool kScaled = false;
};
struct Q8Format {
  static constexpr int kBlocks = 2;
  static constexpr bool kScaled = true;
};
struct Q4Format {
  static constexpr int kBlocks = 4;
  static constexpr bool kScaled = true;
};

// Reads past L1, because a step reads each weight once. The asm is volatile because prefetches must stay before the
// wait for predecessors.
__device__ __forceinline__ uint4 LoadStream(const uint4* p) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p));
  return v;
}

__device__ __forceinline__ std::uint32_t Word(const uint4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

// fp16 scales of one group of one row.
template <class Format>
struct GroupScales;
template <class T>
struct GroupScales<PlainFormat<T>> {
  __device__ __forceinline__ void Load(const __half*, int) {}
  __device__ __forceinline__ void Take(const uint4&, int) {}
  __device__ __forceinline__ float At(int) const { return 1.0f; }
};
template <>
struct GroupScales<Q8Format> {
  __half2 v;
  __device__ __forceinline__ void Load(const __half* row, int group) {
    v = __ldg(reinterpret_cast<const __half2*>(row) + group);
  }
  // Of the groups whose scales are in `all`.
  __device__ __forceinline__ void Take(const uint4& all, int group) {
    const std::uint32_t word = Word(all, group);
    v = reinterpret_cast<const __half2&>(word);
  }
  __device__ __forceinline__ float At(int b) const { return b == 0 ? __low2float(v) : __high2float(v); }
};
template <>
struct GroupScales<Q4Format> {
  uint2 v;
  __device__ __forceinline__ void Load(const __half* row, int group) {
    v = __ldg(reinterpret_cast<const uint2*>(row) + group);
  }
  __device__ __forceinline__ void Take(const uint4& all, int group) {
    v = {Word(all, 2 * group), Word(all, 2 * group + 1)};
  }
  __device__ __forceinline__ float At(int b) const {
    const std::uint32_t word = b < 2 ? v.x : v.y;
    return __half2float(__ushort_as_half(static_cast<unsigned short>(b % 2 == 0 ? word & 0xffffu : word >> 16)));
  }
};

// (word & mask) | bits in one instruction. Written plainly it becomes two, because one takes a single constant.
__device__ __forceinline__ std::uint32_t AndOr(std::uint32_t word, std::uint32_t mask, std::uint32_t bits) {
  std::uint32_t v;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(v) : "r"(word), "r"(mask), "r"(bits));
  return v;
}

// Gives a signed byte of `word` as an exact float: the byte placed in a mantissa is 2^23 + (q + 128), and one
// subtraction leaves q.
__device__ __forceinline__ float ByteAsFloat(std::uint32_t flipped, int i) {
  return __uint_as_float(__byte_perm(flipped, 0x4b000000u, 0x7540u | static_cast<std::uint32_t>(i))) - 8388736.0f;
}

// Two signed bytes of a word as exact T: bytes 0 and 1 with `select` 0x4140, 2 and 3 with 0x4342.
template <class T>
__device__ __forceinline__ std::uint32_t BytePair(std::uint32_t word, std::uint32_t select) {
  if constexpr (std::is_same_v<T, __half>) {
    const std::uint32_t placed = __byte_perm(word ^ 0x80808080u, 0x64646464u, select);  // 1024 + 128 + byte
    const __half2 v = __hsub2(reinterpret_cast<const __half2&>(placed), __floats2half2_rn(1152.0f, 1152.0f));
    return reinterpret_cast<const std::uint32_t&>(v);
  } else {
    // Seven bits placed in a mantissa are 128 + low; what to subtract, 128 or 256, is the sign bit placed there alone.
    const std::uint32_t placed = __byte_perm(word, 0x43434343u, select);
    const std::uint32_t value = placed & 0xff7fff7fu, bias = placed & 0xff80ff80u;
    const __nv_bfloat162 v =
        __hsub2(reinterpret_cast<const __nv_bfloat162&>(value), reinterpret_cast<const __nv_bfloat162&>(bias));
    return reinterpret_cast<const std::uint32_t&>(v);
  }
}
// Bits 0..3 and 16..19 of a word, less eight, as exact T.
template <class T>
__device__ __forceinline__ std::uint32_t NibblePair(std::uint32_t word) {
  if constexpr (std::is_same_v<T, __half>) {
    const std::uint32_t placed = AndOr(word, 0x000f000fu, 0x64006400u);
    const __half2 v = __hsub2(reinterpret_cast<const __half2&>(placed), __floats2half2_rn(1032.0f, 1032.0f));
    return reinterpret_cast<const std::uint32_t&>(v);
  } else {
    const std::uint32_t placed = AndOr(word, 0x000f000fu, 0x43004300u);
    const __nv_bfloat162 v =
        __hsub2(reinterpret_cast<const __nv_bfloat162&>(placed), __floats2bfloat162_rn(136.0f, 136.0f));
    return reinterpret_cast<const std::uint32_t&>(v);
  }
}

// Expands four packed pairs of T (elements 2p, 2p+1 of block b) for tensor cores; they are integers when the format is
// scaled.
template <class Format, class T>
__device__ __forceinline__ void ExpandPairs(std::uint32_t (&pair)[4], const uint4& raw, int b) {
  if constexpr (std::is_same_v<Format, Q8Format>) {
#pragma unroll
    for (int p = 0; p < 4; ++p) pair[p] = BytePair<T>(Word(raw, 2 * b + p / 2), p % 2 == 0 ? 0x4140u : 0x4342u);
  } else if constexpr (std::is_same_v<Format, Q4Format>) {
#pragma unroll
    for (int p = 0; p < 4; ++p) pair[p] = NibblePair<T>(Word(raw, b) >> (4 * p));
  } else {
#pragma unroll
    for (int p = 0; p < 4; ++p) pair[p] = Word(raw, p);
  }
}

__device__ __forceinline__ void UnpackPair(float* out, std::uint32_t pair, __half) {
  const float2 f = __half22float2(reinterpret_cast<const __half2&>(pair));
  out[0] = f.x;
  out[1] = f.y;
}
__device__ __forceinline__ void UnpackPair(float* out, std::uint32_t pair, __nv_bfloat16) {
  out[0] = __uint_as_float(pair << 16);
  out[1] = __uint_as_float(pair & 0xffff0000u);
}

__device__ __forceinline__ std::uint32_t PackPair(float a, float b, __half) {
  const __half2 v = __floats2half2_rn(a, b);
  return reinterpret_cast<const std::uint32_t&>(v);
}
__device__ __forceinline__ std::uint32_t PackPair(float a, float b, __nv_bfloat16) {
  const __nv_bfloat162 v = __floats2bfloat162_rn(a, b);
  return reinterpret_cast<const std::uint32_t&>(v);
}

// Expands eight floats of block b for CUDA cores; they are integers when the format is scaled. A lane needs two vectors
// for float weights.
template <class Format>
struct Raw {
  uint4 v[1];
};
template <>
struct Raw<PlainFormat<float>> {
  uint4 v[2];
};
template <class Format>
__device__ __forceinline__ void ExpandFloats(float (&out)[8], const Raw<Format>& raw, int b) {
  if constexpr (std::is_same_v<Format, Q8Format>) {
#pragma unroll
    for (int i = 0; i < 8; ++i) out[i] = ByteAsFloat(Word(raw.v[0], 2 * b + i / 4) ^ 0x80808080u, i % 4);
  } else if constexpr (std::is_same_v<Format, Q4Format>) {
    const std::uint32_t word = Word(raw.v[0], b);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int shift = 4 * (i / 2 + 4 * (i % 2));
      out[i] = __uint_as_float(AndOr(word >> shift, 15u, 0x4b000000u)) - 8388616.0f;
    }
  } else if constexpr (std::is_same_v<Format, PlainFormat<float>>) {
#pragma unroll
    for (int i = 0; i < 8; ++i) out[i] = __uint_as_float(Word(raw.v[i / 4], i % 4));
  } else if constexpr (std::is_same_v<Format, PlainFormat<__half>>) {
#pragma unroll
    for (int p = 0; p < 4; ++p) UnpackPair(out + 2 * p, Word(raw.v[0], p), __half{});
  } else {
#pragma unroll
    for (int p = 0; p < 4; ++p) UnpackPair(out + 2 * p, Word(raw.v[0], p), __nv_bfloat16{});
  }
}

// Reads eight consecutive operand elements from column k on, with zeros beyond `cols`. `aligned` says that cols % 8 ==
// 0 and x is 16-byte aligned, so that every row starts on 16 bytes; kWhole that it does and that none is read beyond.
// Loads are plain because of rule 2 of launch.cuh.
template <bool kWhole, class T>
__device__ __forceinline__ uint4 LoadOperand8(const T* row, int k, int cols, bool aligned) {
  static_assert(sizeof(T) == 2);
  if constexpr (kWhole) {
    return *reinterpret_cast<const uint4*>(row + k);
  } else {
    if (k >= cols) return {0, 0, 0, 0};
    if (aligned) return *reinterpret_cast<const uint4*>(row + k);
    std::uint32_t word[4];
#pragma unroll
    for (int p = 0; p < 4; ++p) {
      const int i = k + 2 * p;
      const std::uint32_t low = i < cols ? reinterpret_cast<const unsigned short*>(row)[i] : 0u;
      const std::uint32_t high = i + 1 < cols ? reinterpret_cast<const unsigned short*>(row)[i + 1] : 0u;
      word[p] = low | (high << 16);
    }
    return {word[0], word[1], word[2], word[3]};
  }
}
template <bool kWhole, class T>
__device__ __forceinline__ void LoadFloats8(float (&out)[8], const T* row, int k, int cols, bool aligned) {
  if constexpr (std::is_same_v<T, float>) {
    if (kWhole || (aligned && k < cols)) {
      const float4 a = *reinterpret_cast<const float4*>(row + k), b = *reinterpret_cast<const float4*>(row + k + 4);
      out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w, out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
    } else {
#pragma unroll
      for (int i = 0; i < 8; ++i) out[i] = k + i < cols ? row[k + i] : 0.0f;
    }
  } else {
    const uint4 v = LoadOperand8<kWhole>(row, k, cols, aligned);
#pragma unroll
    for (int p = 0; p < 4; ++p) UnpackPair(out + 2 * p, Word(v, p), T{});
  }
}

// c += a b: a 16 x 16 weights, b 16 x 8 activations.
template <class T>
__device__ __forceinline__ void Mma(float (&c)[4], std::uint32_t a0, std::uint32_t a1, std::uint32_t a2,
                                    std::uint32_t a3, std::uint32_t b0, std::uint32_t b1) {
  if constexpr (std::is_same_v<T, __half>) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  }
}

}  // namespace assay
