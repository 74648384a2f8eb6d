#include "engine/weights/gguf_config.h"

#include <array>
#include <cmath>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>

#include "engine/base/check.h"
#include "engine/model/dense.h"
#include "engine/model/gemma4.h"
#include "engine/text/foreign.h"
#include "engine/weights/config_limits.h"

namespace assay {
namespace {

// Metadata under the architecture's prefix. A number may be a scalar or an array of one or `layers` elements.
class Keys {
 public:
  Keys(const GgufFile& file, std::string arch) : file_(file), arch_(std::move(arch)) {}

  const GgufFile& file() const { return file_; }
  const std::string& arch() const { return arch_; }
  bool Has(std::string_view key) const { return file_.Value(Full(key)) != nullptr; }

  std::vector<int> PerLayer(std::string_view key, int layers) const {
    const std::string full = Full(key);
    std::vector<int> values;
    for (const std::int64_t value : file_.Integers(full, static_cast<std::uint64_t>(layers))) {
      Require(value >= 0 && value <= kMaxPosition, "{}: key '{}': expected 0 to {}, found {}", file_.path(), full,
              kMaxPosition, value);
      values.push_back(static_cast<int>(value));
    }
    if (values.size() == 1) values.resize(static_cast<std::size_t>(layers), values[0]);
    Require(values.size() == static_cast<std::size_t>(layers),
            "{}: key '{}': expected 1 or {} elements (one per layer), found {}", file_.path(), full, layers,
            values.size());
    return values;
  }

  // Without `fallback` the key is required.
  int Int(std::string_view key, int layers, std::optional<int> fallback = std::nullopt) const {
    if (fallback && !Has(key)) return *fallback;
    const std::vector<int> values = PerLayer(key, layers);
    for (const int value : values)
      Require(value == values[0], "{}: key '{}': {} layers must agree, found {} and {}", file_.path(), Full(key), arch_,
              values[0], value);
    return values[0];
  }

  double Real(std::string_view key, std::optional<double> fallback = std::nullopt) const {
    if (fallback && !Has(key)) return *fallback;
    const double value = file_.Reals(Full(key), 1)[0];
    Require(std::isfinite(value), "{}: key '{}': expected a finite number, found {}", file_.path(), Full(key), value);
    return value;
  }

  std::string String(std::string_view key, const std::string& fallback) const {
    return Has(key) ? file_.String(Full(key)) : fallback;
  }

  std::string Full(std::string_view key) const { return arch_ + "." + std::string(key); }

