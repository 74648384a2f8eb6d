// Presets against published parameter counts, and facts of the dense families as literals.
#include "engine/model/presets.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "engine/base/check.h"
#include "engine/model/tensors.h"

namespace assay {
namespace {

double Parameters(const ModelSpec& spec) {
  double count = 0;
  for (const TensorEntry& entry : Catalogue(spec)) count += static_cast<double>(entry.elements());
  return count;
}

// Published figures, to the digits they are published with. E2B and E4B without the K/V that their shared layers never
// read.
TEST(Presets, ParameterCountsAreThePublishedOnes) {
  const std::map<std::string, std::pair<double, double>> published = {
      {"gemma4-e2b", {4.629e9, 1e6}},      {"gemma4-e4b", {7.46e9, 1e7}},    {"gemma4-12b", {1.1907e10, 1e6}},
      {"gemma4-26b-a4b", {2.523e10, 1e7}}, {"gemma4-31b", {3.070e10, 1e7}},  {"llama-2-7b", {6.738e9, 1e6}},
      {"llama-3.1-8b", {8.030e9, 1e6}},    {"llama-3.2-1b", {1.236e9, 1e6}}, {"mistral-7b", {7.242e9, 1e6}},
      {"mistral-nemo", {1.225e10, 1e7}},   {"qwen2.5-0.5b", {0.494e9, 1e6}}, {"qwen2.5-7b", {7.616e9, 1e6}},
      {"qwen3-0.6b", {0.596e9, 1e6}},      {"qwen3-8b", {8.191e9, 1e6}},     {"gemma3-270m", {268.1e6, 1e5}},
      {"gemma3-1b", {999.9e6, 1e5}},       {"gemma3-4b", {3.880e9, 1e6}},    {"gemma3-27b", {2.701e10, 1e7}},
      {"smollm2-135m", {134.5e6, 1e5}},    {"smollm2-360m", {361.8e6, 1e5}}, {"smollm2-1.7b", {1.711e9, 1e6}},
  };
  for (const std::string& name : PresetNames()) {
    if (name.starts_with("tiny-")) continue;
    ASSERT_TRUE(published.contains(name)) << name << " has no published figure here";
    EXPECT_NEAR(Parameters(Preset(name)), published.at(name).first, published.at(name).second) << name;
  }
}

// GGUF files of these hold 541, 666, 667, 658 and 833 tensors: the catalogue and rope_freqs, which the loader turns
// into the spec. The optional ones (layer scalars, expert scales) are in all of them.
TEST(Presets, Gemma4TensorCountsAreThePublishedOnes) {
  const std::map<std::string, std::size_t> published = {
      {"gemma4-e2b", 541}, {"gemma4-e4b", 666}, {"gemma4-12b", 667}, {"gemma4-26b-a4b", 658}, {"gemma4-31b", 833}};
  for (const auto& [name, count] : published) EXPECT_EQ(Catalogue(Preset(name)).size() + 1, count) << name;
}

TEST(Presets, DenseFacts) {
  struct Row {
    const char* name;
    int layers, heads, kv_heads, head_dim, window;
    double theta, attn_scale;
    bool tied, bias, qk_norm, post_norms;
    float eps;
  };
  const double d64 = 1 / 8.0, d128 = 1 / std::sqrt(128.0), d256 = 1 / 16.0;
  for (const Row& row : {
           Row{"llama-2-7b", 32, 32, 32, 128, 0, 1e4, d128, false, false, false, false, 1e-5f},
           Row{"llama-3.1-8b", 32, 32, 8, 128, 0, 5e5, d128, false, false, false, false, 1e-5f},
           Row{"llama-3.2-1b", 16, 32, 8, 64, 0, 5e5, d64, true, false, false, false, 1e-5f},
           Row{"mistral-7b", 32, 32, 8, 128, 4096, 1e4, d128, false, false, false, false, 1e-5f},
           Row{"mistral-nemo", 40, 32, 8, 128, 0, 1e6, d128, false, false, false, false, 1e-5f},
           Row{"qwen2.5-0.5b", 24, 14, 2, 64, 0, 1e6, d64, true, true, false, false, 1e-6f},
           Row{"qwen2.5-7b", 28, 28, 4, 128, 0, 1e6, d128, false, true, false, false, 1e-6f},
           Row{"qwen3-0.6b", 28, 16, 8, 128, 0, 1e6, d128, true, false, true, false, 1e-6f},
           Row{"qwen3-8b", 36, 32, 8, 128, 0, 1e6, d128, false, false, true, false, 1e-6f},
           Row{"gemma3-270m", 18, 4, 1, 256, 512, 1e4, d256, true, false, true, true, 1e-6f},
           Row{"gemma3-27b", 62, 32, 16, 128, 1024, 1e4, 1 / std::sqrt(168.0), true, false, true, true, 1e-6f},
           Row{"smollm2-135m", 30, 9, 3, 64, 0, 1e5, d64, true, false, false, false, 1e-5f},
       }) {
    SCOPED_TRACE(row.name);
    const ModelSpec spec = Preset(row.name);
    ASSERT_EQ(spec.layer_count(), row.layers);
    const LayerSpec& first = spec.layers[0];
    EXPECT_EQ(first.heads, row.heads);
    EXPECT_EQ(first.kv_heads, row.kv_heads);
    EXPECT_EQ(first.head_dim, row.head_dim);
    EXPECT_EQ(first.window, row.window);
    EXPECT_EQ(spec.ropes[first.rope].theta, row.theta);
    EXPECT_FLOAT_EQ(spec.attn_scale, static_cast<float>(row.attn_scale));
    EXPECT_EQ(spec.tied_head, row.tied);
    EXPECT_EQ(spec.qkv_bias, row.bias);
    EXPECT_EQ(spec.qk_norm, row.qk_norm);
    EXPECT_EQ(spec.post_norms, row.post_norms);
    EXPECT_EQ(spec.norm_eps, row.eps);
    EXPECT_FALSE(spec.v_norm || spec.layer_scalar);
    for (int l = 0; l < spec.layer_count(); ++l) EXPECT_TRUE(spec.OwnsKv(l));
  }
}

TEST(Presets, Gemma3FullLayersAreEverySixthAndTheLastMaySlide) {
  const ModelSpec spec = Preset("gemma3-4b");
  for (int l = 0; l < 34; ++l) {
    const bool full = l == 5 || l == 11 || l == 17 || l == 23 || l == 29;
    const LayerSpec& layer = spec.layers[l];
    EXPECT_EQ(layer.kind == LayerKind::kFull, full) << l;
    const RopeSpec& rope = spec.ropes[layer.rope];
    EXPECT_EQ(rope.theta, full ? 1e6 : 1e4) << l;
    EXPECT_FLOAT_EQ(rope.inv_freq[0], full ? 0.125f : 1.0f) << l;
  }
}

// What a tiny preset is for: the features of its family at sizes that a host test runs in milliseconds, windows that
// wrap early.
TEST(Presets, TinyOnesAreSmallAndHaveTheFeatures) {
  int tiny = 0;
  for (const std::string& name : PresetNames()) {
    if (!name.starts_with("tiny-")) continue;
    ++tiny;
    const ModelSpec spec = Preset(name);
    EXPECT_LT(Parameters(spec), 3e5) << name;
    for (const LayerSpec& layer : spec.layers) {
      EXPECT_GT(layer.heads, layer.kv_heads) << name;
      EXPECT_TRUE(layer.kind == LayerKind::kFull || (layer.window >= 5 && layer.window <= 8)) << name;
    }
  }
  EXPECT_EQ(tiny, 8);
  EXPECT_GT(Preset("tiny-gemma4-ple").ple_width, 0);
  EXPECT_FALSE(Preset("tiny-gemma4-ple").OwnsKv(9));
  EXPECT_EQ(Preset("tiny-gemma4-ple").layers[9].ffn, 2 * Preset("tiny-gemma4-ple").layers[0].ffn);
  EXPECT_TRUE(Preset("tiny-gemma4-keqv").layers.back().value_is_key);
  EXPECT_GT(Preset("tiny-gemma4-moe").layers[0].experts, 0);
  EXPECT_EQ(Preset("tiny-mistral").layers.back().kind, LayerKind::kSliding);
  EXPECT_TRUE(Preset("tiny-qwen2").qkv_bias);
}

TEST(Presets, AnUnknownNameListsTheKnownOnes) {
  EXPECT_FALSE(IsPreset("gemma5"));
  try {
    Preset("gemma5");
    FAIL();
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("gemma4-31b"), std::string::npos);
  }
}

}  // namespace
}  // namespace assay
