#include "engine/weights/hf_config.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "engine/base/check.h"
#include "engine/model/dense.h"
#include "engine/model/families.h"
#include "engine/model/gemma4.h"
#include "engine/text/foreign.h"
#include "engine/weights/config_limits.h"
#include "engine/weights/hf_rope.h"
#include "engine/weights/json_fields.h"
#include "engine/weights/strict_json.h"
#include "engine/weights/unread_keys.h"

namespace assay {
namespace {

using nlohmann::json;

struct Architecture {
  std::string_view model_type;
  std::string_view family;
  bool unified = false;  // Gemma 4 without per-layer embeddings: their keys mean nothing
};
constexpr Architecture kArchitectures[] = {
    {"gemma4", "gemma4"},
    {"gemma4_text", "gemma4"},
    {"gemma4_unified", "gemma4", true},
    {"gemma4_unified_text", "gemma4", true},
    {"gemma3", "gemma3"},
    {"gemma3_text", "gemma3"},
    {"llama", "llama"},
    {"mistral", "mistral"},
    {"qwen2", "qwen2"},
    {"qwen3", "qwen3"},
};

const Architecture& FindArchitecture(const JsonFields& fields, const std::string& model_type) {
  std::string known;
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.model_type == model_type) return architecture;
    known += (known.empty() ? "" : ", ") + std::string(architecture.model_type);
  }
  Throw("{}: architecture '{}' is not supported; supported are {}", fields.At("model_type"), model_type, known);
}

void Refuse(bool wrong, const JsonFields& fields, const char* key, const char* why) {
  Require(!wrong, "{}: {} is not supported", fields.At(key), why);
}

// What would change the forward pass in ways that no spec can say.
void RefuseUnsupported(const JsonFields& top, const JsonFields& text) {
  for (const JsonFields* fields : {&top, &text}) {
    if (const auto quantisation = fields->Object("quantization_config"))
      Throw("{}: checkpoints quantised by '{}' are not supported; use the original or a GGUF file",
            quantisation->where(), quantisation->OptionalString("quant_method").value_or("?"));
  }
  for (const JsonFields* fields : {&top, &text})
    Refuse(!fields->Bool("is_causal", true), *fields, "is_causal", "attention in both directions");
  Refuse(text.Bool("mlp_bias", false), text, "mlp_bias", "a bias in the feed-forward block");
  Refuse(text.Number("attn_logit_softcapping", 0) != 0, text, "attn_logit_softcapping",
         "a softcap on attention scores");
  Refuse(text.Number("partial_rotary_factor", 1) != 1, text, "partial_rotary_factor", "rope on a part of each head");
}

void CheckActivation(const JsonFields& text, Activation expected) {
  const std::string_view name = expected == Activation::kSilu ? "silu" : "gelu_pytorch_tanh";
  // Gemma 3 files may carry both keys; "hidden_activation" is the one its code reads.
  for (const char* key : {"hidden_activation", "hidden_act"}) {
    const auto found = text.OptionalString(key);
    if (!found) continue;
    Require(*found == name, "{}: expected '{}', found '{}'", text.At(key), name, *found);
    return;
  }
}

std::optional<std::vector<LayerKind>> ParseLayerTypes(const JsonFields& text, int layers) {
  const auto names = text.Strings("layer_types");
  if (!names) return std::nullopt;
  Require(names->size() == static_cast<std::size_t>(layers), "{}: expected {} entries, found {}",
          text.At("layer_types"), layers, names->size());
  std::vector<LayerKind> kinds;
  for (const std::string& name : *names) {
    Require(name == "full_attention" || name == "sliding_attention",
            "{}[{}]: expected full_attention or sliding_attention, found '{}'", text.At("layer_types"), kinds.size(),
            ForMessage(name));
    kinds.push_back(name == "full_attention" ? LayerKind::kFull : LayerKind::kSliding);
  }
  return kinds;
}

int ParseVocab(const JsonFields& text, std::optional<int> embedding_rows) {
  return embedding_rows ? text.Int("vocab_size", 1, INT_MAX, *embedding_rows) : text.Int("vocab_size", 1);
}

