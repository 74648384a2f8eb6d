// Compiled with -ffp-contract=off (engine/base/CMakeLists.txt): a fused d*q - m would round once where ggml rounds
// twice.
#include "engine/base/quant.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "engine/base/check.h"
#include "engine/base/half.h"

namespace assay {
namespace {

static_assert(std::endian::native == std::endian::little, "stored weights are little-endian");

using Bytes = const std::uint8_t*;

template <class T>
T Read(const void* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

// Masks instead of choices, so that loops over it vectorise: without F16C the compiler's own conversion is a library
// call per element. The product with 2^112 moves the exponent's bias, exactly, and makes subnormal halves normal.
inline float HalfToFloat(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
  const std::uint32_t finite = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude << 13) * 0x1p112f);
  const std::uint32_t special = 0u - static_cast<std::uint32_t>(magnitude >= 0x7c00u);
  const std::uint32_t nan = 0u - static_cast<std::uint32_t>(magnitude > 0x7c00u);
  return std::bit_cast<float>(sign | finite | (special & 0x7f800000u) | (nan & 0x400000u));
}

float Half(Bytes at) { return HalfToFloat(Read<std::uint16_t>(at)); }

void Copy(Bytes in, float* out, std::int64_t count) { std::memcpy(out, in, count * sizeof(float)); }

void FromF16(Bytes in, float* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = HalfToFloat(Read<std::uint16_t>(in + 2 * i));
}

void FromBF16(Bytes in, float* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = ToFloat(BF16{Read<std::uint16_t>(in + 2 * i)});
}

void FromF8E4M3(Bytes in, float* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = ToFloat(F8E4M3{in[i]});
}

// The 32-element formats share their nibble order: element i is the low half of byte i, element i + 16 its high half.

void BlockQ4_0(Bytes b, float* y) {
  const float d = Half(b);
  for (int i = 0; i < 16; ++i) {
    y[i] = static_cast<float>((b[2 + i] & 15) - 8) * d;
    y[i + 16] = static_cast<float>((b[2 + i] >> 4) - 8) * d;
  }
}

void BlockQ4_1(Bytes b, float* y) {
  const float d = Half(b), m = Half(b + 2);
  for (int i = 0; i < 16; ++i) {
    y[i] = static_cast<float>(b[4 + i] & 15) * d + m;
    y[i + 16] = static_cast<float>(b[4 + i] >> 4) * d + m;
  }
}

// The fifth bit of element i is bit i of qh.
void BlockQ5_0(Bytes b, float* y) {
  const float d = Half(b);
  const auto qh = Read<std::uint32_t>(b + 2);
  for (int i = 0; i < 16; ++i) {
    const int low = (b[6 + i] & 15) | static_cast<int>(((qh >> i) & 1) << 4);
    const int high = (b[6 + i] >> 4) | static_cast<int>(((qh >> (i + 16)) & 1) << 4);
    y[i] = static_cast<float>(low - 16) * d;
    y[i + 16] = static_cast<float>(high - 16) * d;
  }
}

void BlockQ5_1(Bytes b, float* y) {
  const float d = Half(b), m = Half(b + 2);
  const auto qh = Read<std::uint32_t>(b + 4);
  for (int i = 0; i < 16; ++i) {
    const int low = (b[8 + i] & 15) | static_cast<int>(((qh >> i) & 1) << 4);
    const int high = (b[8 + i] >> 4) | static_cast<int>(((qh >> (i + 16)) & 1) << 4);
    y[i] = static_cast<float>(low) * d + m;
    y[i + 16] = static_cast<float>(high) * d + m;
  }
}

template <int kHeader>
void BlockQ8(Bytes b, float* y) {
  const float d = Half(b);
  for (int i = 0; i < 32; ++i) y[i] = static_cast<float>(static_cast<std::int8_t>(b[kHeader + i])) * d;
}

constexpr std::int8_t kNonLinear4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

void BlockIQ4_NL(Bytes b, float* y) {
  const float d = Half(b);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>(kNonLinear4[b[2 + i] & 15]);
    y[i + 16] = d * static_cast<float>(kNonLinear4[b[2 + i] >> 4]);
  }
}

