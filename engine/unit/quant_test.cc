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
    const float expected = ToFloat(F16{half});
    if (std::isnan(expected))  // its payload is the compiler's matter
      ASSERT_TRUE(std::isnan(f16[bits])) << bits;
    else
      ASSERT_EQ(std::bit_cast<std::uint32_t>(f16[bits]), std::bit_cast<std::uint32_t>(expected)) << bits;
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
  row[0] = 8.0f, row[1] = -8.0f, row[16] = 0.0f;  // the first of two equal magnitudes decides: scale -1
  QuantiseRow(DType::kQ4_0, row.data(), q4.data(), 32);
  EXPECT_EQ(static_cast<int>(q4[0]) | static_cast<int>(q4[1]) << 8, 0xbc00);
  EXPECT_EQ(static_cast<int>(q4[2]), 0x80);
  EXPECT_EQ(static_cast<int>(q4[3]), 0x8f);
}

TEST(Quant, EightBitFloatsByTheirEdges) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  struct Edge {
    float in;
    int code;
    float out;
  };
  // Codes are sign, four bits of exponent (bias 7), three of mantissa; all ones is NaN, infinities there are none.
  const Edge edges[] = {
      {0.0f, 0x00, 0.0f},
      {-0.0f, 0x80, -0.0f},
      {0x1p-149f, 0x00, 0.0f},
      {0x1p-10f, 0x00, 0.0f},  // half of the smallest: to even
      {0x1.000002p-10f, 0x01, 0x1p-9f},
      {0x1p-9f, 0x01, 0x1p-9f},
      {0x1.8p-9f, 0x02, 0x1p-8f},    // between 1 and 2 steps: to even
      {-0x1.2p-7f, 0x84, -0x1p-7f},  // between 4 and 5 steps: to even
      {0x1.cp-7f, 0x07, 0x1.cp-7f},
      {0x1.dfffp-7f, 0x07, 0x1.cp-7f},
      {0x1.ep-7f, 0x08, 0x1p-6f},  // between the largest subnormal and the smallest normal number
      {1.0f, 0x38, 1.0f},
      {1.0625f, 0x38, 1.0f},  // a tie, to even
      {0x1.100002p0f, 0x39, 1.125f},
      {1.1875f, 0x3a, 1.25f},   // a tie, to even
      {-1.9375f, 0xc0, -2.0f},  // a tie that carries into the exponent
      {240.0f, 0x77, 240.0f},
      {247.9f, 0x77, 240.0f},
      {248.0f, 0x78, 256.0f},
      {432.0f, 0x7e, 448.0f},
      {448.0f, 0x7e, 448.0f},
      {464.0f, 0x7e, 448.0f},
      {-464.1f, 0xfe, -448.0f},
      {1e30f, 0x7e, 448.0f},
      {inf, 0x7e, 448.0f},
      {-inf, 0xfe, -448.0f},
      {nan, 0x7f, nan},
      {-nan, 0xff, nan},
  };
  for (const Edge& edge : edges) {
    std::byte code{};
    float out = -1;
    QuantiseRow(DType::kF8_E4M3, &edge.in, &code, 1);
    EXPECT_EQ(static_cast<int>(code), edge.code) << edge.in;
    DequantiseRow(DType::kF8_E4M3, &code, &out, 1);
    if (std::isnan(edge.out))
      EXPECT_TRUE(std::isnan(out)) << edge.in;
    else
      EXPECT_EQ(std::bit_cast<std::uint32_t>(out), std::bit_cast<std::uint32_t>(edge.out)) << edge.in;
  }
}

// Every code by the definition of the format, and every midpoint between neighbours and what is beside it.
TEST(Quant, EightBitFloatsRoundToTheNearest) {
  const auto value = [](int code) {
    const int exponent = code >> 3, mantissa = code & 7;
    return std::ldexp(exponent == 0 ? mantissa : 8 + mantissa, std::max(exponent, 1) - 10);
  };
  const auto code_of = [](double x) {
    const auto in = static_cast<float>(x);
    std::byte code{};
    QuantiseRow(DType::kF8_E4M3, &in, &code, 1);
    return static_cast<int>(code);
  };
  for (int code = 0; code < 0x7f; ++code) {
    const std::byte stored{static_cast<unsigned char>(code)};
    float out = -1;
    DequantiseRow(DType::kF8_E4M3, &stored, &out, 1);
    EXPECT_EQ(out, value(code)) << code;
    EXPECT_EQ(code_of(value(code)), code);
    if (code == 0x7e) continue;
    const auto middle = static_cast<float>((value(code) + value(code + 1)) / 2);
    EXPECT_EQ(code_of(middle), code % 2 == 0 ? code : code + 1) << code;
    EXPECT_EQ(code_of(std::nextafter(middle, 0.0f)), code) << code;
    EXPECT_EQ(code_of(std::nextafter(middle, 1000.0f)), code + 1) << code;
    EXPECT_EQ(code_of(-value(code)), code | 0x80);
  }
}

TEST(Quant, EightBitFloatsHaveNoTypeInGguf) {
  for (const std::uint32_t id : {0xffffffffu, 0x80000000u, 20u + 1000u}) EXPECT_FALSE(DTypeFromGgml(id)) << id;
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
