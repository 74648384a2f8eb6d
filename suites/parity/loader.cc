// What loaders make of a configuration: every setting that has been got wrong, in every family and both formats,
// against what transformers computes for it (ci/loader_matrix.py recorded logits and refusals); and every key, changed
// once to a value that no default has, against the field of the spec that it must change.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <span>

#include "engine/base/quant.h"
#include "engine/testing/checkpoint_files.h"
#include "engine/testing/gguf_image.h"
#include "engine/weights/gguf_config.h"
#include "engine/weights/hf_config.h"
#include "engine/weights/safetensors.h"
#include "engine/weights/strict_json.h"
#include "oracles/reference/decoder.h"
#include "suites/parity/parity.h"
#include "suites/support/embedded.h"

namespace assay {
namespace {

using nlohmann::json;

constexpr const char* kFamilies[] = {"llama", "mistral", "qwen2", "qwen3", "gemma3", "gemma4"};

std::string Folder() { return FixtureRoot() + "/loader_matrix/"; }

json Document() { return ReadJsonFile(Folder() + "cells.json", JsonLimits{}); }

bool Has(const std::string& words, const std::string& word) {
  return fmt::format(" {} ", words).find(fmt::format(" {} ", word)) != std::string::npos;
}

std::vector<float> Values(const SafetensorsFile& file, const SafetensorsEntry& entry) {
  std::vector<std::byte> bytes(entry.bytes);
  file.file().Read(bytes, entry.offset, entry.name);
  std::vector<float> values(entry.bytes / Info(*entry.type).bytes);
  DequantiseRow(*entry.type, bytes.data(), values.data(), static_cast<std::int64_t>(values.size()));
  return values;
}

// The folder of a cell: its config beside the family's tensors, as far as its words ask for them.
std::string WriteFolder(const ScratchFolder& folder, const json& cell) {
  const std::string family = cell["family"], words = cell["tensors"];
  const SafetensorsFile file(Folder() + family + ".safetensors");
  std::vector<TestTensor> tensors;
  for (const SafetensorsEntry& entry : file.entries()) {
    std::string name(entry.name);
    const bool usual_bias = family == "qwen2" && name.find("o_proj") == std::string::npos;
    if (name.ends_with(".bias") && !Has(words, "bias") && !usual_bias) continue;
    if (name == "lm_head.weight" && !Has(words, "head")) continue;
    const bool embedding = name == "model.embed_tokens.weight";
    if (embedding && Has(words, "only_head")) name = "lm_head.weight";
    if (name.starts_with("model.") && Has(words, "language_model.")) name.replace(0, 6, "language_model.");
    tensors.push_back({name, entry.shape, Values(file, entry)});
    if (embedding && Has(words, "equal_head")) tensors.push_back({"lm_head.weight", entry.shape, Values(file, entry)});
  }
  folder.Put("config.json", cell["config"].dump());
  folder.Put("model.safetensors", SafetensorsBytes(tensors));
  return folder.path();
}

std::string WriteGguf(const ScratchFolder& folder, const json& cell) {
  constexpr std::uint32_t kString = 8;
  const std::string family = cell["family"], words = cell["tensors"];
  GgufImage image = GgufImage::Read(Folder() + family + ".gguf");
  std::vector<std::string> unwanted;
  for (const GgufImage::Tensor& tensor : image.tensors) {
    const bool usual_bias = family == "qwen2" && tensor.name.find("attn_output") == std::string::npos;
    if (tensor.name.ends_with(".bias") && !Has(words, "bias") && !usual_bias) unwanted.push_back(tensor.name);
    if (tensor.name == "output.weight" && !Has(words, "head")) unwanted.push_back(tensor.name);
  }
  for (const std::string& name : unwanted) image.Drop(name);
  for (const json& change : cell["metadata"]) {
    const std::string stated = change[0];
    const std::string key =
        stated[0] == '/' ? stated.substr(1) : fmt::format("{}.{}", family, stated.substr(stated[0] == '-' ? 1 : 0));
    if (stated[0] == '-') {
      image.Drop(key);
    } else if (change[1] == kString) {
      image.SetString(key, change[2]);
    } else {
      image.Set(key, change[1], {change[2].get<double>()});
    }
  }
  folder.Put("model.gguf", image.Bytes());
  return folder.path() + "/model.gguf";
}

// What opening the model complains of; empty: nothing.
std::string Refusal(const std::string& model) {
  try {
    OpenModel(model);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

// Reference and engine after every token, against what transformers says of the last ones.
void JudgeCell(CaseState& state, const json& document, const WeightStore& store, const std::vector<float>& expected,
               const Place& where) {
  const auto tokens = document["tokens"].get<Tokens>();
  const int rows = document["rows"], length = static_cast<int>(tokens.size());
  const Bound bound = Bound::Fixed(1e-4, "stated for float32 logits of tiny models");
  const std::size_t vocab = expected.size() / static_cast<std::size_t>(rows);
  const auto decoder = MakeReference(store);
  const auto ops = state.bench.MakeOps(state.target);
  EngineSystem system(store, *ops, StraightOptions(store.spec(), 1, length));
  const StepResult found = system.Prefill(system.Open(), tokens, Want::kAll);
  state.check.True(store.spec().vocab == static_cast<int>(vocab), "vocabulary", where);
  if (store.spec().vocab != static_cast<int>(vocab)) return;
  for (int i = 0; i < length; ++i) {
    const std::vector<double> reference = decoder->Step(tokens[i]).capped;
    if (i + rows < length) continue;
    const std::vector<double> right = Widen(std::span(expected).subspan(vocab * (i + rows - length), vocab));
    state.check.Add(JudgeTensor(right, reference, bound, "max_abs_reference", where.With("position", i)));
    state.check.Add(JudgeTensor(right, Widen(found.Capped(i)), bound, "max_abs_engine", where.With("position", i)));
  }
}

void Settings(CaseState& state, const std::string& family) {
  const SafetensorsFile logits(Folder() + "logits.safetensors");
  constexpr int kLeastMatched = 19, kLeastRefused = 5;
  const json document = Document();
  const int rows = document["rows"];
  for (const char* metric : {"max_abs_reference", "max_abs_engine"}) state.check.AtLeast(metric, kLeastMatched * rows);
  state.check.AtLeast("refused by name", kLeastRefused);
  int matched = 0, refused = 0;
  for (const json& cell : document["cells"]) {
    if (cell["family"] != family) continue;
    const std::string name = cell["name"], expected = cell["expected"];
    const ScratchFolder folder;
    const std::string model = cell.contains("config") ? WriteFolder(folder, cell) : WriteGguf(folder, cell);
    const Place where(name, {});
    if (expected != "MATCH") {
      ++refused;
      const std::string said = Refusal(model);
      state.check.True(said.find(expected) != std::string::npos, "refused by name", where,
                       fmt::format("expected a refusal that names {}, found: {}", expected, said));
      continue;
    }
    ++matched;
    const SafetensorsEntry* const entry = logits.Find(name);
    Require(entry != nullptr, "{}: no logits are recorded for it", name);
    try {
      JudgeCell(state, document, *OpenModel(model), Values(logits, *entry), where);
    } catch (const InputError& error) {
      state.check.True(false, "opens", where, error.what());
    }
  }
  state.check.True(matched >= kLeastMatched && refused >= kLeastRefused, "cells", Place(family, {}),
                   fmt::format("{} matched, {} refused", matched, refused));
}

// The fields of a spec by name, as text.
std::map<std::string, std::string> FieldsOf(const ModelSpec& spec) {
  std::map<std::string, std::string> fields;
  const auto put = [&](const std::string& name, auto value) { fields[name] = fmt::format("{:.6g}", double(value)); };
  put("hidden", spec.hidden);
  put("vocab", spec.vocab);
  put("max_position", spec.max_position);
  put("norm_eps", spec.norm_eps);
  put("embed_scale", spec.embed_scale);
  put("attn_scale", spec.attn_scale);
  put("softcap", spec.softcap);
  put("tied", spec.tied_head);
  put("qkv_bias", spec.qkv_bias);
  put("out_bias", spec.out_bias);
  put("ple", spec.ple_width);
  put("layers", spec.layer_count());
  for (int l = 0; l < spec.layer_count(); ++l) {
    const LayerSpec& layer = spec.layer(l);
    const RopeSpec& rope = spec.ropes[layer.rope];
    const auto at = [&](const char* name, auto value) { put(fmt::format("{}.{}", l, name), value); };
    at("window", layer.window);
    at("heads", layer.heads);
    at("kv_heads", layer.kv_heads);
    at("head_dim", layer.head_dim);
    at("source", layer.kv_source);
    at("value_is_key", layer.value_is_key);
    at("ffn", layer.ffn);
    at("experts", layer.experts);
    at("top_k", layer.top_k);
    at("expert_ffn", layer.expert_ffn);
    at("theta", rope.theta);
    at("gain", rope.gain);
    for (std::size_t d = 0; d < rope.inv_freq.size(); ++d) put(fmt::format("{}.inv{}", l, d), rope.inv_freq[d]);
  }
  return fields;
}

// A change of a family's plainest configuration, and a field of the spec that must then have this value.
struct KeyRow {
  const char* families;  // between spaces; empty: all
  const char* patch;     // a JSON merge patch; null removes a key
  const char* field;
  const char* value;
};

// clang-format off
constexpr KeyRow kConfigKeys[] = {
    {"", R"({"hidden_size": 24})", "hidden", "24"},
    {"", R"({"vocab_size": 40})", "vocab", "40"},
    {"", R"({"vocab_size": null})", "vocab", "32"},
    {"", R"({"num_attention_heads": 8})", "1.heads", "8"},
    {"", R"({"num_key_value_heads": 1})", "1.kv_heads", "1"},
    {"", R"({"head_dim": 4})", "1.head_dim", "4"},
    {"", R"({"intermediate_size": 40})", "2.ffn", "40"},
    {"", R"({"max_position_embeddings": 99})", "max_position", "99"},
    {"", R"({"rms_norm_eps": 0.25})", "norm_eps", "0.25"},
    {"", R"({"rms_norm_eps": null})", "norm_eps", "1e-06"},
    {"", R"({"tie_word_embeddings": true})", "tied", "1"},
    {"llama mistral qwen2 qwen3", R"({"tie_word_embeddings": null})", "tied", "0"},
    {"gemma3 gemma4", R"({"tie_word_embeddings": null})", "tied", "1"},
    {"llama mistral qwen2 qwen3", R"({"num_hidden_layers": 5})", "layers", "5"},
    {"gemma3 gemma4", R"({"num_hidden_layers": 7, "layer_types": null})", "layers", "7"},
    {"gemma3 gemma4", R"({"num_hidden_layers": 7, "layer_types": null})", "5.window", "0"},
    {"gemma3 gemma4", R"({"num_hidden_layers": 7, "layer_types": null})", "4.window", "5"},
    {"llama mistral qwen2 qwen3 gemma3", R"({"rope_theta": 500})", "2.theta", "500"},
    {"llama mistral qwen2 qwen3", R"({"rope_theta": null})", "2.theta", "10000"},
    {"gemma3", R"({"rope_theta": null})", "2.theta", "1e+06"},
    {"gemma3", R"({"rope_local_base_freq": 77})", "0.theta", "77"},
    {"gemma3", R"({"rope_local_base_freq": null})", "0.theta", "10000"},
    {"llama qwen3 gemma3 gemma4", R"({"attention_bias": true})", "out_bias", "1"},
    {"llama qwen3 gemma3 gemma4", R"({"attention_bias": true})", "qkv_bias", "1"},
    {"mistral", R"({"sliding_window": 9})", "1.window", "9"},
    {"mistral", R"({"sliding_window": null, "max_position_embeddings": 65})", "max_position", "65"},
    {"gemma3 gemma4", R"({"sliding_window": 9})", "1.window", "9"},
    {"qwen2 qwen3", R"({"use_sliding_window": true, "sliding_window": 9, "max_window_layers": 1})", "0.window", "0"},
    {"qwen2 qwen3", R"({"use_sliding_window": true, "sliding_window": 9, "max_window_layers": 1})", "1.window", "9"},
    {"qwen2 qwen3", R"({"use_sliding_window": true, "sliding_window": 9, "max_window_layers": 2})", "1.window", "0"},
    {"qwen2 qwen3", R"({"use_sliding_window": true, "sliding_window": 9})", "2.window", "0"},
    {"qwen2 qwen3", R"({"use_sliding_window": true, "sliding_window": 9,
                        "layer_types": ["full_attention", "sliding_attention", "full_attention"]})", "1.window", "9"},
    {"qwen2 qwen3", R"({"use_sliding_window": false, "sliding_window": 9, "max_window_layers": 1})", "2.window", "0"},
    {"gemma3", R"({"layer_types": null, "sliding_window_pattern": 2})", "1.window", "0"},
    {"gemma3", R"({"layer_types": null, "sliding_window_pattern": 2})", "2.window", "5"},
    {"gemma3", R"({"layer_types": null, "_sliding_window_pattern": 2})", "1.window", "0"},
    {"gemma3", R"({"layer_types": null, "_sliding_window_pattern": 3})", "1.window", "5"},
    {"gemma3", R"({"query_pre_attn_scalar": 16})", "attn_scale", "0.25"},
    {"gemma3", R"({"query_pre_attn_scalar": null})", "attn_scale", "0.0625"},
    {"gemma3 gemma4", R"({"final_logit_softcapping": 11})", "softcap", "11"},
    {"gemma3 gemma4", R"({"final_logit_softcapping": null})", "softcap", "0"},
    {"qwen3", R"({"head_dim": null})", "0.head_dim", "128"},
    {"llama mistral qwen2", R"({"head_dim": null})", "0.head_dim", "4"},
    {"llama", R"({"num_key_value_heads": null})", "0.kv_heads", "4"},
    {"mistral", R"({"num_key_value_heads": null, "num_attention_heads": 16})", "0.kv_heads", "8"},
    {"llama mistral qwen2 qwen3", R"({"rope_scaling": {"rope_type": "linear", "factor": 4}})", "2.inv0", "0.25"},
    {"llama mistral qwen2 qwen3", R"({"rope_parameters": {"rope_type": "linear", "factor": 8, "rope_theta": 16}})",
     "2.inv1", "0.0625"},
    {"gemma3", R"({"rope_scaling": {"rope_type": "linear", "factor": 4}})", "2.inv0", "0.25"},
    {"gemma3", R"({"rope_scaling": {"rope_type": "linear", "factor": 4}})", "0.inv0", "1"},
    {"llama", R"({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
                  "original_max_position_embeddings": 16}})", "0.inv0", "0.576056"},
    {"llama", R"({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 2, "high_freq_factor": 4,
                  "original_max_position_embeddings": 16}})", "0.inv0", "0.364085"},
    {"llama", R"({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 2,
                  "original_max_position_embeddings": 16}})", "0.inv0", "1"},
    {"llama", R"({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
                  "original_max_position_embeddings": 4}})", "0.inv0", "0.125"},
    {"qwen2", R"({"rope_scaling": {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 16}})",
     "0.gain", "1.13863"},
    {"qwen2", R"({"rope_scaling": {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 16,
                  "attention_factor": 0.5}})", "0.gain", "0.5"},
    {"qwen2", R"({"rope_scaling": {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 16,
                  "mscale": 2, "mscale_all_dim": 1}})", "0.gain", "1.12175"},
    {"qwen2", R"({"rope_theta": 4, "rope_scaling": {"rope_type": "yarn", "factor": 4,
                  "original_max_position_embeddings": 64, "beta_fast": 4, "beta_slow": 1}})", "0.inv3", "0.30052"},
    {"qwen2", R"({"rope_theta": 4, "rope_scaling": {"rope_type": "yarn", "factor": 4,
                  "original_max_position_embeddings": 64, "beta_fast": 8, "beta_slow": 1}})", "0.inv3", "0.239911"},
    {"qwen2", R"({"rope_theta": 4, "rope_scaling": {"rope_type": "yarn", "factor": 4,
                  "original_max_position_embeddings": 64, "beta_fast": 4, "beta_slow": 2}})", "0.inv3", "0.265165"},
    {"qwen2", R"({"rope_theta": 4, "rope_scaling": {"rope_type": "yarn", "factor": 4,
                  "original_max_position_embeddings": 64, "beta_fast": 4, "beta_slow": 1, "truncate": false}})",
     "0.inv3", "0.333468"},
    {"gemma4", R"({"global_head_dim": 32})", "2.head_dim", "32"},
    {"gemma4", R"({"global_head_dim": null})", "2.head_dim", "512"},
    {"gemma4", R"({"attention_k_eq_v": true})", "2.value_is_key", "1"},
    {"gemma4", R"({"attention_k_eq_v": true})", "0.value_is_key", "0"},
    {"gemma4", R"({"attention_k_eq_v": true, "num_global_key_value_heads": 1})", "2.kv_heads", "1"},
    {"gemma4", R"({"attention_k_eq_v": false, "num_global_key_value_heads": 1})", "2.kv_heads", "2"},
    {"gemma4", R"({"num_hidden_layers": 4, "num_kv_shared_layers": 1,
                   "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]})",
     "3.source", "1"},
    {"gemma4", R"({"num_hidden_layers": 4, "num_kv_shared_layers": 1, "use_double_wide_mlp": true,
                   "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]})",
     "3.ffn", "48"},
    {"gemma4", R"({"num_hidden_layers": 4, "num_kv_shared_layers": 1,
                   "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]})",
     "3.ffn", "24"},
    {"gemma4", R"({"hidden_size_per_layer_input": 6})", "ple", "6"},
    {"gemma4", R"({"hidden_size_per_layer_input": null, "model_type": "gemma4_unified_text"})", "ple", "0"},
    {"gemma4", R"({"enable_moe_block": true, "num_experts": 6, "top_k_experts": 3, "moe_intermediate_size": 10})",
     "1.experts", "6"},
    {"gemma4", R"({"enable_moe_block": true, "num_experts": 6, "top_k_experts": 3, "moe_intermediate_size": 10})",
     "1.top_k", "3"},
    {"gemma4", R"({"enable_moe_block": true, "num_experts": 6, "top_k_experts": 3, "moe_intermediate_size": 10})",
     "1.expert_ffn", "10"},
    {"gemma4", R"({"enable_moe_block": false, "num_experts": 6})", "1.experts", "0"},
    {"gemma4", R"({"rope_parameters": {"full_attention": {"rope_theta": 300}}})", "2.theta", "300"},
    {"gemma4", R"({"rope_parameters": {"full_attention": {"partial_rotary_factor": 0.5}}})", "2.inv3", "0.0316228"},
    {"gemma4", R"({"rope_parameters": {"full_attention": {"partial_rotary_factor": 0.5}}})", "2.inv4", "0"},
    {"gemma4", R"({"rope_parameters": {"full_attention": {"factor": 4}}})", "2.inv0", "0.25"},
    {"gemma4", R"({"rope_parameters": {"sliding_attention": {"rope_theta": 300}}})", "0.theta", "300"},
    {"gemma4", R"({"per_layer_config": {"1": {"intermediate_size": 30}}, "layer_types": null,
                   "global_head_dim": null})", "1.ffn", "30"},
    {"gemma4", R"({"per_layer_config": {"1": {"head_dim": 12}}, "layer_types": null, "global_head_dim": null})",
     "1.head_dim", "12"},
    {"gemma4", R"({"per_layer_config": {"1": {"num_key_value_heads": 4}}, "layer_types": null,
                   "global_head_dim": null})", "1.kv_heads", "4"},
    {"gemma4", R"({"per_layer_config": {"1": {"num_key_value_heads": 4}}, "layer_types": null,
                   "global_head_dim": null})", "1.window", "0"},
    {"qwen2", R"({"rope_scaling": {"rope_type": "yarn", "factor": 0.5, "original_max_position_embeddings": 16}})",
     "0.gain", "1"},
    {"qwen2", R"({"rope_scaling": {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 16,
                  "mscale": 2}})", "0.gain", "1.13863"},
    {"gemma4", R"({"rope_parameters": {"full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.3}}})",
     "2.inv2", "0"},
    // What a key that is not there, or null, stands for.
    {"gemma4", R"({"sliding_window": null})", "1.window", "512"},
    {"gemma4", R"({"sliding_window": null, "model_type": "gemma4_unified_text"})", "1.window", "1024"},
    {"gemma4", R"({"hidden_size_per_layer_input": null})", "ple", "256"},
    {"gemma4", R"({"hidden_size_per_layer_input": "null"})", "ple", "0"},
    {"gemma4", R"({"layer_types": ["full_attention", "sliding_attention", "sliding_attention"]})", "0.window", "0"},
    {"gemma4", R"({"layer_types": ["full_attention", "sliding_attention", "sliding_attention"]})", "2.window", "0"},
    {"gemma4", R"({"per_layer_config": {"1": {"intermediate_size": 30}}, "layer_types": null,
                   "global_head_dim": null})", "2.head_dim", "8"},
    {"gemma4", R"({"rope_parameters": {"sliding_attention": {"rope_theta": null}}})", "0.theta", "10000"},
    {"gemma4", R"({"rope_parameters": {"full_attention": {"rope_theta": null}}})", "2.theta", "1e+06"},
    {"gemma4", R"({"max_position_embeddings": null})", "max_position", "131072"},
    {"mistral", R"({"sliding_window": null})", "1.window", "4096"},
    {"mistral", R"({"sliding_window": "null"})", "1.window", "0"},
    {"qwen2 qwen3", R"({"use_sliding_window": true, "sliding_window": "null", "max_window_layers": 1})", "2.window", "0"},
    {"qwen2 qwen3", R"({"use_sliding_window": true, "max_window_layers": 1})", "2.window", "4096"},
    {"qwen2 qwen3", R"({"num_hidden_layers": 30, "use_sliding_window": true, "sliding_window": 9})", "27.window", "0"},
    {"qwen2 qwen3", R"({"num_hidden_layers": 30, "use_sliding_window": true, "sliding_window": 9})", "28.window", "9"},
    {"llama qwen2 qwen3", R"({"num_key_value_heads": "null"})", "1.kv_heads", "4"},
    {"mistral", R"({"num_key_value_heads": "null", "num_attention_heads": 16})", "1.kv_heads", "16"},
    {"gemma3", R"({"num_key_value_heads": "null", "num_attention_heads": 8})", "1.kv_heads", "4"},
    {"qwen2 qwen3", R"({"num_key_value_heads": null, "num_attention_heads": 64, "head_dim": 2})", "1.kv_heads", "32"},
    {"llama", R"({"max_position_embeddings": null})", "max_position", "2048"},
    {"mistral gemma3", R"({"max_position_embeddings": null})", "max_position", "131072"},
    {"qwen2 qwen3", R"({"max_position_embeddings": null})", "max_position", "32768"},
    {"gemma3", R"({"hidden_size": null})", "hidden", "2304"},
    {"gemma3", R"({"num_attention_heads": null})", "1.heads", "8"},
    {"gemma3", R"({"intermediate_size": null})", "1.ffn", "9216"},
    {"gemma3", R"({"num_hidden_layers": null, "layer_types": null})", "layers", "26"},
    {"gemma3", R"({"sliding_window": null})", "1.window", "4096"},
    {"gemma3", R"({"head_dim": null})", "1.head_dim", "256"},
    {"llama mistral qwen2 qwen3", R"({"rope_scaling": {"type": "linear", "factor": 4}})", "2.inv0", "0.25"},
    {"llama mistral qwen2 qwen3", R"({"rope_scaling": {"rope_type": "linear", "factor": 4},
                                      "rope_parameters": {"rope_type": "linear", "factor": 2}})", "2.inv0", "0.25"},
    {"gemma3", R"({"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 2}},
                   "rope_scaling": {"rope_type": "linear", "factor": 4}})", "2.inv0", "0.25"},
    {"gemma3", R"({"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2}}})", "0.inv0", "0.5"},
    {"llama", R"({"original_max_position_embeddings": 4, "rope_scaling": {"rope_type": "llama3", "factor": 8,
                  "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 16}})",
     "0.inv0", "0.125"},
    {"qwen2", R"({"rope_theta": 4, "rope_scaling": {"rope_type": "yarn", "factor": 4,
                  "original_max_position_embeddings": 400}})", "0.inv2", "0.4375"},
    {"llama", R"({"rope_scaling": {"rope_type": "yarn", "factor": 4}, "max_position_embeddings": null})", "0.inv2", "0.00625"},
};

