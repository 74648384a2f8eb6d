// Block decoders against ggml's own output, and the encoders' error bounds.
#include "engine/base/quant.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <set>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/half.h"
#include "engine/base/random.h"
#include "engine/testing/fixtures.h"

namespace assay {
namespace {

struct GoldenBlocks {
  DType type;
  std::vector<std::byte> blocks;
  std::vector<float> values;
};

std::vector<GoldenBlocks> ReadGoldens() {
  std::ifstream file(Fixture("goldens/ggml-blocks.bin"), std::ios::binary);
  const std::vector<char> all{std::istreambuf_iterator<char>(file), {}};
  std::vector<GoldenBlocks> goldens;
  std::size_t at = 0;
  while (at + 16 <= all.size()) {
    std::uint32_t header[4];
    std::memcpy(header, all.data() + at, sizeof header);
    at += sizeof header;
    GoldenBlocks golden{DTypeFromGgml(header[0]).value(), std::vector<std::byte>(header[1]),
                        std::vector<float>(header[2])};
    EXPECT_EQ(static_cast<std::uint32_t>(Info(golden.type).block), header[3]);
    EXPECT_EQ(StoredBytes(golden.type, 1, header[2]), header[1]);
    std::memcpy(golden.blocks.data(), all.data() + at, golden.blocks.size());
    std::memcpy(golden.values.data(), all.data() + at + golden.blocks.size(), 4 * golden.values.size());
    at += golden.blocks.size() + 4 * golden.values.size();
    goldens.push_back(std::move(golden));
  }
  EXPECT_EQ(at, all.size());
  return goldens;
}

std::vector<float> Decode(DType type, const std::vector<std::byte>& blocks, std::size_t count) {
  std::vector<float> out(count);
  DequantiseRow(type, blocks.data(), out.data(), static_cast<std::int64_t>(count));
  return out;
}

TEST(Quant, DecodesEveryGoldenFormatBitForBit) {
  std::set<DType> seen;
  for (const GoldenBlocks& golden : ReadGoldens()) {
    SCOPED_TRACE(Name(golden.type));
    seen.insert(golden.type);
    const std::vector<float> got = Decode(golden.type, golden.blocks, golden.values.size());
    for (std::size_t i = 0; i < got.size(); ++i)
      ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(golden.values[i]))
          << "element " << i << ": " << got[i] << " against ggml's " << golden.values[i];
  }
  EXPECT_EQ(seen.size(), 15u);
}

TEST(Quant, DecodesAtAnyAlignment) {
  for (const GoldenBlocks& golden : ReadGoldens()) {
    std::vector<std::byte> shifted(golden.blocks.size() + 1);
    std::memcpy(shifted.data() + 1, golden.blocks.data(), golden.blocks.size());
    std::vector<float> out(golden.values.size());
    DequantiseRow(golden.type, shifted.data() + 1, out.data(), static_cast<std::int64_t>(out.size()));
    EXPECT_EQ(0, std::memcmp(out.data(), golden.values.data(), 4 * out.size())) << Name(golden.type);
  }
}

TEST(Quant, HalvesDecodeAsTheBaseConversionDoes) {
  std::vector<std::byte> halves(2 * 65536);
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    std::memcpy(halves.data() + 2 * bits, &half, 2);
  }
  const std::vector<float> f16 = Decode(DType::kF16, halves, 65536), bf16 = Decode(DType::kBF16, halves, 65536);
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(f16[bits]), std::bit_cast<std::uint32_t>(ToFloat(F16{half}))) << bits;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(bf16[bits]), bits << 16);
  }
}

TEST(Quant, ActivationBlocksDecode) {
  std::vector<std::byte> block(292);
  const float scale = 0.5f;
  std::memcpy(block.data(), &scale, 4);
  for (int i = 0; i < 256; ++i) block[4 + i] = static_cast<std::byte>(i);
  const std::vector<float> k = Decode(DType::kQ8_K, block, 256);
  EXPECT_EQ(k[127], 63.5f);
  EXPECT_EQ(k[128], -64.0f);
  const F16 d = ToF16(2.0f);
  std::memcpy(block.data(), &d, 2);
  EXPECT_EQ(Decode(DType::kQ8_1, block, 32)[5], 10.0f);  // the codes start at byte 4, after the sum
}

class Encoder : public ::testing::TestWithParam<DType> {};