// Twice the E2M1 values, with the scale halved to match. Code 8 is a zero: ggml keeps integers, which have no -0.
constexpr float kTwiceE2M1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void BlockMXFP4(Bytes b, float* y) {
  // 2^(e - 128): a normal float from e = 2 on, below that a subnormal.
  const std::uint32_t e = b[0];
  const float d = std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23);
  for (int i = 0; i < 16; ++i) {
    y[i] = kTwiceE2M1[b[1 + i] & 15] * d;
    y[i + 16] = kTwiceE2M1[b[1 + i] >> 4] * d;
  }
}

// The 256-element formats hold two halves of 128, each of which packs four (two-bit) or two (four-bit) planes of 32
// values.

void BlockQ2_K(Bytes b, float* y) {
  const float d = Half(b + 80), dmin = Half(b + 82);
  for (int g = 0; g < 16; ++g) {
    const int half = g / 8, plane = (g / 2) % 4, offset = 16 * (g % 2);
    const float dl = d * static_cast<float>(b[g] & 15), ml = dmin * static_cast<float>(b[g] >> 4);
    const Bytes q = b + 16 + 32 * half + offset;
    for (int i = 0; i < 16; ++i) *y++ = dl * static_cast<float>((q[i] >> (2 * plane)) & 3) - ml;
  }
}

void BlockQ3_K(Bytes b, float* y) {
  const Bytes high = b, qs = b + 32, scales = b + 96;
  const float d = Half(b + 108);
  for (int g = 0; g < 16; ++g) {
    const int half = g / 8, plane = (g / 2) % 4, offset = 16 * (g % 2);
    const int low4 = (scales[g % 8] >> (4 * (g / 8))) & 15, high2 = (scales[8 + g % 4] >> (2 * (g / 4))) & 3;
    const float dl = d * static_cast<float>((low4 | high2 << 4) - 32);
    const Bytes q = qs + 32 * half + offset, h = high + offset;
    for (int i = 0; i < 16; ++i) {
      const int value = ((q[i] >> (2 * plane)) & 3) + ((h[i] >> (4 * half + plane)) & 1) * 4 - 4;
      *y++ = dl * static_cast<float>(value);
    }
  }
}

// Six-bit scale and minimum of group j: the first four groups plainly, the last four split over nibbles and top bits.
void ScaleAndMin(Bytes s, int j, int* scale, int* minimum) {
  if (j < 4) {
    *scale = s[j] & 63;
    *minimum = s[j + 4] & 63;
  } else {
    *scale = (s[j + 4] & 15) | ((s[j - 4] >> 6) << 4);
    *minimum = (s[j + 4] >> 4) | ((s[j] >> 6) << 4);
  }
}

void BlockQ4_K(Bytes b, float* y) {
  const float d = Half(b), dmin = Half(b + 2);
  for (int j = 0; j < 8; ++j) {
    int scale = 0, minimum = 0;
    ScaleAndMin(b + 4, j, &scale, &minimum);
    const float dl = d * static_cast<float>(scale), ml = dmin * static_cast<float>(minimum);
    const Bytes q = b + 16 + 32 * (j / 2);
    const int shift = 4 * (j % 2);
    for (int i = 0; i < 32; ++i) *y++ = dl * static_cast<float>((q[i] >> shift) & 15) - ml;
  }
}

void BlockQ5_K(Bytes b, float* y) {
  const float d = Half(b), dmin = Half(b + 2);
  const Bytes qh = b + 16;
  for (int j = 0; j < 8; ++j) {
    int scale = 0, minimum = 0;
    ScaleAndMin(b + 4, j, &scale, &minimum);
    const float dl = d * static_cast<float>(scale), ml = dmin * static_cast<float>(minimum);
    const Bytes q = b + 48 + 32 * (j / 2);
    const int shift = 4 * (j % 2);
    for (int i = 0; i < 32; ++i)
      *y++ = dl * static_cast<float>(((q[i] >> shift) & 15) | (((qh[i] >> j) & 1) << 4)) - ml;
  }
}