// Changes that must be refused by the key's name.
struct RefusedRow {
  const char* families;
  const char* patch;
  const char* key;
};
constexpr RefusedRow kRefusedKeys[] = {
    {"", R"({"partial_rotary_factor": 0.5})", "partial_rotary_factor"},
    {"", R"({"mlp_bias": true})", "mlp_bias"},
    {"", R"({"attn_logit_softcapping": 50})", "attn_logit_softcapping"},
    {"", R"({"is_causal": false})", "is_causal"},
    {"", R"({"quantization_config": {"quant_method": "awq"}})", "quantization_config"},
    {"", R"({"hidden_act": "relu", "hidden_activation": "relu"})", "hidden_act"},
    {"llama mistral qwen2 qwen3 gemma3", R"({"rope_theta": 0.5})", "theta"},
    {"gemma4", R"({"rope_parameters": {"full_attention": {"rope_theta": 0.5}}})", "theta"},
    {"", R"({"model_type": "gemma9"})", "model_type"},
    {"", R"({"vocab_size": 0})", "vocab_size"},
    {"", R"({"num_attention_heads": 3})", "heads"},
    {"", R"({"rms_norm_eps": "small"})", "rms_norm_eps"},
    {"gemma3 gemma4", R"({"layer_types": ["sliding_attention", "full_attention"]})", "layer_types"},
    {"gemma3 gemma4", R"({"layer_types": ["sliding_attention", "full_attention", "chunked_attention"]})", "layer_types"},
    {"gemma3 gemma4", R"({"use_bidirectional_attention": true})", "use_bidirectional_attention"},
    {"gemma4", R"({"hidden_size_per_layer_input": 6, "vocab_size_per_layer_input": 31})", "vocab_size_per_layer_input"},
    {"gemma4", R"({"sliding_window": "null"})", "sliding_window"},
    {"gemma4", R"({"rope_scaling": {"rope_type": "linear", "factor": 4}})", "rope_scaling"},
    {"llama mistral qwen2 qwen3", R"({"rope_scaling": {"rope_type": "linear"}})", "factor"},
    {"llama mistral qwen2 qwen3", R"({"rope_scaling": {"rope_type": "longrope", "factor": 4}})", "rope_type"},
};

