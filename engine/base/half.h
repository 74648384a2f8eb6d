// IEEE binary16, bfloat16 and e4m3 as stored bits, with round-to-nearest-even conversions. Exact for NaN-ness,
// infinities and subnormals; NaN payloads are quieted. e4m3 has no infinity: what exceeds its largest number, 448,
// becomes it.
#pragma once

#include <bit>
#include <cstdint>

// GCC 12 for aarch64 has the type in C alone.
#if defined(__FLT16_MANT_DIG__) && !(defined(__aarch64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13)
#define ASSAY_HAS_FLOAT16 1
#else
#define ASSAY_HAS_FLOAT16 0
#endif

namespace assay {

struct BF16 {
  std::uint16_t bits = 0;
};
struct F16 {
  std::uint16_t bits = 0;
};
struct F8E4M3 {
  std::uint8_t bits = 0;
};

inline float ToFloat(BF16 v) { return std::bit_cast<float>(static_cast<std::uint32_t>(v.bits) << 16); }

inline BF16 ToBF16(float v) {
  std::uint32_t u = std::bit_cast<std::uint32_t>(v);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>((u >> 16) | 0x40u)};
  u += 0x7fffu + ((u >> 16) & 1u);
  return {static_cast<std::uint16_t>(u >> 16)};
}

inline float ToFloat(F16 v) {
#if ASSAY_HAS_FLOAT16
  return static_cast<float>(std::bit_cast<_Float16>(v.bits));
#else
  const std::uint32_t sign = (v.bits & 0x8000u) << 16, magnitude = v.bits & 0x7fffu;
  if (magnitude >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  if (magnitude >= 0x400u) return std::bit_cast<float>(sign | ((magnitude << 13) + 0x38000000u));
  const float subnormal = static_cast<float>(magnitude) * 0x1p-24f;
  return (sign != 0) ? -subnormal : subnormal;
#endif
}

inline F16 ToF16(float v) {
#if ASSAY_HAS_FLOAT16
  return {std::bit_cast<std::uint16_t>(static_cast<_Float16>(v))};
#else
  const std::uint32_t u = std::bit_cast<std::uint32_t>(v);
  const auto sign = static_cast<std::uint16_t>((u >> 16) & 0x8000u);
  const std::uint32_t a = u & 0x7fffffffu;
  if (a > 0x7f800000u) return {static_cast<std::uint16_t>(sign | 0x7e00u)};
  if (a >= 0x477ff000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};
  if (a >= 0x38800000u) {
    const std::uint32_t r = a + 0xfffu + ((a >> 13) & 1u);
    return {static_cast<std::uint16_t>(sign | ((r - 0x38000000u) >> 13))};
  }
  // Adding 0.5 aligns the subnormal result's last place with float's: the addition itself rounds to nearest even.
  const float aligned = std::bit_cast<float>(a) + 0.5f;
  return {static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(aligned) - 0x3f000000u))};
#endif
}

// Masks instead of choices, so that loops over it vectorise. The product with 2^120 moves the exponent's bias, exactly,
// and makes subnormal codes normal.
inline float ToFloat(F8E4M3 v) {
  const std::uint32_t sign = (v.bits & 0x80u) << 24, magnitude = v.bits & 0x7fu;
  const std::uint32_t finite = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude << 20) * 0x1p120f);
  const std::uint32_t nan = 0u - static_cast<std::uint32_t>(magnitude == 0x7fu);
  return std::bit_cast<float>(sign | finite | (nan & 0x7fc00000u));
}

inline F8E4M3 ToF8E4M3(float v) {
  const std::uint32_t u = std::bit_cast<std::uint32_t>(v), a = u & 0x7fffffffu;
  const auto code = [&](std::uint32_t magnitude) {
    return F8E4M3{static_cast<std::uint8_t>((u >> 24 & 0x80u) | magnitude)};
  };
  if (a > 0x7f800000u) return code(0x7fu);
  if (a > 0x43e00000u) return code(0x7eu);                                                   // above 448
  if (a >= 0x3c800000u) return code((a + 0x7ffffu + ((a >> 20) & 1u) - 0x3c000000u) >> 20);  // from 2^-6 on: normal
  // Adding 2^14, whose last place is that of a subnormal result: the addition itself rounds to nearest even.
  return code(std::bit_cast<std::uint32_t>(std::bit_cast<float>(a) + 0x1p14f) - 0x46800000u);
}

}  // namespace assay