void BlockQ6_K(Bytes b, float* y) {
  const float d = Half(b + 208);
  for (int g = 0; g < 16; ++g) {
    const int half = g / 8, plane = (g / 2) % 4, offset = 16 * (g % 2);
    const float dl = d * static_cast<float>(static_cast<std::int8_t>(b[192 + g]));
    const Bytes low = b + 64 * half + 32 * (plane % 2) + offset, high = b + 128 + 32 * half + offset;
    for (int i = 0; i < 16; ++i) {
      const int q = ((low[i] >> (4 * (plane / 2))) & 15) | (((high[i] >> (2 * plane)) & 3) << 4);
      *y++ = dl * static_cast<float>(q - 32);
    }
  }
}

void BlockQ8_K(Bytes b, float* y) {
  const auto d = Read<float>(b);
  for (int i = 0; i < 256; ++i) y[i] = d * static_cast<float>(static_cast<std::int8_t>(b[4 + i]));
}

void BlockIQ4_XS(Bytes b, float* y) {
  const float d = Half(b);
  const auto scales_high = Read<std::uint16_t>(b + 2);
  for (int g = 0; g < 8; ++g, y += 32) {
    const int scale = ((b[4 + g / 2] >> (4 * (g % 2))) & 15) | (((scales_high >> (2 * g)) & 3) << 4);
    const float dl = d * static_cast<float>(scale - 32);
    const Bytes q = b + 8 + 16 * g;
    for (int i = 0; i < 16; ++i) {
      y[i] = dl * static_cast<float>(kNonLinear4[q[i] & 15]);
      y[i + 16] = dl * static_cast<float>(kNonLinear4[q[i] >> 4]);
    }
  }
}

template <int kElements, int kBytes, void (*kBlock)(Bytes, float*)>
void Blocks(Bytes in, float* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kElements, in += kBytes) kBlock(in, out + i);
}

// 0 also where 1/d would overflow: the stored half scale is zero there anyway.
float Inverse(float d) { return std::fabs(d) > 0x1p-126f ? 1.0f / d : 0.0f; }

// ggml's reference encoders divide by the scale through its reciprocal and round halves away from zero.
void EncodeQ8_0(const float* x, std::uint8_t* b) {
  float amax = 0.0f;
  for (int i = 0; i < 32; ++i) amax = std::max(amax, std::fabs(x[i]));
  const float d = amax / 127.0f, inverse = Inverse(d);
  const F16 stored = ToF16(d);
  std::memcpy(b, &stored, 2);
  for (int i = 0; i < 32; ++i)
    b[2 + i] =
        static_cast<std::uint8_t>(static_cast<std::int8_t>(std::clamp(std::round(x[i] * inverse), -128.0f, 127.0f)));
}

void EncodeQ4_0(const float* x, std::uint8_t* b) {
  float amax = 0.0f, largest = 0.0f;
  for (int i = 0; i < 32; ++i)
    if (std::fabs(x[i]) > amax) {
      amax = std::fabs(x[i]);
      largest = x[i];
    }
  const float d = largest / -8.0f, inverse = Inverse(d);
  const F16 stored = ToF16(d);
  std::memcpy(b, &stored, 2);
  const auto code = [&](float v) {
    return static_cast<std::uint8_t>(std::clamp(static_cast<int>(v * inverse + 8.5f), 0, 15));
  };
  for (int i = 0; i < 16; ++i) b[2 + i] = static_cast<std::uint8_t>(code(x[i]) | code(x[i + 16]) << 4);
}

template <class T, T (*kRound)(float)>
void EncodePlain(const float* in, std::byte* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const T value = kRound(in[i]);
    std::memcpy(out + i * static_cast<std::int64_t>(sizeof(T)), &value, sizeof(T));
  }
}