// A GGUF file's metadata: a key under the architecture's prefix, its value as numbers.
struct MetadataRow {
  const char* families;
  const char* key;
  std::uint32_t type;  // 4: u32, 6: f32, 7: bool
  std::vector<double> values;
  const char* field;
  const char* value;
};
constexpr std::uint32_t kU32 = 4, kF32 = 6;
std::vector<MetadataRow> MetadataKeys() {
  return {
    {"", "context_length", kU32, {99}, "max_position", "99"},
    {"llama qwen2 qwen3 gemma3", "feed_forward_length", kU32, {40}, "1.ffn", "40"},
    {"gemma4", "feed_forward_length", kU32, {40, 41, 42}, "1.ffn", "41"},
    {"", "attention.head_count", kU32, {8}, "1.heads", "8"},
    {"llama qwen2 qwen3 gemma3", "attention.head_count_kv", kU32, {1}, "1.kv_heads", "1"},
    {"gemma4", "attention.head_count_kv", kU32, {4, 1, 2}, "1.kv_heads", "1"},
    {"", "attention.layer_norm_rms_epsilon", kF32, {0.25}, "norm_eps", "0.25"},
    {"llama qwen2 qwen3", "rope.freq_base", kF32, {500}, "1.theta", "500"},
    {"gemma3 gemma4", "rope.freq_base", kF32, {500}, "2.theta", "500"},
    {"gemma3 gemma4", "rope.freq_base_swa", kF32, {77}, "0.theta", "77"},
    {"gemma3 gemma4", "attention.sliding_window", kU32, {9}, "1.window", "9"},
    {"gemma3 gemma4", "attention.sliding_window_pattern", kU32, {2}, "1.window", "0"},
    {"gemma3 gemma4", "attention.sliding_window_pattern", kU32, {2}, "2.window", "5"},
    {"gemma3 gemma4", "final_logit_softcapping", kF32, {11}, "softcap", "11"},
    {"llama qwen2 qwen3", "final_logit_softcapping", kF32, {0}, "softcap", "0"},
    {"llama qwen2 qwen3 gemma3", "rope.scaling.factor", kF32, {4}, "2.inv0", "0.25"},
    {"gemma3", "rope.scaling.factor", kF32, {4}, "0.inv0", "1"},
    {"llama qwen2 qwen3", "rope.scale_linear", kF32, {4}, "2.inv0", "0.25"},
    {"gemma4", "attention.shared_kv_layers", kU32, {0}, "2.source", "2"},
    {"gemma4", "embedding_length_per_layer_input", kU32, {6}, "ple", "6"},
};
}

