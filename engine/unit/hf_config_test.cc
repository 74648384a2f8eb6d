// config.json to spec: fixtures, both layouts, old and new keys, defaults, and what is refused.
#include "engine/weights/hf_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "engine/model/presets.h"
#include "engine/testing/checkpoint_files.h"
#include "engine/testing/complaint.h"

namespace assay {
namespace {

ModelSpec Parse(const std::string& text, std::optional<int> rows = std::nullopt) {
  return SpecFromHfConfig(text, "c.json", "test", rows);
}
std::string Refusal(const std::string& text) {
  return Complaint([&] { Parse(text); });
}
std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  Require(at != std::string::npos, "the test's text has no '{}'", from);
  return text.replace(at, from.size(), to);
}

// Publisher's values of E2B in the layout with global_head_dim, as a multimodal file nests them.
const char* const kE2b =
    R"({"model_type": "gemma4", "architectures": ["Gemma4ForConditionalGeneration"], "text_config": {
  "model_type": "gemma4_text", "hidden_size": 1536, "num_hidden_layers": 35, "num_attention_heads": 8, "num_key_value_heads": 1,
  "num_global_key_value_heads": null, "head_dim": 256, "global_head_dim": 512, "intermediate_size": 6144, "use_double_wide_mlp": true,
  "sliding_window": 512, "num_kv_shared_layers": 20, "hidden_size_per_layer_input": 256, "vocab_size": 262144,
  "vocab_size_per_layer_input": 262144, "attention_k_eq_v": false, "enable_moe_block": false, "final_logit_softcapping": 30.0,
  "max_position_embeddings": 131072, "rms_norm_eps": 1e-06, "tie_word_embeddings": true, "hidden_activation": "gelu_pytorch_tanh",
  "layer_types": [LAYERS], "rope_parameters": {
    "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0, "rope_type": "proportional"},
    "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"}}}, "vision_config": {"model_type": "gemma4_vision"}})";

std::string LayerTypes(int layers, int period) {
  std::string text;
  for (int l = 0; l < layers; ++l)
    text += std::string(l > 0 ? "," : "") + ((l + 1) % period == 0 ? "\"full_attention\"" : "\"sliding_attention\"");
  return text;
}
std::string E2b() { return Replaced(kE2b, "LAYERS", LayerTypes(35, 5)); }

void ExpectSame(ModelSpec found, const std::string& preset) {
  ModelSpec expected = Preset(preset);
  found.name = expected.name;
  EXPECT_TRUE(found == expected) << preset;
}

TEST(HfConfig, Gemma4LayoutWithGlobalKeys) { ExpectSame(Parse(E2b()), "gemma4-e2b"); }

TEST(HfConfig, Gemma4LayoutWithPerLayerConfigPaddedAndNot) {
  std::string text = Replaced(E2b(), "\"num_global_key_value_heads\": null, ", "");
  for (const bool padded : {true, false}) {
    std::string table;
    for (const int l : {4, 9, 14, 19, 24, 29, 34})
      table += std::string(table.empty() ? "" : ",") + "\"" + (padded && l < 10 ? "0" : "") + std::to_string(l) +
               "\": {\"head_dim\": 512}";
    const std::string listed = Replaced(text, "\"global_head_dim\": 512", "\"per_layer_config\": {" + table + "}");
    ExpectSame(Parse(listed), "gemma4-e2b");
    // Without layer_types, the listed layers are the full ones.
    ExpectSame(Parse(Replaced(listed, "\"layer_types\": [" + LayerTypes(35, 5) + "],", "")), "gemma4-e2b");
  }
}

// 26B: values are keys and full layers have their own number of kv heads, only when attention_k_eq_v says so.
TEST(HfConfig, Gemma4Mixture) {
  const std::string text =
      R"({"model_type": "gemma4_text", "hidden_size": 2816, "num_hidden_layers": 30, "num_attention_heads": 16,
    "num_key_value_heads": 8, "num_global_key_value_heads": 2, "intermediate_size": 2112, "sliding_window": 1024,
    "hidden_size_per_layer_input": 0, "vocab_size": 262144, "attention_k_eq_v": true, "enable_moe_block": true, "num_experts": 128,
    "top_k_experts": 8, "moe_intermediate_size": 704, "final_logit_softcapping": 30.0, "max_position_embeddings": 262144,
    "use_bidirectional_attention": "vision"})";
  ExpectSame(Parse(text), "gemma4-26b-a4b");  // head dims, ropes, pattern, tie and epsilon are defaults
  const ModelSpec plain = Parse(Replaced(text, "\"attention_k_eq_v\": true", "\"attention_k_eq_v\": false"));
  EXPECT_EQ(plain.layers[5].kv_heads, 8);
  EXPECT_FALSE(plain.layers[5].value_is_key);
}

