// The tensor catalogue: what is listed, with which shapes, under which names.
#include "engine/model/tensors.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "engine/model/presets.h"

namespace assay {
namespace {

std::map<TensorKey, TensorEntry> ByKey(const ModelSpec& spec) {
  std::map<TensorKey, TensorEntry> entries;
  for (const TensorEntry& entry : Catalogue(spec))
    EXPECT_TRUE(entries.emplace(entry.key, entry).second) << Name(entry.key);
  return entries;
}

void ExpectShape(const std::map<TensorKey, TensorEntry>& entries, TensorKey key, std::int64_t experts,
                 std::int64_t rows, std::int64_t cols) {
  ASSERT_TRUE(entries.contains(key)) << Name(key);
  const TensorEntry& entry = entries.at(key);
  EXPECT_EQ(entry.experts, experts) << Name(key);
  EXPECT_EQ(entry.rows, rows) << Name(key);
  EXPECT_EQ(entry.cols, cols) << Name(key);
}

TEST(Catalogue, ShapesOfE2B) {
  const auto entries = ByKey(Preset("gemma4-e2b"));
  ExpectShape(entries, {Role::kEmbed}, 1, 262144, 1536);
  ExpectShape(entries, {Role::kPleEmbed}, 1, 262144, 8960);
  ExpectShape(entries, {Role::kPleProject}, 1, 8960, 1536);
  ExpectShape(entries, {Role::kPleProjectNorm}, 1, 1, 256);
  ExpectShape(entries, {Role::kQuery, 0}, 1, 2048, 1536);
  ExpectShape(entries, {Role::kQuery, 4}, 1, 4096, 1536);
  ExpectShape(entries, {Role::kKey, 4}, 1, 512, 1536);
  ExpectShape(entries, {Role::kAttnOut, 4}, 1, 1536, 4096);
  ExpectShape(entries, {Role::kQueryNorm, 4}, 1, 1, 512);
  ExpectShape(entries, {Role::kGate, 14}, 1, 6144, 1536);
  ExpectShape(entries, {Role::kDown, 15}, 1, 1536, 12288);
  ExpectShape(entries, {Role::kPleGate, 34}, 1, 256, 1536);
  ExpectShape(entries, {Role::kPleOut, 34}, 1, 1536, 256);
  ExpectShape(entries, {Role::kLayerScalar, 0}, 1, 1, 1);
  EXPECT_FALSE(entries.at({Role::kLayerScalar, 0}).required);
  EXPECT_TRUE(entries.contains({Role::kKeyNorm, 14}));
  for (const Role role : {Role::kKey, Role::kValue, Role::kKeyNorm})
    EXPECT_FALSE(entries.contains({role, 15})) << Name(role);
  EXPECT_FALSE(entries.contains({Role::kHead}));
}

TEST(Catalogue, ShapesOfTheMixture) {
  const auto entries = ByKey(Preset("gemma4-26b-a4b"));
  ExpectShape(entries, {Role::kRouter, 0}, 1, 128, 2816);
  ExpectShape(entries, {Role::kRouterScale, 0}, 1, 1, 2816);
  ExpectShape(entries, {Role::kExpertGateUp, 0}, 128, 1408, 2816);
  ExpectShape(entries, {Role::kExpertDown, 0}, 128, 2816, 704);
  ExpectShape(entries, {Role::kExpertScale, 0}, 1, 1, 128);
  EXPECT_FALSE(entries.at({Role::kExpertScale, 0}).required);
  EXPECT_TRUE(entries.contains({Role::kValue, 4}));
  EXPECT_FALSE(entries.contains({Role::kValue, 5}));  // values are keys on full layers
  ExpectShape(entries, {Role::kKey, 5}, 1, 1024, 2816);
}

TEST(Catalogue, DenseFamilies) {
  const auto qwen2 = ByKey(Preset("qwen2.5-0.5b"));
  ExpectShape(qwen2, {Role::kQueryBias, 0}, 1, 1, 896);
  ExpectShape(qwen2, {Role::kKeyBias, 0}, 1, 1, 128);
  EXPECT_FALSE(qwen2.contains({Role::kHead}));
  EXPECT_FALSE(qwen2.contains({Role::kQueryNorm, 0}));
  const auto llama = ByKey(Preset("llama-3.1-8b"));
  ExpectShape(llama, {Role::kHead}, 1, 128256, 4096);
  EXPECT_FALSE(llama.contains({Role::kPostAttnNorm, 0}));
  EXPECT_EQ(llama.size(), 3u + 32u * 9u);
}

TEST(Catalogue, NamesOfFilesAreUniqueAndRoleNamesStable) {
  for (const std::string& preset : PresetNames()) {
    const ModelSpec spec = Preset(preset);
    std::set<std::string> hugging_face, gguf, keys;
    for (const TensorEntry& entry : Catalogue(spec)) {
      for (const std::string& name : HuggingFaceNames(spec, entry.key))
        EXPECT_TRUE(hugging_face.insert(name).second) << name;
      for (const std::string& name : GgufNames(spec, entry.key)) EXPECT_TRUE(gguf.insert(name).second) << name;
      EXPECT_TRUE(keys.insert(Name(entry.key)).second);
    }
  }
  EXPECT_EQ(Name(TensorKey{Role::kAttnOut, 3}), "layer 3 attn_out");
  EXPECT_EQ(Name(TensorKey{Role::kFinalNorm}), "final_norm");
}

// One and the same Hugging Face name means different things: a true post norm with sandwich norms, the FFN's pre-norm
// without.
TEST(Catalogue, PostAttentionLayernormMeansTwoThings) {
  const std::vector<std::string> shared{"layers.2.post_attention_layernorm.weight"};
  EXPECT_EQ(HuggingFaceNames(Preset("tiny-llama"), {Role::kFfnNorm, 2}), shared);
  EXPECT_EQ(HuggingFaceNames(Preset("tiny-gemma3"), {Role::kPostAttnNorm, 2}), shared);
  EXPECT_EQ(HuggingFaceNames(Preset("tiny-gemma3"), {Role::kFfnNorm, 2})[0],
            "layers.2.pre_feedforward_layernorm.weight");
  EXPECT_EQ(GgufNames(Preset("tiny-gemma4-ple"), {Role::kLayerScalar, 11})[0], "blk.11.layer_output_scale.weight");
  EXPECT_EQ(GgufNames(Preset("tiny-gemma4-moe"), {Role::kRouterScale, 1})[0], "blk.1.ffn_gate_inp.scale");
  EXPECT_EQ(HuggingFaceNames(Preset("tiny-gemma4-moe"), {Role::kExpertDown, 1})[0], "layers.1.experts.down_proj");
}

}  // namespace
}  // namespace assay