// What one layer says differently from the others: "05" or "5" -> {"head_dim": .., "num_key_value_heads": .., ..}.
std::map<int, JsonFields> ParsePerLayer(const JsonFields& text, int layers) {
  std::map<int, JsonFields> overrides;
  const auto table = text.Object("per_layer_config");
  if (!table) return overrides;
  for (const std::string& key : table->Keys()) {
    const bool digits = !key.empty() && key.size() <= 4 && key.find_first_not_of("0123456789") == std::string::npos;
    const int layer = digits ? std::stoi(key) : -1;
    Require(digits && layer < layers, "{}: expected layer numbers below {}, found '{}'", table->where(), layers,
            ForMessage(key));
    const auto fields = table->Object(key.c_str());
    Require(fields.has_value(), "{}: layer '{}' is null", table->where(), key);
    for (const std::string& name : fields->Keys())
      Require(name == "head_dim" || name == "num_key_value_heads" || name == "intermediate_size",
              "{}: a layer's own '{}' is not supported", fields->where(), ForMessage(name));
    Require(overrides.emplace(layer, *fields).second, "{}: layer {} appears twice", table->where(), layer);
  }
  return overrides;
}

std::vector<LayerKind> Gemma4Kinds(const JsonFields& text, int layers, const std::map<int, JsonFields>& overrides) {
  std::vector<LayerKind> kinds;
  if (const auto stated = ParseLayerTypes(text, layers)) {
    kinds = *stated;
  } else if (overrides.empty()) {
    kinds = EveryNthFull(layers, 6);
  } else {
    for (int l = 0; l < layers; ++l) kinds.push_back(overrides.contains(l) ? LayerKind::kFull : LayerKind::kSliding);
  }
  kinds.back() = LayerKind::kFull;  // transformers forces it, whatever the file says
  return kinds;
}

// Both layouts: with per_layer_config, a layer that is not listed has the base values unless the older global keys are
// there too.
void Gemma4Layers(const JsonFields& text, int layers, Gemma4Config& config) {
  const std::map<int, JsonFields> overrides = ParsePerLayer(text, layers);
  const std::vector<LayerKind> kinds = Gemma4Kinds(text, layers, overrides);
  const bool key_is_value = text.Bool("attention_k_eq_v", false);
  const int head_dim = text.Int("head_dim", 2, 1024, 256), kv_heads = text.Int("num_key_value_heads", 1, kMaxWidth);
  const int full_dim = text.Int("global_head_dim", 2, 1024, overrides.empty() ? 512 : head_dim);
  const int full_kv = key_is_value ? text.Int("num_global_key_value_heads", 1, kMaxWidth, kv_heads) : kv_heads;
  const int ffn = text.Int("intermediate_size", 1, kMaxWidth);
  for (int l = 0; l < layers; ++l) {
    const LayerKind kind = kinds[l];
    const bool full = kind == LayerKind::kFull;
    Gemma4Layer layer{kind, full ? full_kv : kv_heads, full ? full_dim : head_dim, ffn, full && key_is_value};
    if (const auto own = overrides.find(l); own != overrides.end()) {
      layer.head_dim = own->second.Int("head_dim", 2, 1024, layer.head_dim);
      layer.kv_heads = own->second.Int("num_key_value_heads", 1, kMaxWidth, layer.kv_heads);
      layer.ffn = own->second.Int("intermediate_size", 1, kMaxWidth, layer.ffn);
    }
    config.layers.push_back(layer);
  }
}

// Bidirectional attention among image tokens leaves text causal; anything else does not.
void CheckCausal(const JsonFields& text, const char* key) {
  if (text.IsString(key)) {
    Require(text.OptionalString(key) == "vision", "{}: expected null, false or 'vision', found '{}'", text.At(key),
            *text.OptionalString(key));
  } else {
    Refuse(text.Bool(key, false), text, key, "bidirectional attention");
  }
}