// Ropes of YaRN have several keys each; as above, with every key stated.
struct YarnRow {
  const char* key;
  double value;
  const char* field;
  const char* expected;
};
constexpr YarnRow kYarnKeys[] = {
    {"", 0, "0.gain", "1.13863"},
    {"rope.scaling.original_context_length", 16, "0.inv2", "0.25"},
    {"rope.scaling.yarn_beta_fast", 8, "0.inv3", "0.239911"},
    {"rope.scaling.yarn_beta_slow", 2, "0.inv3", "0.265165"},
    {"rope.scaling.yarn_attn_factor", 2, "0.gain", "2.27726"},
    {"rope.scaling.attn_factor", 2, "0.gain", "2.27726"},
};
// clang-format on

bool Names(const char* families, const std::string& family) { return *families == 0 || Has(families, family); }

void CheckField(CaseState& state, const std::string& what, const ModelSpec& spec, const char* field,
                const char* expected) {
  const std::map<std::string, std::string> fields = FieldsOf(spec);
  const auto found = fields.find(field);
  const std::string value = found == fields.end() ? "no such field" : found->second;
  state.check.True(value == expected, "spec", Place(what, {}),
                   fmt::format("{}: expected {}, found {}", field, expected, value));
}

// The text "null" stands for null: in a merge patch that would take the key away.
json Patched(const json& base, const char* patch) {
  json config = base;
  config.merge_patch(json::parse(patch));
  for (auto& item : config.items())
    if (item.value() == "null") item.value() = nullptr;
  return config;
}

