// Literal per-layer tables of the publishers' models, and what ValidateSpec refuses.
#include "engine/model/spec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "engine/model/gemma4.h"
#include "engine/model/presets.h"
#include "engine/model/rope.h"
#include "engine/testing/complaint.h"

namespace assay {
namespace {

TEST(Rope, DefaultIsThePowerRule) {
  const std::vector<float> inv = RopeFrequencies(10000.0, 8);
  ASSERT_EQ(inv.size(), 4u);
  EXPECT_EQ(inv[0], 1.0f);
  EXPECT_FLOAT_EQ(inv[1], 0.1f);
  EXPECT_FLOAT_EQ(inv[2], 0.01f);
  EXPECT_FLOAT_EQ(inv[3], 0.001f);
  EXPECT_EQ(MakeRope({}, 8).inv_freq, inv);
}

TEST(Rope, ProportionalRotatesAQuarterOfTheHeadWithTheWholeHeadsExponent) {
  const RopeSpec rope = MakeRope({.rule = RopeRule::kProportional, .theta = 1e6, .partial = 0.25}, 512);
  ASSERT_EQ(rope.inv_freq.size(), 256u);
  for (int d = 0; d < 256; ++d) {
    const float expected = d < 64 ? static_cast<float>(std::pow(1e6, -2.0 * d / 512)) : 0.0f;
    EXPECT_EQ(rope.inv_freq[d], expected) << d;
  }
}

TEST(Rope, Llama3KeepsShortDividesLongAndJoinsBetween) {
  const RopeSpec rope =
      MakeRope({.rule = RopeRule::kLlama3, .theta = 5e5, .factor = 8, .low = 1, .high = 4, .original = 8192}, 128);
  const std::vector<float> plain = RopeFrequencies(5e5, 128);
  EXPECT_EQ(rope.inv_freq[0], plain[0]);
  EXPECT_FLOAT_EQ(rope.inv_freq[63], plain[63] / 8);
  int between = 0;
  for (std::size_t d = 0; d < 64; ++d) {
    const double wavelength = 2 * M_PI / static_cast<double>(plain[d]),
                 ratio = static_cast<double>(plain[d] / rope.inv_freq[d]);
    if (wavelength < 2048) {
      EXPECT_NEAR(ratio, 1, 1e-6) << d;
    } else if (wavelength > 8192) {
      EXPECT_NEAR(ratio, 8, 1e-5) << d;
    } else {
      EXPECT_GT(ratio, 1) << d;
      EXPECT_LT(ratio, 8) << d;
      ++between;
    }
  }
  EXPECT_GT(between, 2);
}

TEST(Rope, LinearAndDivisorsDivide) {
  const std::vector<float> plain = RopeFrequencies(1e6, 4);
  EXPECT_FLOAT_EQ(MakeRope({.rule = RopeRule::kLinear, .theta = 1e6, .factor = 8}, 4).inv_freq[1], plain[1] / 8);
  const RopeSpec divided = MakeRope({.rule = RopeRule::kDivisors, .theta = 1e6, .divisors = {2.0f, 1e30f}}, 4);
  EXPECT_EQ(divided.inv_freq, (std::vector<float>{plain[0] / 2, 0.0f}));
}

TEST(Rope, RefusesWhatIsOutOfRange) {
  EXPECT_NE(Complaint([] { MakeRope({.theta = 1.0}, 8); }).find("theta"), std::string::npos);
  EXPECT_NE(Complaint([] { MakeRope({.theta = std::numeric_limits<double>::infinity()}, 8); }).find("theta"),
            std::string::npos);
  EXPECT_NE(Complaint([] { MakeRope({}, 7); }).find("head_dim"), std::string::npos);
  EXPECT_NE(Complaint([] { MakeRope({.rule = RopeRule::kLinear, .factor = 0}, 8); }).find("factor"), std::string::npos);
  EXPECT_NE(Complaint([] { MakeRope({.rule = RopeRule::kLlama3, .low = 4, .high = 4}, 8); }).find("low_freq_factor"),
            std::string::npos);
  EXPECT_NE(Complaint([] {
              MakeRope({.rule = RopeRule::kDivisors, .divisors = {1, 1}}, 8);
            }).find("expected 4"),
            std::string::npos);
  EXPECT_NE(Complaint([] {
              MakeRope({.rule = RopeRule::kDivisors, .divisors = {1, 0}}, 4);
            }).find("divisors"),
            std::string::npos);
}

// One line a layer, written down from the publishers' configurations and not computed: kind, head_dim, kv heads,
// window, KV source, feed-forward width.
struct Stretch {
  int first, last;
  const char* kinds;  // 's' or 'f' a layer, repeated
  int kv_sliding, kv_full, window, ffn;
  int source_sliding, source_full;  // -1: its own
};

void ExpectLayers(const std::string& name, const std::vector<Stretch>& table, int experts = 0, int top_k = 0,
                  int expert_ffn = 0) {
  const ModelSpec spec = Preset(name);
  ASSERT_EQ(spec.layer_count(), table.back().last + 1);
  for (const Stretch& stretch : table) {
    const std::string kinds = stretch.kinds;
    for (int l = stretch.first; l <= stretch.last; ++l) {
      const LayerSpec& layer = spec.layers[l];
      const bool full = kinds[static_cast<std::size_t>(l - stretch.first) % kinds.size()] == 'f';
      SCOPED_TRACE(name + " layer " + std::to_string(l));
      EXPECT_EQ(layer.kind, full ? LayerKind::kFull : LayerKind::kSliding);
      EXPECT_EQ(layer.head_dim, full ? 512 : 256);
      EXPECT_EQ(layer.kv_heads, full ? stretch.kv_full : stretch.kv_sliding);
      EXPECT_EQ(layer.window, full ? 0 : stretch.window);
      EXPECT_EQ(layer.ffn, stretch.ffn);
      const int source = full ? stretch.source_full : stretch.source_sliding;
      EXPECT_EQ(layer.kv_source, source < 0 ? l : source);
      EXPECT_EQ(layer.experts, experts);
      EXPECT_EQ(layer.top_k, top_k);
      EXPECT_EQ(layer.expert_ffn, expert_ffn);
      const RopeSpec& rope = spec.ropes[layer.rope];
      EXPECT_EQ(rope.theta, full ? 1e6 : 1e4);
      EXPECT_EQ(rope.inv_freq.back() == 0.0f, full);
    }
  }
}

TEST(Gemma4Table, E2B) {
  ExpectLayers("gemma4-e2b", {{0, 14, "ssssf", 1, 1, 512, 6144, -1, -1}, {15, 34, "ssssf", 1, 1, 512, 12288, 13, 14}});
}
TEST(Gemma4Table, E4B) {
  ExpectLayers("gemma4-e4b",
               {{0, 23, "sssssf", 2, 2, 512, 10240, -1, -1}, {24, 41, "sssssf", 2, 2, 512, 10240, 22, 23}});
}
TEST(Gemma4Table, Dense12B) { ExpectLayers("gemma4-12b", {{0, 47, "sssssf", 8, 1, 1024, 15360, -1, -1}}); }
TEST(Gemma4Table, Mixture26B) {
  ExpectLayers("gemma4-26b-a4b", {{0, 29, "sssssf", 8, 2, 1024, 2112, -1, -1}}, 128, 8, 704);
}
TEST(Gemma4Table, Dense31B) { ExpectLayers("gemma4-31b", {{0, 59, "sssssf", 16, 4, 1024, 21504, -1, -1}}); }

TEST(Gemma4Table, WholeModelFacts) {
  struct Row {
    const char* name;
    int hidden, heads, ple, positions;
    bool value_is_key;
  };
  for (const Row& row : {Row{"gemma4-e2b", 1536, 8, 256, 131072, false}, Row{"gemma4-e4b", 2560, 8, 256, 131072, false},
                         Row{"gemma4-12b", 3840, 16, 0, 262144, true}, Row{"gemma4-26b-a4b", 2816, 16, 0, 262144, true},
                         Row{"gemma4-31b", 5376, 32, 0, 262144, true}}) {
    SCOPED_TRACE(row.name);
    const ModelSpec spec = Preset(row.name);
    EXPECT_EQ(spec.hidden, row.hidden);
    EXPECT_EQ(spec.vocab, 262144);
    EXPECT_EQ(spec.ple_width, row.ple);
    EXPECT_EQ(spec.max_position, row.positions);
    EXPECT_FLOAT_EQ(spec.norm_eps, 1e-6f);
    EXPECT_FLOAT_EQ(spec.embed_scale, std::sqrt(static_cast<float>(row.hidden)));
    EXPECT_EQ(spec.attn_scale, 1.0f);
    EXPECT_EQ(spec.softcap, 30.0f);
    EXPECT_EQ(spec.activation, Activation::kGeluTanh);
    EXPECT_TRUE(spec.qk_norm && spec.v_norm && spec.post_norms && spec.layer_scalar && spec.tied_head &&
                !spec.qkv_bias);
    for (const LayerSpec& layer : spec.layers) {
      EXPECT_EQ(layer.heads, row.heads);
      EXPECT_EQ(layer.value_is_key, row.value_is_key && layer.kind == LayerKind::kFull);
    }
  }
}

TEST(Validate, AcceptsEveryPreset) {
  for (const std::string& name : PresetNames()) EXPECT_NO_THROW(ValidateSpec(Preset(name))) << name;
}

// Each mutation of a valid spec must be refused with a message that names the field.
TEST(Validate, NamesTheFieldThatIsWrong) {
  struct Mutation {
    const char* expected;
    std::function<void(ModelSpec&)> apply;
  };
  const std::vector<Mutation> mutations = {
      {"hidden", [](ModelSpec& s) { s.hidden = 0; }},
      {"hidden", [](ModelSpec& s) { s.hidden = -5; }},
      {"vocab", [](ModelSpec& s) { s.vocab = 0; }},
      {"max_position", [](ModelSpec& s) { s.max_position = 0; }},
      {"ple_width", [](ModelSpec& s) { s.ple_width = -1; }},
      {"norm_eps", [](ModelSpec& s) { s.norm_eps = std::nanf(""); }},
      {"norm_eps", [](ModelSpec& s) { s.norm_eps = 0; }},
      {"embed_scale", [](ModelSpec& s) { s.embed_scale = -1; }},
      {"attn_scale", [](ModelSpec& s) { s.attn_scale = INFINITY; }},
      {"softcap", [](ModelSpec& s) { s.softcap = -1; }},
      {"layers must be", [](ModelSpec& s) { s.layers.clear(); }},
      {"layers must be", [](ModelSpec& s) { s.layers.resize(1025); }},
      {"layer 3: heads", [](ModelSpec& s) { s.layers[3].heads = 0; }},
      {"layer 3: kv_heads", [](ModelSpec& s) { s.layers[3].kv_heads = 0; }},
      {"multiple of kv_heads", [](ModelSpec& s) { s.layers[0].kv_heads = 3; }},
      {"head_dim must be even", [](ModelSpec& s) { s.layers[0].head_dim = 15; }},
      {"head_dim", [](ModelSpec& s) { s.layers[0].head_dim = 2048; }},
      {"window", [](ModelSpec& s) { s.layers[0].window = 0; }},
      {"no window", [](ModelSpec& s) { s.layers[4].window = 5; }},
      {"layer 0: rope", [](ModelSpec& s) { s.layers[0].rope = 2; }},
      {"frequencies", [](ModelSpec& s) { s.layers[0].rope = s.layers[4].rope; }},
      {"frequencies", [](ModelSpec& s) { s.ropes[0].inv_freq[0] = std::nanf(""); }},
      {"theta", [](ModelSpec& s) { s.ropes[0].theta = 0; }},
      {"kv_source", [](ModelSpec& s) { s.layers[3].kv_source = 4; }},
      {"kv_source", [](ModelSpec& s) { s.layers[3].kv_source = -1; }},
      {"no keys of its own", [](ModelSpec& s) { s.layers[7].kv_source = 6; }},
      {"another attention kind", [](ModelSpec& s) { s.layers[5].kv_source = 4; }},
      {"another attention kind", [](ModelSpec& s) { s.layers[5].window = 4; }},
      {"kv heads", [](ModelSpec& s) { s.layers[5].kv_heads = 1; }},
      {"ffn", [](ModelSpec& s) { s.layers[0].ffn = 0; }},
      {"without experts", [](ModelSpec& s) { s.layers[0].top_k = 2; }},
      {"top_k",
       [](ModelSpec& s) {
         s.layers[0].experts = 4;
         s.layers[0].top_k = 5;
         s.layers[0].expert_ffn = 8;
       }},
      {"expert_ffn",
       [](ModelSpec& s) {
         s.layers[0].experts = 4;
         s.layers[0].top_k = 2;
       }},
  };
  for (const Mutation& mutation : mutations) {
    ModelSpec spec = Preset("tiny-gemma4-ple");
    mutation.apply(spec);
    const std::string complaint = Complaint([&] { ValidateSpec(spec); });
    EXPECT_NE(complaint.find(mutation.expected), std::string::npos) << mutation.expected << " <- " << complaint;
    EXPECT_NE(complaint.find("tiny-gemma4-ple"), std::string::npos) << complaint;
  }
}

TEST(Gemma4Builder, RefusesASharedLayerWithoutADonor) {
  Gemma4Config config;
  config.name = "no-donor";
  config.hidden = 8, config.vocab = 8, config.heads = 1, config.shared_kv_layers = 1;
  config.layers = {{LayerKind::kSliding, 1, 4, 8, false}, {LayerKind::kFull, 1, 4, 8, false}};
  EXPECT_NE(Complaint([&] { Gemma4Spec(config); }).find("none of layers 0..0 is a full layer"), std::string::npos);
  config.shared_kv_layers = 2;
  EXPECT_NE(Complaint([&] { Gemma4Spec(config); }).find("shared KV layers"), std::string::npos);
}

}  // namespace
}  // namespace assay