ModelSpec ParseGemma4(const JsonFields& text, const Architecture& architecture, bool tied, const std::string& name,
                      std::optional<int> embedding_rows) {
  CheckCausal(text, "use_bidirectional_attention");
  Gemma4Config config;
  config.name = name;
  config.hidden = text.Int("hidden_size", 1, kMaxWidth);
  config.vocab = ParseVocab(text, embedding_rows);
  config.max_position = text.Int("max_position_embeddings", 1, kMaxPosition, 131072);
  config.norm_eps = text.Number("rms_norm_eps", 1e-6);
  config.heads = text.Int("num_attention_heads", 1, kMaxWidth);
  Refuse(text.Mentions("sliding_window") && !text.Has("sliding_window"), text, "sliding_window",
         "null, with layers that have a window,");
  config.window = text.Int("sliding_window", 1, kMaxPosition, architecture.unified ? 1024 : 512);
  config.softcap = text.Number("final_logit_softcapping", 0);
  config.tied_head = tied;
  config.attention_bias = text.Bool("attention_bias", false);
  config.double_wide = text.Bool("use_double_wide_mlp", false);
  if (!architecture.unified) {
    // Stated as null it is off; only a file that does not mention it has the default.
    config.ple_width =
        text.Int("hidden_size_per_layer_input", 0, kMaxWidth, text.Mentions("hidden_size_per_layer_input") ? 0 : 256);
  }
  if (config.ple_width > 0) {
    const int rows = text.Int("vocab_size_per_layer_input", 1, INT_MAX, config.vocab);
    Require(rows == config.vocab, "{}: expected the vocabulary's {}, found {}", text.At("vocab_size_per_layer_input"),
            config.vocab, rows);
  }
  const int layers = text.Int("num_hidden_layers", 1, kMaxLayers);
  config.shared_kv_layers = text.Int("num_kv_shared_layers", 0, layers - 1, 0);
  if (text.Bool("enable_moe_block", false)) {
    config.experts = text.Int("num_experts", 1, kMaxWidth);
    config.top_k = text.Int("top_k_experts", 1, config.experts);
    config.expert_ffn = text.Int("moe_intermediate_size", 1, kMaxWidth);
  }
  const RopePair ropes = ParseRopes(text, "gemma4", {config.rope_full, config.rope_sliding}, config.max_position);
  config.rope_full = ropes.full;
  config.rope_sliding = ropes.sliding;
  Gemma4Layers(text, layers, config);
  return Gemma4Spec(config);
}

// transformers' defaults of keys that a file may leave out: 0 = none, the file must say. Gemma 3's multimodal files
// state only what differs from them.
struct DenseDefaults {
  std::string_view family;
  int positions = 0, kv_heads = 0, head_dim = 0, window = 0;
  int hidden = 0, layers = 0, heads = 0, ffn = 0, vocab = 0;
  double theta = 1e4;
  bool attention_bias = false;  // whether the family's code reads the key
};
constexpr DenseDefaults kDenseDefaults[] = {
    {.family = "llama", .positions = 2048, .attention_bias = true},
    {.family = "mistral", .positions = 131072, .kv_heads = 8, .window = 4096},
    {.family = "qwen2", .positions = 32768, .kv_heads = 32, .window = 4096},
    {.family = "qwen3", .positions = 32768, .kv_heads = 32, .head_dim = 128, .window = 4096, .attention_bias = true},
    {"gemma3", 131072, 4, 256, 4096, 2304, 26, 8, 9216, 262208, 1e6, true},
};

int IntOr(const JsonFields& fields, const char* key, int high, int otherwise) {
  return otherwise > 0 ? fields.Int(key, 1, high, otherwise) : fields.Int(key, 1, high);
}

// An absent key has transformers' default, null means none.
int WindowOr(const JsonFields& text, int otherwise) {
  return text.Int("sliding_window", 1, kMaxPosition, text.Mentions("sliding_window") ? 0 : otherwise);
}

// Mistral: a window is on every layer. Qwen: only when switched on, and from max_window_layers on. Gemma 3: a pattern.
void DenseKinds(const JsonFields& text, const DenseDefaults& defaults, int layers, DenseConfig& config) {
  config.kinds.assign(static_cast<std::size_t>(layers), LayerKind::kFull);
  if (config.family == "llama") return;
  const bool qwen = config.family == "qwen2" || config.family == "qwen3";
  const bool off = qwen && !text.Bool("use_sliding_window", false);
  config.window = off ? 0 : WindowOr(text, defaults.window);
  if (config.family == "mistral") {
    if (config.window > 0) std::fill(config.kinds.begin(), config.kinds.end(), LayerKind::kSliding);
  } else if (const auto stated = ParseLayerTypes(text, layers)) {
    config.kinds = *stated;
  } else if (qwen) {
    const auto first = static_cast<std::size_t>(text.Int("max_window_layers", 0, INT_MAX, 28));
    for (std::size_t l = first; l < config.kinds.size() && config.window > 0; ++l)
      config.kinds[l] = LayerKind::kSliding;
  } else {
    const int stated_period = text.Int("_sliding_window_pattern", 1, kMaxLayers, 6);
    config.kinds = EveryNthFull(layers, text.Int("sliding_window_pattern", 1, kMaxLayers, stated_period));
  }
  const bool slides = std::find(config.kinds.begin(), config.kinds.end(), LayerKind::kSliding) != config.kinds.end();
  Require(!slides || config.window > 0, "{}: layer_types has sliding_attention, but there is no window{}",
          text.At("sliding_window"), off ? ": use_sliding_window is not true" : "");
}