void ConfigKeys(CaseState& state, const std::string& family) {
  json base;
  const json document = Document();
  for (const json& cell : document["cells"])
    if (cell["name"] == family + "/hf/base") base = cell["config"];
  state.check.AtLeast(
      "spec", std::ranges::count_if(kConfigKeys, [&](const KeyRow& row) { return Names(row.families, family); }) + 2);
  state.check.AtLeast("refused by name", std::ranges::count_if(kRefusedKeys, [&](const RefusedRow& row) {
                        return Names(row.families, family);
                      }));
  Require(!base.is_null(), "no plain configuration of {}", family);
  for (const KeyRow& row : kConfigKeys) {
    if (!Names(row.families, family)) continue;
    for (const bool nested : {false, true}) {
      json config = Patched(base, row.patch);
      const std::string type = config["model_type"];
      // As the text model of a larger one; the dense families have no such form.
      if (nested && (!family.starts_with("gemma") || type.find("unified") != std::string::npos)) continue;
      if (nested) config = json{{"model_type", family}, {"text_config", config}};
      const std::string what = fmt::format("{} {}{}", family, nested ? "text_config " : "", row.patch);
      try {
        const ModelSpec spec = SpecFromHfConfig(config.dump(), "config.json", family, 32);
        CheckField(state, what, spec, row.field, row.value);
      } catch (const InputError& error) {
        state.check.True(false, "reads", Place(what, {}), error.what());
      }
    }
  }
  for (const RefusedRow& row : kRefusedKeys) {
    if (!Names(row.families, family)) continue;
    std::string said = "nothing";
    try {
      SpecFromHfConfig(Patched(base, row.patch).dump(), "config.json", family, 32);
    } catch (const InputError& error) {
      said = error.what();
    }
    state.check.True(said.find(row.key) != std::string::npos, "refused by name",
                     Place(fmt::format("{} {}", family, row.patch), {}), said);
  }
  // What stands outside of the text model counts where the text model says nothing.
  const bool gemma = family.starts_with("gemma");
  for (const bool own : {false, true}) {
    json text = Patched(base, R"({"tie_word_embeddings": null})");
    if (own) text["tie_word_embeddings"] = gemma;
    const json outer{{"model_type", base["model_type"]}, {"tie_word_embeddings", !gemma}, {"text_config", text}};
    CheckField(state, fmt::format("{} tied outside{}", family, own ? ", and inside" : ""),
               SpecFromHfConfig(outer.dump(), "config.json", family, 32), "tied", own == gemma ? "1" : "0");
  }
}

