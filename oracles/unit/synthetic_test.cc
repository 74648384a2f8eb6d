// Synthetic weights: reproducible bit by bit, and good enough that "the argmax is equal" says something about a
// decoder.
#include "engine/weights/synthetic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>
#include <set>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/half.h"
#include "engine/base/random.h"
#include "engine/model/presets.h"
#include "oracles/reference/decoder.h"

namespace assay {
namespace {

std::vector<std::string> TinyPresets() {
  std::vector<std::string> names = PresetNames();
  std::erase_if(names, [](const std::string& name) { return !name.starts_with("tiny-"); });
  return names;
}

TEST(Synthetic, ValuesAreTheRecipesBits) {
  const auto store = OpenModel("tiny-gemma4-moe", 3);
  for (const TensorEntry& entry : Catalogue(store->spec())) {
    SCOPED_TRACE(Name(entry.key));
    const HostTensor tensor = store->Load(entry.key), recipe = store->Load(entry.key, true);
    ASSERT_TRUE(tensor.fill && recipe.fill);
    EXPECT_EQ(recipe.data, nullptr);
    EXPECT_EQ(recipe.bytes, tensor.bytes);
    EXPECT_EQ(tensor.type, entry.rows > 1 ? DType::kBF16 : DType::kF32);
    for (std::int64_t i = 0; i < entry.elements(); ++i) {
      const volatile float product =
          tensor.fill->scale * RandomNormalish(tensor.fill->key, static_cast<std::uint64_t>(i));
      const float value = tensor.fill->offset + product;
      if (tensor.type == DType::kBF16) {
        std::uint16_t bits = 0;
        std::memcpy(&bits, tensor.data.get() + 2 * i, 2);
        ASSERT_EQ(bits, ToBF16(value).bits) << i;
      } else {
        float stored = 0;
        std::memcpy(&stored, tensor.data.get() + 4 * i, 4);
        ASSERT_EQ(stored, value) << i;
      }
    }
    EXPECT_EQ(ToFloats(tensor), ToFloats(recipe));
  }
}

TEST(Synthetic, SeedsAndTensorsDiffer) {
  const auto a = OpenModel("tiny-llama", 1), again = OpenModel("tiny-llama", 1), b = OpenModel("tiny-llama", 2);
  EXPECT_EQ(a->Identity(), again->Identity());
  EXPECT_NE(a->Identity(), b->Identity());
  std::set<std::uint64_t> keys;
  for (const TensorEntry& entry : Catalogue(a->spec())) {
    EXPECT_EQ(a->Load(entry.key, true).fill->key, again->Load(entry.key, true).fill->key);
    EXPECT_NE(a->Load(entry.key, true).fill->key, b->Load(entry.key, true).fill->key);
    EXPECT_TRUE(keys.insert(a->Load(entry.key, true).fill->key).second) << Name(entry.key);
  }
  EXPECT_THROW(a->Load({Role::kRouter, 0}), InputError);
}

TEST(Synthetic, TheLargestPresetOpensAndTellsItsBytesWithoutMakingThem) {
  const auto store = OpenModel("gemma4-31b");
  std::size_t bytes = 0;
  for (const StoredTensorInfo& info : store->Listing()) bytes += info.bytes;
  EXPECT_NEAR(static_cast<double>(bytes), 2 * 3.070e10, 2e8);
  EXPECT_EQ(store->Load({Role::kDown, 59}, true).data, nullptr);
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

double Std(const std::vector<double>& values) {
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  double square = 0;
  for (const double value : values) square += (value - mean) * (value - mean);
  return std::sqrt(square / static_cast<double>(values.size()));
}

struct Behaviour {
  double logit_std = 0;        // mean over positions
  double largest_capped = 0;   // |logit| after the softcap
  double median_gap = 0;       // between the best and the second best
  double median_rounding = 0;  // largest logit distance of a decoder that rounds to bf16, per position
  int repeats = 0;             // positions whose argmax is the input token
  int flips = 0;               // positions where rounding to bf16 changes the argmax
  std::size_t distinct = 0;    // greedy tokens
  double hidden_rms = 0;       // largest of the residual stream
};

constexpr int kPrompt = 16, kGreedy = 32;

Behaviour Observe(const ModelSpec& spec, std::uint64_t seed) {
  const auto store = OpenSynthetic(spec, seed);
  const auto exact = MakeReference(*store, {.keep_hidden = true, .twin = {}});
  const auto rounded = MakeReference(*store, {.keep_hidden = false, .twin = DType::kBF16});
  Behaviour seen;
  std::vector<double> gaps, rounding;
  std::set<std::size_t> greedy;
  std::int32_t token = 3;
  for (int i = 0; i < kPrompt + kGreedy; ++i) {
    const ReferenceStep step = exact->Step(token), other = rounded->Step(token);
    std::vector<double> sorted = step.raw;
    std::nth_element(sorted.begin(), sorted.begin() + 1, sorted.end(), std::greater<>());
    gaps.push_back(sorted[0] - sorted[1]);
    double distance = 0;
    for (std::size_t v = 0; v < step.raw.size(); ++v)
      distance = std::max(distance, std::abs(step.raw[v] - other.raw[v]));
    rounding.push_back(distance);
    for (const double logit : step.capped) seen.largest_capped = std::max(seen.largest_capped, std::abs(logit));
    for (std::size_t l = 0; l + 1 < step.hidden.size(); ++l)
      seen.hidden_rms = std::max(seen.hidden_rms, Std(step.hidden[l]));
    seen.logit_std += Std(step.raw) / (kPrompt + kGreedy);
    const auto best = std::max_element(step.raw.begin(), step.raw.end()) - step.raw.begin();
    seen.flips += best != std::max_element(other.raw.begin(), other.raw.end()) - other.raw.begin();
    seen.repeats += best == token;
    if (i >= kPrompt) greedy.insert(best);
    token = i >= kPrompt - 1 ? static_cast<std::int32_t>(best) : (token * 37 + 11 * i + 5) % spec.vocab;
  }
  seen.median_gap = Median(gaps);
  seen.median_rounding = Median(rounding);
  seen.distinct = greedy.size();
  return seen;
}

// The criterion: logits spread like a trained model's and do not touch the cap; the lead of the best token is several
// times what bf16 arithmetic moves a logit by, and rounding rarely changes it; greedy text neither repeats its input
// nor sticks to a few tokens. The last two over all seeds: any fixed map of V tokens has about one token that leads to
// itself, and a seed may meet it.
TEST(Synthetic, LogitsAreDecisive) {
  for (const std::string& name : TinyPresets()) {
    constexpr int kSeeds = 4, kSteps = kPrompt + kGreedy;
    int repeats = 0;
    std::size_t distinct = 0;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
      SCOPED_TRACE(name + " seed " + std::to_string(seed));
      const Behaviour seen = Observe(Preset(name), seed);
      EXPECT_GT(seen.logit_std, 4.0);
      EXPECT_LT(seen.logit_std, 6.0);
      EXPECT_LT(seen.largest_capped, 25.0);
      EXPECT_GT(seen.median_gap, 3 * seen.median_rounding);
      EXPECT_LE(seen.flips, kSteps / 8);
      EXPECT_GT(seen.hidden_rms, 0.1);
      EXPECT_LT(seen.hidden_rms, 30.0);
      repeats += seen.repeats;
      distinct += seen.distinct;
    }
    EXPECT_LE(repeats, kSeeds * kSteps / 4) << name;
    EXPECT_GE(distinct, kSeeds * 8u) << name;
  }
}

// As deep as the largest models: parts must neither die out nor grow.
TEST(Synthetic, LogitsStayDecisiveThroughSixtyLayers) {
  for (const char* name : {"tiny-gemma4-keqv", "tiny-gemma3", "tiny-llama", "tiny-qwen3"}) {
    ModelSpec spec = Preset(name);
    const std::vector<LayerSpec> pattern = spec.layers;
    spec.layers.clear();
    for (int l = 0; l < 60; ++l) {
      spec.layers.push_back(pattern[static_cast<std::size_t>(l) % pattern.size()]);
      spec.layers.back().kv_source = l;
    }
    const Behaviour seen = Observe(spec, 1);
    SCOPED_TRACE(name);
    EXPECT_GT(seen.logit_std, 4.0);
    EXPECT_LT(seen.logit_std, 6.5);
    EXPECT_GT(seen.median_gap, 2 * seen.median_rounding);
    EXPECT_LT(seen.hidden_rms, 40.0);
  }
}

// Attention matters: swapping two earlier tokens (same multiset of keys, other positions) and changing one token both
// move the logits far beyond rounding, in every family. Uniform attention would not see the first, attention to one key
// rarely the second.
TEST(Synthetic, PositionsAndEachNearTokenMatter) {
  for (const std::string& name : TinyPresets()) {
    SCOPED_TRACE(name);
    const auto store = OpenModel(name, 5);
    const auto logits = [&](const std::vector<std::int32_t>& tokens) {
      return MakeReference(*store)->Prefill(tokens).raw;
    };
    const auto distance = [](const std::vector<double>& a, const std::vector<double>& b) {
      double largest = 0;
      for (std::size_t v = 0; v < a.size(); ++v) largest = std::max(largest, std::abs(a[v] - b[v]));
      return largest;
    };
    const std::vector<std::int32_t> tokens{4, 17, 8, 42, 23, 71, 55, 9};
    const std::vector<double> base = logits(tokens);
    std::vector<std::int32_t> swapped = tokens;
    std::swap(swapped[4], swapped[5]);
    EXPECT_GT(distance(base, logits(swapped)), 1.0);
    for (const std::size_t at : {4u, 5u, 6u}) {
      std::vector<std::int32_t> changed = tokens;
      changed[at] = 66;
      EXPECT_GT(distance(base, logits(changed)), 1.0) << at;
    }
  }
}

}  // namespace
}  // namespace assay
