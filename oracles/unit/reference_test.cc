// The reference decoders' formulas in closed form, and what a decoder promises its caller. Whether the programs are
// right is decided by recorded traces: see suites/golden.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "engine/model/presets.h"
#include "engine/weights/synthetic.h"
#include "oracles/compare/tensors.h"
#include "oracles/reference/arithmetic.h"
#include "oracles/reference/decoder.h"
#include "oracles/reference/formulas.h"

namespace assay {
namespace {

using Vec = std::vector<double>;

TEST(ReferenceFormulas, RmsNormalisesEachRun) {
  // mean square 12.5 and 2; eps 0.
  const Vec x = Rms<double>({3, 4, 2, 0}, {1, 10}, 2, 0.0f);
  EXPECT_DOUBLE_EQ(x[0], 3 / std::sqrt(12.5));
  EXPECT_DOUBLE_EQ(x[1], 40 / std::sqrt(12.5));
  EXPECT_DOUBLE_EQ(x[2], 2 / std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(Rms<double>({0, 0}, {}, 1.0f)[0], 0);
  EXPECT_DOUBLE_EQ(Rms<double>({1, 1}, {}, 3.0f)[0], 0.5) << "eps is added to the mean, under the root";
}

TEST(ReferenceFormulas, Activations) {
  EXPECT_NEAR(Activate(Activation::kSilu, 1.0), 0.7310585786, 1e-10);
  EXPECT_NEAR(Activate(Activation::kGeluTanh, 1.0), 0.8411919906, 1e-10);
  EXPECT_NEAR(Activate(Activation::kGeluTanh, -0.5), -0.1542859902, 1e-10);
  EXPECT_EQ(Activate(Activation::kSilu, 0.0), 0);
}

TEST(ReferenceFormulas, GeluByATableOf16BitFloats) {
  EXPECT_EQ(GeluByTable(-10.0), 0);
  EXPECT_EQ(GeluByTable(10.5), 10.5);
  EXPECT_EQ(GeluByTable(1.0), 1723 * 0x1p-11) << "0.84119 to the nearest of 11 bits";
  EXPECT_EQ(GeluByTable(1.0 + 0x1p-12), GeluByTable(1.0)) << "the argument is one of 16 bits too";
  EXPECT_EQ(Gated<double>(Activation::kSilu, {1.0}, {2.0}, true), Gated<double>(Activation::kSilu, {1.0}, {2.0}));
}

TEST(ReferenceFormulas, ActivationsAreRoundedAsTheMatrixIsStored) {
  TwinArithmetic arithmetic = DType::kF32;
  std::vector<float> x(300, 0.4f);
  x[0] = 127, x[1] = 0.6f, x[40] = 0x1p-30f, x[299] = 1 + 0x1p-12f;
  const auto rounded = [&](DType stored) { return Rounded{arithmetic}.For({1, 1, 300, {}, stored}, x); };
  EXPECT_EQ(rounded(DType::kQ8_0), x) << "as operands, which are float32";
  arithmetic.activations = ActivationRounding::kByWeight;
  const std::vector<float> q8 = rounded(DType::kQ4_0), q8k = rounded(DType::kQ6_K);
  EXPECT_EQ(q8[0], 127) << "the largest of a block stands for 127, with a scale of 1 here";
  EXPECT_EQ(q8[1], 1);
  EXPECT_EQ(q8[2], 0);
  EXPECT_NEAR(q8[41], 0.4f, 0.4f / 1024) << "a block of 32 later: a scale of 16 bits";
  EXPECT_NE(q8[41], 0.4f);
  EXPECT_EQ(q8k[41], 0) << "the block is of 256";
  EXPECT_NEAR(q8k[270], 0.4f, 0.004f);
  EXPECT_EQ(rounded(DType::kF16)[299], 1);
  EXPECT_EQ(rounded(DType::kF32), x);
  arithmetic.activations = ActivationRounding::kQ8K;
  EXPECT_EQ(rounded(DType::kQ4_0), q8k);
  EXPECT_EQ(Rounded{arithmetic}.For({1, 1, 2, {}, DType::kQ8_0}, {0, 0}), (std::vector<float>{0, 0}));
}

TEST(ReferenceFormulas, CacheAndStreamHaveTypesOfTheirOwn) {
  const std::vector<float> x{1 + 0x1p-12f}, half{1};
  TwinArithmetic arithmetic = DType::kF32;
  EXPECT_EQ(Rounded{arithmetic}.Stored(x), x);
  EXPECT_EQ(Rounded{arithmetic}.Attended(x), x);
  EXPECT_EQ(Rounded{arithmetic}.Stream(x), x);
  EXPECT_EQ(Describe(arithmetic), "fp32");
  arithmetic.cache = DType::kF16;
  EXPECT_EQ(Rounded{arithmetic}.Stored(x), half);
  EXPECT_EQ(Rounded{arithmetic}.Attended(x), half);
  EXPECT_EQ(Rounded{arithmetic}.Operand(x), x);
  arithmetic.stream = DType::kBF16;
  EXPECT_EQ(Rounded{arithmetic}.Stream(x), half);
  arithmetic.gelu_table = true;
  EXPECT_EQ(Describe(arithmetic), "fp32, cache fp16, stream bf16, gelu by a table of fp16");
}

TEST(ReferenceFormulas, KeysAndValuesOfEightBitsAreRoundedOnceAndNothingElseIs) {
  // Just above the middle of 1 and 1.125: bf16 makes it the middle, which goes to the even 1.
  const std::vector<float> x{1.0625f + 0x1p-12f};
  for (const Precision mode : {Precision::kFp32Fp8Kv, Precision::kFp16Fp8Kv, Precision::kBf16Fp8Kv})
    EXPECT_EQ(Rounded{mode}.Stored(x), (std::vector<float>{1.125f})) << Name(mode);
  EXPECT_EQ(Rounded{Precision::kFp32Fp8Kv}.Attended(x), x);
  EXPECT_EQ(Rounded{Precision::kBf16Fp8Kv}.Operand(x), (std::vector<float>{1.0625f}));
  EXPECT_EQ(Describe(Precision::kBf16Fp8Kv), "bf16, cache fp8");
}

TEST(ReferenceFormulas, RopeTurnsHalfSplitPairsOfEveryHead) {
  const RopeSpec rope{10000, {static_cast<float>(M_PI / 2), 0.0f}};
  const Vec x = Rope<double>({1, 2, 3, 4, 5, 6, 7, 8}, rope, 1);
  const Vec expected{-3, 2, 1, 4, -7, 6, 5, 8};  // (1,3) -> (-3,1), (5,7) -> (-7,5); the second pair does not rotate
  for (std::size_t i = 0; i < 8; ++i) EXPECT_NEAR(x[i], expected[i], 1e-6) << i;
  EXPECT_EQ(Rope<double>({1, 2, 3, 4}, rope, 0), (Vec{1, 2, 3, 4}));
}

TEST(ReferenceFormulas, SoftcapAndSoftmax) {
  EXPECT_DOUBLE_EQ(Softcap(45.0, 30.0f), 30 * std::tanh(1.5));
  EXPECT_DOUBLE_EQ(Softcap(45.0, 0.0f), 45.0);
  Vec s{1000, 1000 + std::log(3.0), -std::numeric_limits<double>::infinity()};
  Softmax(s);
  EXPECT_NEAR(s[0], 0.25, 1e-12);
  EXPECT_NEAR(s[1], 0.75, 1e-12);
  EXPECT_EQ(s[2], 0);
}

TEST(ReferenceFormulas, TheMaskCountsTheQueryItself) {
  for (int query = 0; query < 12; ++query)
    for (int key = 0; key < 12; ++key) {
      EXPECT_EQ(Visible(query, key, 0), key <= query);
      EXPECT_EQ(Visible(query, key, 4), key <= query && key > query - 4);
    }
  EXPECT_TRUE(Visible(7, 7, 1));
  EXPECT_FALSE(Visible(7, 6, 1));
}

TEST(ReferenceFormulas, AttentionAveragesWhatItsHeadMaySee) {
  // Two query heads per kv head; equal scores, so the output is the mean of the visible values.
  const LayerSpec layer{.kind = LayerKind::kSliding, .window = 2, .heads = 4, .kv_heads = 2, .head_dim = 2};
  History<double> history;
  for (int p = 0; p < 4; ++p) history.Write(p, {0, 0, 0, 0}, {1.0 * p, 10.0 * p, 100.0 * p, 1000.0 * p});
  const Vec o = Attend<double>(Vec(8, 1.0), history, 3, layer, 1.0f);
  const Vec expected{2.5, 25, 2.5, 25, 250, 2500, 250, 2500};
  for (std::size_t i = 0; i < 8; ++i) EXPECT_DOUBLE_EQ(o[i], expected[i]) << i;
}

TEST(ReferenceFormulas, AttentionScalesScores) {
  const LayerSpec layer{.heads = 1, .kv_heads = 1, .head_dim = 2};
  History<double> history;
  history.Write(0, {std::log(3.0), 0}, {1, 0});
  history.Write(1, {0, 5}, {0, 1});
  const Vec o = Attend<double>({2, 0}, history, 1, layer, 0.5f);
  EXPECT_NEAR(o[0], 0.75, 1e-12);
  EXPECT_NEAR(o[1], 0.25, 1e-12);
}

TEST(ReferenceHistory, WritingAgainForgetsWhatFollowed) {
  History<double> history;
  for (int p = 0; p < 3; ++p) history.Write(p, {1.0 * p}, {10.0 * p});
  history.Write(1, {7}, {70});
  EXPECT_EQ(*history.Key(0), 0);
  EXPECT_EQ(*history.Key(1), 7);
  EXPECT_EQ(*history.Value(1), 70);
  history.Write(2, {8}, {80});
  EXPECT_EQ(*history.Value(2), 80);
}

TEST(ReferenceArithmetic, TheTwinRoundsToItsTypeAndTheReferenceDoesNot) {
  const float x = 1.0f + 0x1p-8f + 0x1p-20f;
  EXPECT_EQ(Rounded{DType::kBF16}.Operand({x})[0], 1.0f + 0x1p-7f) << "above the middle of two bf16 values";
  EXPECT_EQ(Rounded{DType::kF16}.Operand({x})[0], 1.0f + 0x1p-8f);
  EXPECT_EQ(Rounded{DType::kF32}.Operand({x})[0], x);
  EXPECT_EQ(Exact{}.Operand({0.1})[0], 0.1);
}

TEST(ReferenceLinear, MultipliesAnyShapeAndExpert) {
  for (const std::int64_t rows : {1, 3, 4, 5, 9})
    for (const std::int64_t cols : {1, 7, 16, 33}) {
      Matrix w{2, rows, cols, {}};
      for (std::int64_t i = 0; i < 2 * rows * cols; ++i) w.values.push_back(static_cast<float>(i % 17 - 8));
      Vec x;
      for (std::int64_t i = 0; i < cols; ++i) x.push_back(static_cast<double>(i % 5 - 2));
      const Vec out = Multiply(w, x, 1);
      ASSERT_EQ(static_cast<std::int64_t>(out.size()), rows);
      for (std::int64_t r = 0; r < rows; ++r) {
        double sum = 0;
        for (std::int64_t c = 0; c < cols; ++c) sum += w.Row(rows + r)[c] * x[static_cast<std::size_t>(c)];
        EXPECT_EQ(out[static_cast<std::size_t>(r)], sum) << rows << "x" << cols << " row " << r;
      }
    }
}

// --- decoders, on synthetic tiny models of every shape ---

class ReferenceDecoders : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<WeightStore> store_ = OpenModel(GetParam(), 7);
  std::unique_ptr<ReferenceDecoder> Make(const ReferenceOptions& options = {}) const {
    return MakeReference(*store_, options);
  }
  std::vector<std::int32_t> Tokens(int count, int stride) const {
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < count; ++i) tokens.push_back((3 + i * stride) % store_->spec().vocab);
    return tokens;
  }
};

std::vector<std::string> TinyPresets() {
  std::vector<std::string> tiny;
  for (const std::string& name : PresetNames())
    if (name.starts_with("tiny-")) tiny.push_back(name);
  return tiny;
}

INSTANTIATE_TEST_SUITE_P(, ReferenceDecoders, testing::ValuesIn(TinyPresets()), [](const auto& param) {
  std::string name = param.param;
  for (char& c : name)
    if (c == '-' || c == '.') c = '_';
  return name;
});

TEST_P(ReferenceDecoders, RefuseTokensOutsideTheVocabularyAndStayAsTheyWere) {
  const auto decoder = Make();
  decoder->Step(1);
  for (const std::int32_t token : {-1, store_->spec().vocab, std::numeric_limits<std::int32_t>::max()}) {
    try {
      decoder->Step(token);
      ADD_FAILURE() << token;
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(std::to_string(token)), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(std::to_string(store_->spec().vocab)), std::string::npos)
          << error.what();
    }
  }
  EXPECT_EQ(decoder->length(), 1);
  EXPECT_THROW(decoder->Prefill({}), InputError);
  EXPECT_THROW(decoder->Truncate(2), InputError);
  EXPECT_THROW(decoder->Truncate(-1), InputError);
}