void MetadataKeys(CaseState& state, const std::string& family) {
  const std::string path = Folder() + family + ".gguf";
  const std::vector<MetadataRow> keys = MetadataKeys();
  state.check.AtLeast("spec", std::ranges::count_if(keys, [&](const MetadataRow& row) {
                                return Names(row.families, family);
                              }) + (family.starts_with("gemma") ? 0 : std::ssize(kYarnKeys)));
  const auto check = [&](const std::string& what, const GgufImage& image, const char* field, const char* value) {
    const ScratchFolder folder;
    try {
      const GgufFile file(folder.Put("model.gguf", image.Bytes()));
      CheckField(state, what, ReadGgufConfig(file).spec, field, value);
    } catch (const InputError& error) {
      state.check.True(false, "reads", Place(what, {}), error.what());
    }
  };
  for (const MetadataRow& row : keys) {
    if (!Names(row.families, family)) continue;
    GgufImage image = GgufImage::Read(path);
    image.Set(fmt::format("{}.{}", family, row.key), row.type, row.values, row.values.size() > 1);
    check(fmt::format("{} {}", family, row.key), image, row.field, row.value);
  }
  if (family.starts_with("gemma")) return;
  for (const YarnRow& row : kYarnKeys) {
    GgufImage image = GgufImage::Read(path);
    const auto set = [&](const char* key, double value) {
      image.Set(fmt::format("{}.{}", family, key),
                std::string_view(key) == "rope.scaling.original_context_length" ? kU32 : kF32, {value});
    };
    image.SetString(family + ".rope.scaling.type", "yarn");
    set("rope.freq_base", 4);
    set("rope.scaling.factor", 4);
    set("rope.scaling.original_context_length", 64);
    set("rope.scaling.yarn_beta_fast", 4);
    set("rope.scaling.yarn_beta_slow", 1);
    if (*row.key != 0) set(row.key, row.value);
    check(fmt::format("{} yarn {}", family, row.key), image, row.field, row.expected);
  }
}