TEST(HfConfig, Gemma4Defaults) {
  const std::string text =
      R"({"model_type": "gemma4_text", "hidden_size": 64, "num_hidden_layers": 8, "num_attention_heads": 2,
    "num_key_value_heads": 1, "intermediate_size": 32, "vocab_size": 100})";
  const ModelSpec spec = Parse(text);
  EXPECT_EQ(spec.ple_width, 256);
  EXPECT_EQ(spec.softcap, 0.0f);
  EXPECT_TRUE(spec.tied_head);
  EXPECT_EQ(spec.layers[0].window, 512);
  EXPECT_EQ(spec.layers[0].head_dim, 256);
  EXPECT_EQ(spec.layers[5].kind, LayerKind::kFull);
  EXPECT_EQ(spec.layers[5].head_dim, 512);
  EXPECT_EQ(spec.layers[6].kind, LayerKind::kSliding);
  EXPECT_EQ(spec.layers[7].kind, LayerKind::kFull);  // the last layer is forced to full
  EXPECT_EQ(Parse(Replaced(text, "gemma4_text", "gemma4_unified_text")).ple_width, 0);
  EXPECT_EQ(Parse(Replaced(text, "gemma4_text", "gemma4_unified_text")).layers[0].window, 1024);
  EXPECT_EQ(Parse(Replaced(text, "\"vocab_size\": 100", "\"vocab_size\": 100, \"hidden_size_per_layer_input\": null"))
                .ple_width,
            0);
}

// The file of the 4B model as published: only what differs from the defaults, the older rope keys.
TEST(HfConfig, Gemma3PublishedFiles) {
  ExpectSame(
      Parse(
          R"({"model_type": "gemma3", "vision_config": {}, "text_config": {"model_type": "gemma3_text", "hidden_size": 2560,
    "intermediate_size": 10240, "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    "sliding_window": 1024}})"),
      "gemma3-4b");
  ExpectSame(Parse(R"({"model_type": "gemma3_text", "head_dim": 256, "hidden_size": 1152, "intermediate_size": 6912,
    "max_position_embeddings": 32768, "num_attention_heads": 4, "num_hidden_layers": 26, "num_key_value_heads": 1,
    "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000, "rope_scaling": null, "rope_theta": 1000000,
    "sliding_window": 512, "sliding_window_pattern": 6, "vocab_size": 262144, "attn_logit_softcapping": null})"),
             "gemma3-1b");
}

TEST(HfConfig, DensePublishedFiles) {
  ExpectSame(Parse(R"({"model_type": "llama", "attention_bias": false, "hidden_act": "silu", "hidden_size": 4096,
    "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": false, "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0,
    "tie_word_embeddings": false, "vocab_size": 128256})"),
             "llama-3.1-8b");
  // No num_key_value_heads, no rope_theta, no head_dim: the oldest Llama files.
  ExpectSame(Parse(R"({"model_type": "llama", "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 11008,
    "max_position_embeddings": 4096, "num_attention_heads": 32, "num_hidden_layers": 32, "rms_norm_eps": 1e-05, "rope_scaling": null,
    "vocab_size": 32000})"),
             "llama-2-7b");
  ExpectSame(Parse(R"({"model_type": "mistral", "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336,
    "max_position_embeddings": 32768, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096, "vocab_size": 32000})"),
             "mistral-7b");
  ExpectSame(Parse(R"({"model_type": "mistral", "hidden_size": 5120, "head_dim": 128, "intermediate_size": 14336,
    "max_position_embeddings": 131072, "num_attention_heads": 32, "num_hidden_layers": 40, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": null, "vocab_size": 131072})"),
             "mistral-nemo");
  ExpectSame(
      Parse(R"({"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "max_position_embeddings": 32768,
    "max_window_layers": 21, "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 151936})"),
      "qwen2.5-0.5b");
  ExpectSame(Parse(R"({"model_type": "qwen3", "head_dim": 128, "hidden_size": 1024, "intermediate_size": 3072,
    "max_position_embeddings": 40960, "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06, "rope_parameters": {"rope_theta": 1000000, "rope_type": "default"}, "tie_word_embeddings": true,
    "vocab_size": 151936})"),
             "qwen3-0.6b");
}