 private:
  const GgufFile& file_;
  std::string arch_;
};

// What every architecture has.
struct Common {
  std::string name;
  int layers = 0, hidden = 0, vocab = 0, heads = 0, max_position = 0;
  double norm_eps = 0, softcap = 0;
  bool tied_head = true;
};

std::string ModelName(const GgufFile& file) {
  const GgufValue* value = file.Value("general.name");
  const bool text = value != nullptr && value->type == GgufType::kString && !value->is_array;
  const std::string name = text ? ForMessage(file.String("general.name")) : "";
  return name.empty() ? std::filesystem::path(file.path()).stem().string() : name;
}

Common ReadCommon(const Keys& keys) {
  const GgufFile& file = keys.file();
  Common c;
  c.name = ModelName(file);
  c.layers = keys.Int("block_count", 1);
  Require(c.layers >= 1 && c.layers <= kMaxLayers, "{}: key '{}': expected 1 to {} layers, found {}", file.path(),
          keys.Full("block_count"), kMaxLayers, c.layers);
  // A layer without tensors cannot be: hold the claim against the file before anything is built per layer.
  Require(static_cast<std::size_t>(c.layers) < file.tensors().size(),
          "{}: {} layers claimed, but the file has only {} tensors", file.path(), c.layers, file.tensors().size());
  c.hidden = keys.Int("embedding_length", 1);
  c.heads = keys.Int("attention.head_count", c.layers);
  Require(c.heads >= 1, "{}: key '{}': expected at least 1, found {}", file.path(), keys.Full("attention.head_count"),
          c.heads);
  c.max_position = keys.Int("context_length", 1);
  Require(!keys.Has("attention.causal") || keys.Int("attention.causal", 1) != 0,
          "{}: key '{}' is false: attention in both directions is not supported", file.path(),
          keys.Full("attention.causal"));
  const bool gemma = keys.arch() == "gemma3" || keys.arch() == "gemma4";
  // Ollama's Gemma 3 files leave it out.
  c.norm_eps = keys.Real("attention.layer_norm_rms_epsilon",
                         keys.arch() == "gemma3" ? std::optional<double>(1e-6) : std::nullopt);
  c.softcap = gemma ? keys.Real("final_logit_softcapping", 0.0) : 0.0;
  const GgufTensor& embed = file.Tensor("token_embd.weight");
  Require(embed.rank == 2 && embed.dims[0] == c.hidden && embed.dims[1] <= std::numeric_limits<int>::max(),
          "{}: tensor 'token_embd.weight': expected {} columns (embedding_length) and a row per token, found {} x {}",
          file.path(), c.hidden, embed.dims[0], embed.dims[1]);
  c.vocab = static_cast<int>(embed.dims[1]);
  const GgufValue* tokens = file.Value("tokenizer.ggml.tokens");
  Require(tokens == nullptr || tokens->count == static_cast<std::uint64_t>(c.vocab),
          "{}: tokenizer.ggml.tokens has {} tokens, token_embd.weight has {} rows", file.path(),
          tokens ? tokens->count : 0, c.vocab);
  c.tied_head = file.Find("output.weight") == nullptr;
  return c;
}

// Keys and values of one width are all that is supported; the rope covers the whole head.
int HeadDim(const Keys& keys, const std::string& suffix, int layers, std::optional<int> fallback) {
  const std::string& path = keys.file().path();
  const int dim = keys.Int("attention.key_length" + suffix, layers, fallback);
  const int value_dim = keys.Int("attention.value_length" + suffix, layers, dim);
  Require(value_dim == dim, "{}: key '{}': values of {} dimensions, keys of {}: they must agree", path,
          keys.Full("attention.value_length" + suffix), value_dim, dim);
  const int rotated = keys.Int("rope.dimension_count" + suffix, layers, dim);
  Require(rotated == dim, "{}: key '{}': {} of {} dimensions rotate: partial rotation in this form is not supported",
          path, keys.Full("rope.dimension_count" + suffix), rotated, dim);
  return dim;
}

// The pattern key is an array (true = sliding) or a period (every n-th layer is full).
std::vector<LayerKind> LayerKinds(const Keys& keys, int layers, std::optional<int> default_period) {
  constexpr std::string_view kPattern = "attention.sliding_window_pattern";
  const GgufValue* value = keys.file().Value(keys.Full(kPattern));
  if (value == nullptr || !value->is_array) return EveryNthFull(layers, keys.Int(kPattern, 1, default_period));
  const std::vector<std::int64_t> sliding = keys.file().Integers(keys.Full(kPattern), kMaxLayers);
  Require(sliding.size() == static_cast<std::size_t>(layers),
          "{}: key '{}': expected {} elements (one per layer), found {}", keys.file().path(), keys.Full(kPattern),
          layers, sliding.size());
  std::vector<LayerKind> kinds;
  for (const std::int64_t flag : sliding) kinds.push_back(flag != 0 ? LayerKind::kSliding : LayerKind::kFull);
  return kinds;
}

// The divisors of `rope_freqs.weight`, when the file has it.
std::optional<std::vector<float>> RopeDivisors(const GgufFile& file, int head_dim) {
  const GgufTensor* tensor = file.Find("rope_freqs.weight");
  if (tensor == nullptr) return std::nullopt;
  Require(tensor->type == DType::kF32 && tensor->rank == 1 && tensor->dims[0] == head_dim / 2,
          "{}: tensor 'rope_freqs.weight': expected {} F32 divisors (half of head_dim), found {} {} in {} dimensions",
          file.path(), head_dim / 2, tensor->dims[0], Name(tensor->type), tensor->rank);
  std::vector<float> divisors(tensor->dims[0]);
  file.file(*tensor).Read(std::as_writable_bytes(std::span(divisors)), tensor->offset, "rope_freqs.weight");
  return divisors;
}

// Linear or YaRN scaling of `rope`, or none; anything else is refused by name. Files may give the factor without a
// type.
void ApplyScaling(const Keys& keys, RopeConfig* rope, int positions) {
  const std::string type = keys.String("rope.scaling.type", "linear");
  const double factor = keys.Real("rope.scaling.factor", keys.Real("rope.scale_linear", 1.0));
  if (type == "none" || (type == "linear" && (factor == 1.0 || factor == 0.0))) return;
  Require(type == "linear" || type == "yarn",
          "{}: key '{}': rope scaling '{}' is not supported: supported are none, linear, yarn and rope_freqs",
          keys.file().path(), keys.Full("rope.scaling.type"), ForMessage(type));
  rope->rule = RopeRule::kLinear;
  rope->factor = factor == 0.0 ? 1.0 : factor;
  if (type == "linear") return;
  Require(keys.Has("rope.scaling.factor"), "{}: key '{}' is missing: yarn needs it", keys.file().path(),
          keys.Full("rope.scaling.factor"));
  rope->rule = RopeRule::kYarn;
  rope->original = keys.Int("rope.scaling.original_context_length", 1, positions);
  rope->beta_fast = keys.Real("rope.scaling.yarn_beta_fast", 32.0);
  rope->beta_slow = keys.Real("rope.scaling.yarn_beta_slow", 1.0);
  const double stated = keys.Real("rope.scaling.yarn_attn_factor", keys.Real("rope.scaling.attn_factor", 1.0));
  // llama.cpp multiplies the stated factor by the published one.
  rope->attention_factor = stated * (rope->factor > 1 ? 0.1 * std::log(rope->factor) + 1 : 1.0);
  for (const char* key : {"rope.scaling.yarn_ext_factor", "rope.scaling.yarn_log_multiplier"}) {
    const double value = keys.Real(key, key == std::string_view("rope.scaling.yarn_ext_factor") ? 1.0 : 0.0);
    const bool usual = value <= 0 || value == 1.0;
    Require(usual && (value != 1.0 || key == std::string_view("rope.scaling.yarn_ext_factor")),
            "{}: key '{}': {} is not supported", keys.file().path(), keys.Full(key), value);
  }
}

void RefuseWhenSet(const Keys& keys, std::string_view key, std::string_view what) {
  if (!keys.Has(key)) return;
  const double value = keys.Real(key);
  Require(value == 0, "{}: key '{}' is {}: {} is not supported for architecture {}", keys.file().path(), keys.Full(key),
          value, what, keys.arch());
}

ModelSpec Gemma4FromGguf(const Keys& keys) {
  const GgufFile& file = keys.file();
  const Common c = ReadCommon(keys);
  Gemma4Config config;
  config.name = c.name;
  config.hidden = c.hidden;
  config.vocab = c.vocab;
  config.max_position = c.max_position;
  config.norm_eps = c.norm_eps;
  config.heads = c.heads;
  config.window = keys.Int("attention.sliding_window", c.layers);
  config.ple_width = keys.Int("embedding_length_per_layer_input", 1, 0);
  config.softcap = c.softcap;
  config.tied_head = c.tied_head;
  config.shared_kv_layers = keys.Int("attention.shared_kv_layers", 1, 0);
  config.experts = keys.Int("expert_count", c.layers, 0);
  if (config.experts > 0) {
    config.top_k = keys.Int("expert_used_count", c.layers);
    config.expert_ffn = keys.Int("expert_feed_forward_length", c.layers);
  }
  const int full_dim = HeadDim(keys, "", c.layers, std::nullopt),
            sliding_dim = HeadDim(keys, "_swa", c.layers, full_dim);
  config.rope_sliding.theta = keys.Real("rope.freq_base_swa", config.rope_sliding.theta);
  config.rope_full.theta = keys.Real("rope.freq_base", config.rope_full.theta);
  RopeConfig scaled = config.rope_full;
  ApplyScaling(keys, &scaled, c.max_position);
  Require(scaled.rule == config.rope_full.rule, "{}: rope scaling is not supported for architecture {}", file.path(),
          keys.arch());
  // Divisors of 1 and 1e30 say which pairs rotate; without them the published quarter does.
  if (auto divisors = RopeDivisors(file, full_dim)) {
    config.rope_full.rule = RopeRule::kDivisors;
    config.rope_full.divisors = std::move(*divisors);
  }
  const std::vector<LayerKind> kinds = LayerKinds(keys, c.layers, std::nullopt);
  const std::vector<int> kv_heads = keys.PerLayer("attention.head_count_kv", c.layers);
  const std::vector<int> ffn = keys.PerLayer("feed_forward_length", c.layers);  // double width is in the array
  for (int l = 0; l < c.layers; ++l) {
    const int at = l;
    const bool full = kinds[at] == LayerKind::kFull;
    // Only full layers have the option; a sliding layer without attn_v is a damaged file and is reported as such.
    const bool value_is_key = full && file.Find(fmt::format("blk.{}.attn_v.weight", l)) == nullptr;
    config.layers.push_back({kinds[at], kv_heads[at], full ? full_dim : sliding_dim, ffn[at], value_is_key});
  }
  return Gemma4Spec(config);
}

DenseConfig DenseFromGguf(const Keys& keys, const Common& c) {
  RefuseWhenSet(keys, "expert_count", "a mixture of experts");
  RefuseWhenSet(keys, "attn_logit_softcapping", "an attention softcap");
  DenseConfig config;
  config.name = c.name;
  config.family = keys.arch();
  config.hidden = c.hidden;
  config.vocab = c.vocab;
  config.max_position = c.max_position;
  config.norm_eps = c.norm_eps;
  config.softcap = c.softcap;
  config.heads = c.heads;
  config.kv_heads = keys.Int("attention.head_count_kv", c.layers, c.heads);
  config.head_dim = HeadDim(keys, "", c.layers, c.hidden / c.heads);
  config.ffn = keys.Int("feed_forward_length", c.layers);
  config.tied_head = c.tied_head;
  config.kinds.assign(static_cast<std::size_t>(c.layers), LayerKind::kFull);
  return config;
}

// llama, qwen2, qwen3: every layer full. (Mistral 7B v0.1's window is not kept by the converters.)
ModelSpec PlainFromGguf(const Keys& keys) {
  DenseConfig config = DenseFromGguf(keys, ReadCommon(keys));
  config.rope_full.theta = keys.Real("rope.freq_base", 10000.0);
  ApplyScaling(keys, &config.rope_full, config.max_position);
  if (auto divisors = keys.arch() == "llama" ? RopeDivisors(keys.file(), config.head_dim) : std::nullopt) {
    Require(config.rope_full.rule == RopeRule::kDefault, "{}: rope_freqs.weight and '{}' together are not supported",
            keys.file().path(), keys.Full("rope.scaling.factor"));
    config.rope_full.rule = RopeRule::kDivisors;
    config.rope_full.divisors = std::move(*divisors);
  }
  return DenseSpec(config);
}

ModelSpec Gemma3FromGguf(const Keys& keys) {
  const Common c = ReadCommon(keys);
  DenseConfig config = DenseFromGguf(keys, c);
  config.window = keys.Int("attention.sliding_window", c.layers, 0);
  if (config.window > 0) config.kinds = LayerKinds(keys, c.layers, 6);
  // Ollama's converter has names of its own for the two bases.
  config.rope_full.theta = keys.Real("rope.freq_base", keys.Real("rope.global.freq_base", 1e6));
  config.rope_sliding.theta = keys.Real("rope.freq_base_swa", keys.Real("rope.local.freq_base", 10000.0));
  ApplyScaling(keys, &config.rope_full, config.max_position);
  // The publisher's query_pre_attn_scalar is not stored. It is head_dim for every size but 27B, whose 62 layers give it
  // away.
  if (c.layers == 62) config.attn_scale = 1.0 / std::sqrt(static_cast<double>(c.hidden) / c.heads);
  return DenseSpec(config);
}

// Whether a scalar says no to whatever its key is: false or zero.
bool IsOff(const GgufFile& file, const std::string& key) {
  const GgufValue& value = *file.Value(key);
  if (value.is_array || value.type == GgufType::kString) return value.count == 0;
  return file.Reals(key, 1)[0] == 0;
}

struct GgufArchitecture {
  std::string_view name;
  ModelSpec (*read)(const Keys& keys);
};
constexpr std::array<GgufArchitecture, 5> kGgufArchitectures{{
    {"gemma4", Gemma4FromGguf},
    {"gemma3", Gemma3FromGguf},
    {"llama", PlainFromGguf},
    {"qwen2", PlainFromGguf},
    {"qwen3", PlainFromGguf},
}};

}  // namespace

GgufConfig ReadGgufConfig(const GgufFile& file) {
  const GgufValue* type = file.Value("general.type");
  Require(type == nullptr || file.String("general.type") != "adapter",
          "{}: general.type is 'adapter': a LoRA adapter, not a model: merge it into its base model first",
          file.path());
  const std::string name = file.String("general.architecture");
  std::string known;
  for (const GgufArchitecture& arch : kGgufArchitectures) {
    if (arch.name == name) {
      GgufConfig config{.spec = arch.read(Keys(file, name)), .unread = {}};
      // Biases of projections are part of a file or are not; no key says so.
      const auto bias = [&](const char* tensor) { return file.Find(tensor) != nullptr; };
      config.spec.qkv_bias = config.spec.qkv_bias || bias("blk.0.attn_q.bias");
      config.spec.out_bias = bias("blk.0.attn_output.bias");
      for (const std::string& key : file.Keys())
        if (!file.WasRead(key)) config.unread.push_back(UnreadMetadataKey(key, name, IsOff(file, key), file.path()));
      return config;
    }
    known += (known.empty() ? "" : ", ") + std::string(arch.name);
  }
  Throw<>("{}: architecture '{}' is not supported: supported are {}", file.path(), ForMessage(name), known);
}

}  // namespace assay