// Experts' gate and up in tensors of their own, of unlike types: both halves are read by their own type.
void SplitExperts(CaseState& state) {
  state.check.AtLeast("ulp", 4);
  const GgufImage plain = GgufImage::Read(FixtureRoot() + "/goldens/gguf-tiny/gemma4-moe-split-experts.gguf");
  const auto halves = [](const GgufImage& image) {
    const ScratchFolder folder;
    return ToFloats(OpenModel(folder.Put("model.gguf", image.Bytes()))->Load({Role::kExpertGateUp, 0}));
  };
  for (const bool up : {true, false})
    for (const DType type : {DType::kF16, DType::kBF16}) {
      GgufImage as_float = plain, mixed = plain, both = plain;
      const std::string gate_name = "blk.0.ffn_gate_exps.weight", up_name = "blk.0.ffn_up_exps.weight";
      mixed.Convert(up ? up_name : gate_name, type);
      for (const std::string& name : {gate_name, up_name}) both.Convert(name, type);
      const std::vector<float> exact = halves(as_float), rounded = halves(both);
      const ScratchFolder folder;
      const auto store = OpenModel(folder.Put("model.gguf", mixed.Bytes()));
      const HostTensor tensor = store->Load({Role::kExpertGateUp, 0});
      std::vector<float> expected(exact);
      const std::int64_t half = tensor.rows / 2 * tensor.cols;
      for (std::int64_t e = 0; e < tensor.experts; ++e)
        for (std::int64_t i = 0; i < half; ++i) {
          const std::int64_t at = (2 * e + (up ? 1 : 0)) * half + i;
          expected[at] = rounded[at];
        }
      state.check.Bits(expected, ToFloats(tensor), {up ? "up is of another type" : "gate is of another type", {}});
    }
}