ModelSpec ParseDense(const JsonFields& text, const Architecture& architecture, bool tied, const std::string& name,
                     std::optional<int> embedding_rows) {
  const DenseDefaults& defaults =
      *std::find_if(std::begin(kDenseDefaults), std::end(kDenseDefaults),
                    [&](const DenseDefaults& row) { return row.family == architecture.family; });
  const bool gemma3 = architecture.family == "gemma3";
  if (gemma3) CheckCausal(text, "use_bidirectional_attention");
  DenseConfig config;
  config.name = name;
  config.family = architecture.family;
  config.hidden = IntOr(text, "hidden_size", kMaxWidth, defaults.hidden);
  config.heads = IntOr(text, "num_attention_heads", kMaxWidth, defaults.heads);
  // Null means as many as heads; only a file that does not mention the key has the family's number.
  const bool kv_default = defaults.kv_heads > 0 && (gemma3 || !text.Mentions("num_key_value_heads"));
  config.kv_heads = text.Int("num_key_value_heads", 1, kMaxWidth, kv_default ? defaults.kv_heads : config.heads);
  const int even_share = config.hidden / config.heads;
  Require(defaults.head_dim > 0 || text.Has("head_dim") || config.hidden % config.heads == 0,
          "{}: without head_dim, hidden_size {} must be a multiple of num_attention_heads {}", text.where(),
          config.hidden, config.heads);
  config.head_dim = text.Int("head_dim", 1, 1024, defaults.head_dim > 0 ? defaults.head_dim : even_share);
  config.ffn = IntOr(text, "intermediate_size", kMaxWidth, defaults.ffn);
  config.vocab = embedding_rows || defaults.vocab == 0 ? ParseVocab(text, embedding_rows)
                                                       : text.Int("vocab_size", 1, INT_MAX, defaults.vocab);
  config.max_position = IntOr(text, "max_position_embeddings", kMaxPosition, defaults.positions);
  config.norm_eps = text.Number("rms_norm_eps", 1e-6);
  config.tied_head = tied;
  config.attention_bias = defaults.attention_bias && text.Bool("attention_bias", false);
  if (gemma3) {
    config.softcap = text.Number("final_logit_softcapping", 0);
    const double scalar = text.Number("query_pre_attn_scalar", 256);
    Require(scalar > 0, "{}: expected a number above 0, found {}", text.At("query_pre_attn_scalar"), scalar);
    config.attn_scale = 1 / std::sqrt(scalar);
  }
  const int layers = IntOr(text, "num_hidden_layers", kMaxLayers, defaults.layers);
  DenseKinds(text, defaults, layers, config);
  RopeConfig full;
  full.theta = defaults.theta;
  const RopePair ropes = ParseRopes(text, config.family, {full, RopeConfig{}}, config.max_position);
  config.rope_full = ropes.full;
  config.rope_sliding = ropes.sliding;
  return DenseSpec(config);
}

}  // namespace

HfConfig ReadHfConfig(std::string_view text_of_file, const std::string& where, const std::string& name,
                      std::optional<int> embedding_rows) {
  const json document = ParseJson(text_of_file, where, {});
  const auto reads = std::make_shared<std::set<std::string>>();
  const JsonFields top(document, where, reads);
  const auto outer_type = top.OptionalString("model_type");
  Require(outer_type.has_value(), "{}: the key is missing", top.At("model_type"));
  const Architecture& outer = FindArchitecture(top, *outer_type);
  const JsonFields text = top.Object("text_config").value_or(top);
  const Architecture& architecture = FindArchitecture(text, text.OptionalString("model_type").value_or(*outer_type));
  Require(outer.family == architecture.family, "{}: '{}' inside of '{}'", text.At("model_type"),
          architecture.model_type, outer.model_type);
  RefuseUnsupported(top, text);
  CheckActivation(text, Family(architecture.family).activation);
  const bool tied_default = Family(architecture.family).scaled_embedding;  // both Gemmas
  const bool outer_tied = top.Bool("tie_word_embeddings", tied_default);
  const bool tied = text.Bool("tie_word_embeddings", outer_tied);
  try {
    HfConfig config;
    config.spec = architecture.family == "gemma4" ? ParseGemma4(text, architecture, tied, name, embedding_rows)
                                                  : ParseDense(text, architecture, tied, name, embedding_rows);
    config.unread = UnreadConfigKeys(document, *reads, architecture.family, where);
    return config;
  } catch (const InputError& error) {
    // The builders' own checks do not know the file.
    if (std::string_view(error.what()).starts_with(where)) throw;
    Throw("{}: {}", where, error.what());
  }
}

}  // namespace assay