TEST(HfConfig, QwenWindowOnlyWhenSwitchedOn) {
  const std::string text =
      R"({"model_type": "qwen2", "hidden_size": 64, "intermediate_size": 64, "max_position_embeddings": 128,
    "max_window_layers": 3, "num_attention_heads": 2, "num_hidden_layers": 5, "num_key_value_heads": 2, "sliding_window": 7,
    "use_sliding_window": true, "vocab_size": 10})";
  const ModelSpec on = Parse(text);
  EXPECT_EQ(on.layers[2].window, 0);
  EXPECT_EQ(on.layers[3].window, 7);
  EXPECT_EQ(Parse(Replaced(text, "\"use_sliding_window\": true", "\"use_sliding_window\": false")).layers[3].window, 0);
}

TEST(HfConfig, VocabularyOfTheEmbeddingWhenNotStated) {
  const std::string text = Replaced(E2b(), "\"vocab_size\": 262144,", "");
  EXPECT_EQ(Parse(text, 262144).vocab, 262144);
  EXPECT_TRUE(Contains(Refusal(text), "vocab_size"));
}

TEST(HfConfig, RefusesWithFileAndKey) {
  struct Row {
    std::string text, expected;
  };
  const std::string e2b = E2b();
  const auto with = [&](const std::string& from, const std::string& to) { return Replaced(e2b, from, to); };
  const std::vector<Row> rows = {
      {"", "not valid JSON"},
      {"[1]", "expected an object"},
      {"{}", "model_type: the key is missing"},
      {R"({"model_type": 4})", "model_type: expected a string"},
      {R"({"model_type": "gemma4_assistant"})", "'gemma4_assistant' is not supported; supported are gemma4"},
      {R"({"model_type": "mistral3", "text_config": {"model_type": "mistral"}})", "'mistral3' is not supported"},
      {R"({"model_type": "gemma4", "text_config": {"model_type": "llama"}})", "'llama' inside of 'gemma4'"},
      {R"({"model_type": "gemma4", "text_config": 7})", "text_config: expected an object"},
      {R"({"model_type": "llama", "model_type": "llama"})", "appears twice"},
      {std::string(40, '[') + std::string(40, ']'), "deeper than"},
      {std::string(900000, '['), "deeper than"},
      {with("\"hidden_size\": 1536, ", ""), "text_config: hidden_size: the key is missing"},
      {with("\"hidden_size\": 1536", "\"hidden_size\": \"1536\""), "hidden_size: expected an integer, found \"1536\""},
      {with("\"hidden_size\": 1536", "\"hidden_size\": 1536.5"), "hidden_size: expected an integer"},
      {with("\"hidden_size\": 1536", "\"hidden_size\": -1"), "hidden_size: expected 1.."},
      {with("\"hidden_size\": 1536", "\"hidden_size\": 18446744073709551615"), "found 18446744073709551615"},
      {with("\"hidden_size\": 1536", "\"hidden_size\": 1e400"), "not valid JSON"},
      {with("\"num_hidden_layers\": 35", "\"num_hidden_layers\": 1025"), "num_hidden_layers: expected 1..1024"},
      {with("\"num_hidden_layers\": 35", "\"num_hidden_layers\": 34"), "layer_types: expected 34 entries, found 35"},
      {with("\"full_attention\",", "\"chunked_attention\","), "layer_types[4]: expected full_attention"},
      {with("\"num_kv_shared_layers\": 20", "\"num_kv_shared_layers\": 35"), "num_kv_shared_layers: expected 0..34"},
      {with("\"num_attention_heads\": 8", "\"num_attention_heads\": 0"), "num_attention_heads"},
      {with("\"num_key_value_heads\": 1,", "\"num_key_value_heads\": 3,"), "multiple of kv_heads"},
      {with("\"head_dim\": 256", "\"head_dim\": 255"), "head_dim must be even"},
      {with("\"sliding_window\": 512", "\"sliding_window\": 0"), "sliding_window"},
      {with("\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": 0"), "norm_eps"},
      {with("\"rope_theta\": 10000.0", "\"rope_theta\": 0"), "theta"},
      {with("\"rope_type\": \"default\"", "\"rope_type\": \"dynamic\""), "rope of type 'dynamic' is not supported"},
      {with("\"rope_type\": \"default\"", "\"rope_type\": \"yarn\""), "sliding_attention: factor: the key is missing"},
      {with("\"final_logit_softcapping\": 30.0", "\"final_logit_softcapping\": -3"), "softcap"},
      {with("gelu_pytorch_tanh", "relu"), "hidden_activation: expected 'gelu_pytorch_tanh', found 'relu'"},
      {with("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": \"yes\""),
       "tie_word_embeddings: expected true or false"},
      {with("\"vocab_size_per_layer_input\": 262144", "\"vocab_size_per_layer_input\": 5"),
       "vocab_size_per_layer_input"},
      {with("\"global_head_dim\": 512", "\"per_layer_config\": {\"4\": {}, \"04\": {}}"), "layer 4 appears twice"},
      {with("\"global_head_dim\": 512", "\"per_layer_config\": {\"35\": {}}"), "layer numbers below 35"},
      {with("\"global_head_dim\": 512", "\"per_layer_config\": {\"-1\": {}}"), "layer numbers below 35"},
      {with("\"global_head_dim\": 512", "\"per_layer_config\": {\"1\": null}"), "layer '1' is null"},
      {with("\"global_head_dim\": 512", "\"per_layer_config\": {\"1\": {\"sliding_window\": 4}}"),
       "own 'sliding_window'"},
      {with("\"global_head_dim\": 512", "\"use_bidirectional_attention\": \"all\""), "found 'all'"},
      {with("\"global_head_dim\": 512", "\"use_bidirectional_attention\": true"), "bidirectional attention"},
      {with("\"global_head_dim\": 512", "\"is_causal\": false"), "is_causal"},
      {with("\"global_head_dim\": 512", "\"residual_multiplier\": 0.5"), "residual_multiplier"},
      {with("\"global_head_dim\": 512", "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8}"),
       "rope_scaling: Gemma 4"},
      {with("\"sliding_window\": 512", "\"sliding_window\": null"), "sliding_window"},
      {with("\"global_head_dim\": 512", "\"quantization_config\": {\"quant_method\": \"gptq\"}"),
       "quantised by 'gptq'"},
      {with("\"enable_moe_block\": false", "\"enable_moe_block\": true"), "num_experts: the key is missing"},
  };
  for (const Row& row : rows) {
    const std::string complaint = Refusal(row.text);
    EXPECT_TRUE(Contains(complaint, row.expected)) << "expected '" << row.expected << "', found: " << complaint;
    EXPECT_TRUE(complaint.starts_with("c.json")) << complaint;
    EXPECT_LT(complaint.size(), 600u);
  }
}

TEST(HfConfig, TheOuterObjectMaySayThatTheHeadIsUntied) {
  const std::string silent = Replaced(E2b(), "\"tie_word_embeddings\": true, ", "");
  EXPECT_TRUE(Parse(silent).tied_head);
  EXPECT_FALSE(Parse(Replaced(silent, "{\"model_type\": \"gemma4\",",
                              "{\"model_type\": \"gemma4\", \"tie_word_embeddings\": false,"))
                   .tied_head);
}

const char* const kScaledLlama =
    R"({"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 131072,
        "num_attention_heads": 32, "num_hidden_layers": 2, "num_key_value_heads": 8,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "vocab_size": 128256})";