// A weight that is no number is refused by its tensor's name before anything is computed with it.
void NotFinite(CaseState& state) {
  const char* const names[] = {"token_embd.weight", "blk.0.attn_q.weight", "blk.1.ffn_down.weight",
                               "blk.2.ffn_norm.weight", "output_norm.weight"};
  state.check.AtLeast("refused by name", std::ssize(names));
  for (const char* name : names) {
    GgufImage image = GgufImage::Read(Folder() + "qwen3.gguf");
    std::string& data = image.TensorAt(name).data;
    std::fill(data.end() - 4, data.end(), '\xff');
    const ScratchFolder folder;
    std::string said = "nothing";
    try {
      const auto store = OpenModel(folder.Put("model.gguf", image.Bytes()));
      const auto ops = state.bench.MakeOps(state.target);
      EngineSystem(*store, *ops, StraightOptions(store->spec(), 1, 4));
    } catch (const InputError& error) {
      said = error.what();
    }
    state.check.True(said.find(name) != std::string::npos && said.find("finite") != std::string::npos,
                     "refused by name", Place(name, {}), said);
  }
}

}  // namespace

std::vector<Case> LoaderCases(Workbench&, const std::vector<Target>& targets) {
  std::vector<Case> cases;
  for (const Target& any : OncePerDevice(targets)) {
    const auto add = [&](const char* name, const std::string& family, std::function<void(CaseState&)> body) {
      Case item = MakeCase("Loader", name, any, {}, {Capability::kInternals}, std::move(body));
      item.axes = Axes({{"model", any.axes().Text("model")}, {"device", any.device.kind_name()}, {"family", family}});
      cases.push_back(std::move(item));
    };
    add("SplitExperts", "gemma4", SplitExperts);
    add("NotFinite", "qwen3", NotFinite);
    for (const std::string family : kFamilies) {
      add("Settings", family, [family](CaseState& state) { Settings(state, family); });
      add("ConfigKeys", family, [family](CaseState& state) { ConfigKeys(state, family); });
      if (family != "mistral") add("MetadataKeys", family, [family](CaseState& state) { MetadataKeys(state, family); });
    }
  }
  return cases;
}

}  // namespace assay