TEST_P(ReferenceDecoders, TruncateForkAndSkipChangeNothing) {
  const std::vector<std::int32_t> text = Tokens(40, 5), junk = Tokens(9, 11);
  const auto straight = Make(), detour = Make();
  const ReferenceStep expected = straight->Prefill(text);
  for (int i = 0; i < 25; ++i) detour->Step(text[static_cast<std::size_t>(i)]);
  const auto fork = detour->Fork();
  detour->Prefill(junk);
  detour->Truncate(25);
  fork->Prefill(junk);
  const ReferenceStep found = detour->Prefill(std::span(text).subspan(25));
  EXPECT_EQ(JudgeBits(expected.raw, found.raw, "raw").verdict, Verdict::kMatch);
  EXPECT_EQ(JudgeBits(expected.capped, found.capped, "capped").verdict, Verdict::kMatch);
  EXPECT_EQ(detour->length(), 40);
  EXPECT_EQ(fork->length(), 34);
}

TEST_P(ReferenceDecoders, EveryTokenMattersAndLogitsAreFinite) {
  std::vector<std::int32_t> text = Tokens(12, 5);
  const ReferenceStep before = Make()->Prefill(text);
  const Difference finite = Compare(before.raw, before.raw);
  EXPECT_EQ(finite.nonfinite, 0u);
  EXPECT_EQ(static_cast<int>(finite.count), store_->spec().vocab);
  for (const std::size_t at : {std::size_t{9}, std::size_t{11}}) {
    std::vector<std::int32_t> other = text;
    other[at] = (other[at] + 1) % store_->spec().vocab;
    EXPECT_GT(Compare(before.raw, Make()->Prefill(other).raw).max_abs, 1e-6) << at;
  }
}