TEST(HfConfig, TheOlderKeyOfRopeScalingCounts) {
  EXPECT_TRUE(Parse(kScaledLlama) == Parse(Replaced(kScaledLlama, "rope_type", "type")));
  EXPECT_TRUE(
      Contains(Refusal(Replaced(kScaledLlama, "\"rope_type\": \"linear\"", "\"type\": \"dynamic\"")), "dynamic"));
}

TEST(HfConfig, APartOfTheHeadRotatedIsRefusedWhereItWouldBeIgnored) {
  EXPECT_TRUE(
      Contains(Refusal(Replaced(kScaledLlama, "\"vocab_size\"", "\"partial_rotary_factor\": 0.5, \"vocab_size\"")),
               "partial_rotary_factor"));
}

TEST(HfConfig, HiddenActivationCountsBeforeHiddenAct) {
  EXPECT_NO_THROW(Parse(Replaced(E2b(), "\"hidden_activation\": \"gelu_pytorch_tanh\"",
                                 "\"hidden_act\": \"silu\", \"hidden_activation\": \"gelu_pytorch_tanh\"")));
}

TEST(HfConfig, LayersOfQwen2SlideFromThe28thOn) {
  const ModelSpec spec = Parse(
      R"({"model_type": "qwen2", "hidden_size": 64, "intermediate_size": 64, "max_position_embeddings": 128,
          "num_attention_heads": 2, "num_hidden_layers": 30, "num_key_value_heads": 2, "sliding_window": 7,
          "use_sliding_window": true, "vocab_size": 10})");
  EXPECT_EQ(spec.layers[27].window, 0);
  EXPECT_EQ(spec.layers[28].window, 7);
}

TEST(HfConfig, Gemma3MayNameItsPattern) {
  const ModelSpec spec =
      Parse(R"({"model_type": "gemma3_text", "num_hidden_layers": 6, "_sliding_window_pattern": 3, "vocab_size": 10})");
  EXPECT_EQ(spec.layers[2].window, 0);
}

}  // namespace
}  // namespace assay