TEST_P(Encoder, ErrorStaysWithinHalfAStep) {
  constexpr int kCount = 4096;
  std::vector<float> in(kCount);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = RandomNormalish(7, i) * (i / 32 % 3 == 0 ? 1e-3f : 2.0f);
  std::vector<std::byte> blocks(StoredBytes(GetParam(), 1, kCount));
  QuantiseRow(GetParam(), in.data(), blocks.data(), kCount);
  const std::vector<float> out = Decode(GetParam(), blocks, in.size());
  for (std::size_t begin = 0; begin < in.size(); begin += 32) {
    float amax = 0;
    for (std::size_t i = begin; i < begin + 32; ++i) amax = std::max(amax, std::fabs(in[i]));
    // Half a step, the last code's clipping in Q4_0 (a full step), and the scale's rounding to half (2^-25 where it is
    // subnormal).
    const float bound = GetParam() == DType::kQ8_0 ? amax / 127.0f * 0.5f : amax / 8.0f;
    for (std::size_t i = begin; i < begin + 32; ++i)
      ASSERT_NEAR(out[i], in[i], bound + amax * 0x1p-11f + 127 * 0x1p-25f) << i;
  }
}

TEST_P(Encoder, EncodingADecodedRowIsStable) {
  constexpr int kCount = 1024;
  std::vector<float> in(kCount);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = RandomNormalish(11, i);
  std::vector<std::byte> once(StoredBytes(GetParam(), 1, kCount)), twice(once.size());
  QuantiseRow(GetParam(), in.data(), once.data(), kCount);
  const std::vector<float> decoded = Decode(GetParam(), once, in.size());
  QuantiseRow(GetParam(), decoded.data(), twice.data(), kCount);
  EXPECT_EQ(Decode(GetParam(), twice, in.size()), decoded);
}

TEST_P(Encoder, ZeroTinyAndRefusedRows) {
  const std::int64_t count = Info(GetParam()).block;
  std::vector<float> row(static_cast<std::size_t>(count), 0.0f);
  std::vector<std::byte> block(StoredBytes(GetParam(), 1, count));
  QuantiseRow(GetParam(), row.data(), block.data(), count);
  EXPECT_EQ(Decode(GetParam(), block, row.size()), row);
  row[3] = 1e-44f;
  QuantiseRow(GetParam(), row.data(), block.data(), count);
  EXPECT_EQ(Decode(GetParam(), block, row.size())[3], 0.0f);
  row[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(QuantiseRow(GetParam(), row.data(), block.data(), count), InputError);
  EXPECT_THROW(QuantiseRow(GetParam(), row.data(), block.data(), count - 1), InputError);
}

INSTANTIATE_TEST_SUITE_P(Quant, Encoder, ::testing::Values(DType::kQ8_0, DType::kQ4_0),
                         [](const auto& at) { return std::string(Name(at.param)); });

TEST(Quant, EncodesKnownBlocks) {
  std::vector<float> row(32, 0.0f);
  row[0] = 127.0f;
  row[1] = -2.5f;
  row[17] = 1.0f;
  std::vector<std::byte> q8(34), q4(18);
  QuantiseRow(DType::kQ8_0, row.data(), q8.data(), 32);
  EXPECT_EQ(static_cast<int>(q8[0]) | static_cast<int>(q8[1]) << 8, 0x3c00);  // 1.0
  EXPECT_EQ(static_cast<int>(q8[2]), 127);
  EXPECT_EQ(static_cast<int>(q8[3]), 256 - 3);  // halves away from zero
  EXPECT_EQ(static_cast<int>(q8[19]), 1);
  row = std::vector<float>(32, 0.0f);
  row[0] = -8.0f;  // scale +1: the largest magnitude takes code 0
  row[16] = 7.0f;
  QuantiseRow(DType::kQ4_0, row.data(), q4.data(), 32);
  EXPECT_EQ(static_cast<int>(q4[0]) | static_cast<int>(q4[1]) << 8, 0x3c00);
  EXPECT_EQ(static_cast<int>(q4[2]), 0xf0);
  EXPECT_EQ(static_cast<int>(q4[3]), 0x88);
}

TEST(Quant, RefusesPartialBlocksAndIntegers) {
  std::vector<std::byte> block(512);
  std::vector<float> out(256);
  EXPECT_THROW(DequantiseRow(DType::kQ4_K, block.data(), out.data(), 128), InputError);
  EXPECT_THROW(DequantiseRow(DType::kQ8_0, block.data(), out.data(), -32), InputError);
  EXPECT_THROW(DequantiseRow(DType::kI32, block.data(), out.data(), 4), InputError);
  EXPECT_THROW(QuantiseRow(DType::kQ6_K, out.data(), block.data(), 256), InputError);
}

}  // namespace
}  // namespace assay