TEST_P(ReferenceDecoders, KeepHiddenInTheOrderOfTransformers) {
  const auto decoder = Make({.keep_hidden = true, .twin = {}});
  const ReferenceStep step = decoder->Prefill(Tokens(3, 5));
  ASSERT_EQ(static_cast<int>(step.hidden.size()), store_->spec().layer_count() + 1);
  for (const Vec& entry : step.hidden) EXPECT_EQ(static_cast<int>(entry.size()), store_->spec().hidden);
  EXPECT_EQ(Make()->Prefill(Tokens(3, 5)).hidden.size(), 0u);
}

TEST_P(ReferenceDecoders, TwinsAreCloseByTheirPrecision) {
  const std::vector<std::int32_t> text = Tokens(20, 5);
  const Vec exact = Make()->Prefill(text).raw;
  const auto rms = [&](DType type) { return Compare(exact, Make({.twin = type})->Prefill(text).raw).rms; };
  const double fp32 = rms(DType::kF32), fp16 = rms(DType::kF16), bf16 = rms(DType::kBF16);
  EXPECT_GT(fp32, 0);
  EXPECT_LT(fp32, 1e-3);
  EXPECT_GT(fp16, fp32);
  EXPECT_GT(bf16, fp16);
}

TEST(ReferenceDecoder, RefusesWhatNeitherProgramCovers) {
  EXPECT_THROW(Describe(ReferenceOptions{.twin = DType::kQ8_0}), InputError);
  EXPECT_EQ(Describe(ReferenceOptions{.twin = DType::kBF16}), "bf16 twin");
  EXPECT_EQ(Describe(ReferenceOptions{}), "float64 reference");
  // A spec of a dense family with experts or a value norm.
  ModelSpec spec = Preset("tiny-qwen3");
  spec.v_norm = true;
  EXPECT_THROW(MakeReference(*OpenSynthetic(spec, 1)), InputError);
}

}  // namespace
}  // namespace assay