void RequireFiniteRow(DType type, const float* in, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i)
    Require(std::isfinite(in[i]), "cannot encode element {} of a row as {}: expected a finite value, found {}", i,
            Name(type), in[i]);
}

void RequireWholeBlocks(DType type, std::int64_t count) {
  Require(count >= 0 && count % Info(type).block == 0, "row of {} elements: {} needs a multiple of {}", count,
          Name(type), Info(type).block);
}

}  // namespace

void DequantiseRow(DType type, const std::byte* blocks, float* out, std::int64_t count) {
  RequireWholeBlocks(type, count);
  const auto* in = reinterpret_cast<Bytes>(blocks);
  switch (type) {
    case DType::kF32:
      return Copy(in, out, count);
    case DType::kF16:
      return FromF16(in, out, count);
    case DType::kBF16:
      return FromBF16(in, out, count);
    case DType::kQ4_0:
      return Blocks<32, 18, BlockQ4_0>(in, out, count);
    case DType::kQ4_1:
      return Blocks<32, 20, BlockQ4_1>(in, out, count);
    case DType::kQ5_0:
      return Blocks<32, 22, BlockQ5_0>(in, out, count);
    case DType::kQ5_1:
      return Blocks<32, 24, BlockQ5_1>(in, out, count);
    case DType::kQ8_0:
      return Blocks<32, 34, BlockQ8<2>>(in, out, count);
    case DType::kQ8_1:
      return Blocks<32, 36, BlockQ8<4>>(in, out, count);
    case DType::kQ2_K:
      return Blocks<256, 84, BlockQ2_K>(in, out, count);
    case DType::kQ3_K:
      return Blocks<256, 110, BlockQ3_K>(in, out, count);
    case DType::kQ4_K:
      return Blocks<256, 144, BlockQ4_K>(in, out, count);
    case DType::kQ5_K:
      return Blocks<256, 176, BlockQ5_K>(in, out, count);
    case DType::kQ6_K:
      return Blocks<256, 210, BlockQ6_K>(in, out, count);
    case DType::kQ8_K:
      return Blocks<256, 292, BlockQ8_K>(in, out, count);
    case DType::kIQ4_NL:
      return Blocks<32, 18, BlockIQ4_NL>(in, out, count);
    case DType::kIQ4_XS:
      return Blocks<256, 136, BlockIQ4_XS>(in, out, count);
    case DType::kMXFP4:
      return Blocks<32, 17, BlockMXFP4>(in, out, count);
    case DType::kF8_E4M3:
      return FromF8E4M3(in, out, count);
    case DType::kI32:
      break;
  }
  Throw<>("type {} holds no reals: expected a float or block type", Name(type));
}

void QuantiseRow(DType type, const float* in, std::byte* blocks, std::int64_t count) {
  RequireWholeBlocks(type, count);
  auto* out = reinterpret_cast<std::uint8_t*>(blocks);
  switch (type) {
    case DType::kF32:
      std::memcpy(out, in, count * sizeof(float));
      return;
    case DType::kF16:
      return EncodePlain<F16, ToF16>(in, blocks, count);
    case DType::kBF16:
      return EncodePlain<BF16, ToBF16>(in, blocks, count);
    case DType::kF8_E4M3:
      return EncodePlain<F8E4M3, ToF8E4M3>(in, blocks, count);
    case DType::kQ8_0:
      RequireFiniteRow(type, in, count);
      for (std::int64_t i = 0; i < count; i += 32, out += 34) EncodeQ8_0(in + i, out);
      return;
    case DType::kQ4_0:
      RequireFiniteRow(type, in, count);
      for (std::int64_t i = 0; i < count; i += 32, out += 18) EncodeQ4_0(in + i, out);
      return;
    default:
      Throw<>("no encoder for {}: expected F32, F16, BF16, F8_E4M3, Q8_0 or Q4_0", Name(type));
  }
}

}  // namespace assay
