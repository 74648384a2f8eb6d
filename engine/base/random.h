// Counter-based random numbers: a value is a function of (key, index) alone, so that any order, thread or device that
// computes it gets the same bits. Integer arithmetic plus one exact conversion and one multiplication.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/portable.h"

namespace assay {

// Finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64-bit words.
ASSAY_HD inline std::uint64_t Mix64(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

ASSAY_HD inline std::uint64_t RandomBits(std::uint64_t key, std::uint64_t index) {
  return Mix64(key + 0x9e3779b97f4a7c15ull * (index + 1));
}

// Centred and bell-shaped (sum of four 16-bit uniforms), standard deviation 1 to four digits, |value| < 3.4641.
// The integer sum is exact in float, so the single multiplication rounds alike everywhere.
ASSAY_HD inline float RandomNormalish(std::uint64_t key, std::uint64_t index) {
  const std::uint64_t bits = RandomBits(key, index);
  const std::int32_t sum = static_cast<std::int32_t>(bits & 0xffff) + static_cast<std::int32_t>((bits >> 16) & 0xffff) +
                           static_cast<std::int32_t>((bits >> 32) & 0xffff) + static_cast<std::int32_t>(bits >> 48) -
                           131070;
  return static_cast<float>(sum) * 2.6429e-5f;
}

// Uniform in [0, 1) with 24 bits.
ASSAY_HD inline float RandomUniform(std::uint64_t key, std::uint64_t index) {
  return static_cast<float>(RandomBits(key, index) >> 40) * 0x1p-24f;
}

// Tokens of a made-up session: a function of (seed, stream, index), all below `vocab`.
inline std::vector<std::int32_t> RandomTokens(std::uint64_t seed, int stream, int length, int vocab) {
  const std::uint64_t key = Mix64(seed * 1'000'003u + static_cast<std::uint64_t>(stream) + 1);
  std::vector<std::int32_t> tokens(length);
  for (std::size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<std::int32_t>(RandomBits(key, i) % static_cast<std::uint64_t>(vocab));
  return tokens;
}

}  // namespace assay
