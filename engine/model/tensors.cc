#include "engine/model/tensors.h"

#include <array>

namespace assay {
namespace {

using Shape = std::array<std::int64_t, 3>;  // experts, rows, cols
enum class Part { kModelFirst, kLayer, kModelLast };

// When a tensor exists and what shape it has. `l` is the layer, or the first one for tensors of the whole model.
struct Row {
  Role role;
  const char* name;
  Part part;
  const char* hugging_face;  // {} = layer; alternatives separated by |
  const char* gguf;
  bool required;
  bool (*present)(const ModelSpec& s, const LayerSpec& l, bool owns_kv);
  Shape (*shape)(const ModelSpec& s, const LayerSpec& l);
};

using S = const ModelSpec&;
using L = const LayerSpec&;

constexpr auto kAlways = [](S, L, bool) { return true; };
constexpr auto kPle = [](S s, L, bool) { return s.ple_width > 0; };
constexpr auto kOwnsKv = [](S, L, bool owns) { return owns; };
constexpr auto kOwnsV = [](S, L l, bool owns) { return owns && !l.value_is_key; };
constexpr auto kPostNorms = [](S s, L, bool) { return s.post_norms; };
constexpr auto kMixture = [](S, L l, bool) { return l.experts > 0; };

constexpr auto kHidden = [](S s, L) { return Shape{1, 1, s.hidden}; };
constexpr auto kHeadDim = [](S, L l) { return Shape{1, 1, l.head_dim}; };
constexpr auto kVocabByHidden = [](S s, L) { return Shape{1, s.vocab, s.hidden}; };
constexpr auto kKvByHidden = [](S s, L l) { return Shape{1, std::int64_t{l.kv_heads} * l.head_dim, s.hidden}; };
constexpr auto kKvVector = [](S, L l) { return Shape{1, 1, std::int64_t{l.kv_heads} * l.head_dim}; };
constexpr auto kFfnByHidden = [](S s, L l) { return Shape{1, l.ffn, s.hidden}; };
constexpr auto kPleVector = [](S s, L) { return Shape{1, 1, s.ple_width}; };
constexpr auto PleRows = [](S s) { return std::int64_t{s.ple_width} * s.layer_count(); };

// In file order. Hugging Face names here are those of models with post norms; see HuggingFaceNames for the others.
constexpr Row kRows[] = {
    {Role::kEmbed, "embed", Part::kModelFirst, "embed_tokens.weight", "token_embd.weight", true, kAlways,
     kVocabByHidden},
    {Role::kPleEmbed, "ple_embed", Part::kModelFirst, "embed_tokens_per_layer.weight", "per_layer_token_embd.weight",
     true, kPle,
     [](S s, L) {
       return Shape{1, s.vocab, PleRows(s)};
     }},
    {Role::kPleProject, "ple_project", Part::kModelFirst, "per_layer_model_projection.weight",
     "per_layer_model_proj.weight", true, kPle,
     [](S s, L) {
       return Shape{1, PleRows(s), s.hidden};
     }},
    {Role::kPleProjectNorm, "ple_project_norm", Part::kModelFirst, "per_layer_projection_norm.weight",
     "per_layer_proj_norm.weight", true, kPle, kPleVector},

    {Role::kAttnNorm, "attn_norm", Part::kLayer, "layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight", true,
     kAlways, kHidden},
    {Role::kQuery, "query", Part::kLayer, "layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", true, kAlways,
     [](S s, L l) {
       return Shape{1, std::int64_t{l.heads} * l.head_dim, s.hidden};
     }},
    {Role::kKey, "key", Part::kLayer, "layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", true, kOwnsKv,
     kKvByHidden},
    {Role::kValue, "value", Part::kLayer, "layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight", true, kOwnsV,
     kKvByHidden},
    {Role::kAttnOut, "attn_out", Part::kLayer, "layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight", true,
     kAlways,
     [](S s, L l) {
       return Shape{1, s.hidden, std::int64_t{l.heads} * l.head_dim};
     }},
    {Role::kQueryBias, "query_bias", Part::kLayer, "layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias", true,
     [](S s, L, bool) { return s.qkv_bias; },
     [](S, L l) {
       return Shape{1, 1, std::int64_t{l.heads} * l.head_dim};
     }},
    {Role::kKeyBias, "key_bias", Part::kLayer, "layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias", true,
     [](S s, L, bool owns) { return s.qkv_bias && owns; }, kKvVector},
    {Role::kValueBias, "value_bias", Part::kLayer, "layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias", true,
     [](S s, L l, bool owns) { return s.qkv_bias && owns && !l.value_is_key; }, kKvVector},
    {Role::kOutBias, "out_bias", Part::kLayer, "layers.{}.self_attn.o_proj.bias", "blk.{}.attn_output.bias", true,
     [](S s, L, bool) { return s.out_bias; }, kHidden},
    {Role::kQueryNorm, "query_norm", Part::kLayer, "layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight",
     true, [](S s, L, bool) { return s.qk_norm; }, kHeadDim},
    {Role::kKeyNorm, "key_norm", Part::kLayer, "layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight", true,
     [](S s, L, bool owns) { return s.qk_norm && owns; }, kHeadDim},
    {Role::kPostAttnNorm, "post_attn_norm", Part::kLayer, "layers.{}.post_attention_layernorm.weight",
     "blk.{}.post_attention_norm.weight", true, kPostNorms, kHidden},

    {Role::kFfnNorm, "ffn_norm", Part::kLayer, "layers.{}.pre_feedforward_layernorm.weight", "blk.{}.ffn_norm.weight",
     true, kAlways, kHidden},
    {Role::kGate, "gate", Part::kLayer, "layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight", true, kAlways,
     kFfnByHidden},
    {Role::kUp, "up", Part::kLayer, "layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight", true, kAlways,
     kFfnByHidden},
    {Role::kDown, "down", Part::kLayer, "layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight", true, kAlways,
     [](S s, L l) {
       return Shape{1, s.hidden, l.ffn};
     }},
    {Role::kPostFfnNorm, "post_ffn_norm", Part::kLayer, "layers.{}.post_feedforward_layernorm.weight",
     "blk.{}.post_ffw_norm.weight", true, kPostNorms, kHidden},

    {Role::kRouter, "router", Part::kLayer, "layers.{}.router.proj.weight", "blk.{}.ffn_gate_inp.weight", true,
     kMixture,
     [](S s, L l) {
       return Shape{1, l.experts, s.hidden};
     }},
    {Role::kRouterScale, "router_scale", Part::kLayer, "layers.{}.router.scale", "blk.{}.ffn_gate_inp.scale", true,
     kMixture, kHidden},
    {Role::kExpertGateUp, "expert_gate_up", Part::kLayer,
     "layers.{}.experts.gate_up_proj|layers.{}.moe.gate_up_proj|layers.{}.experts.gate_up_proj.weight",
     "blk.{}.ffn_gate_up_exps.weight", true, kMixture,
     [](S s, L l) {
       return Shape{l.experts, 2 * std::int64_t{l.expert_ffn}, s.hidden};
     }},
    {Role::kExpertDown, "expert_down", Part::kLayer,
     "layers.{}.experts.down_proj|layers.{}.moe.down_proj|layers.{}.experts.down_proj.weight",
     "blk.{}.ffn_down_exps.weight", true, kMixture,
     [](S s, L l) {
       return Shape{l.experts, s.hidden, l.expert_ffn};
     }},
    {Role::kExpertScale, "expert_scale", Part::kLayer,
     "layers.{}.router.per_expert_scale|layers.{}.moe.per_expert_scale", "blk.{}.ffn_down_exps.scale", false, kMixture,
     [](S, L l) {
       return Shape{1, 1, l.experts};
     }},
    {Role::kPreExpertNorm, "pre_expert_norm", Part::kLayer, "layers.{}.pre_feedforward_layernorm_2.weight",
     "blk.{}.pre_ffw_norm_2.weight", true, kMixture, kHidden},
    {Role::kPostDenseNorm, "post_dense_norm", Part::kLayer, "layers.{}.post_feedforward_layernorm_1.weight",
     "blk.{}.post_ffw_norm_1.weight", true, kMixture, kHidden},
    {Role::kPostExpertNorm, "post_expert_norm", Part::kLayer, "layers.{}.post_feedforward_layernorm_2.weight",
     "blk.{}.post_ffw_norm_2.weight", true, kMixture, kHidden},

    {Role::kPleGate, "ple_gate", Part::kLayer, "layers.{}.per_layer_input_gate.weight", "blk.{}.inp_gate.weight", true,
     kPle,
     [](S s, L) {
       return Shape{1, s.ple_width, s.hidden};
     }},
    {Role::kPleOut, "ple_out", Part::kLayer, "layers.{}.per_layer_projection.weight", "blk.{}.proj.weight", true, kPle,
     [](S s, L) {
       return Shape{1, s.hidden, s.ple_width};
     }},
    {Role::kPostPleNorm, "post_ple_norm", Part::kLayer, "layers.{}.post_per_layer_input_norm.weight",
     "blk.{}.post_norm.weight", true, kPle, kHidden},
    {Role::kLayerScalar, "layer_scalar", Part::kLayer, "layers.{}.layer_scalar", "blk.{}.layer_output_scale.weight",
     false, [](S s, L, bool) { return s.layer_scalar; },
     [](S, L) {
       return Shape{1, 1, 1};
     }},

    {Role::kFinalNorm, "final_norm", Part::kModelLast, "norm.weight", "output_norm.weight", true, kAlways, kHidden},
    {Role::kHead, "head", Part::kModelLast, "lm_head.weight", "output.weight", true,
     [](S s, L, bool) { return !s.tied_head; }, kVocabByHidden},
};

const Row& RowOf(Role role) {
  static const auto kByRole = [] {
    std::array<const Row*, std::size(kRows)> index{};
    for (const Row& row : kRows) index[static_cast<std::size_t>(row.role)] = &row;
    return index;
  }();
  return *kByRole[static_cast<std::size_t>(role)];
}

constexpr bool EachRoleOnce() {
  for (std::size_t role = 0; role < std::size(kRows); ++role) {
    int found = 0;
    for (const Row& row : kRows) found += static_cast<std::size_t>(row.role) == role;
    if (found != 1) return false;
  }
  return static_cast<std::size_t>(Role::kLayerScalar) + 1 == std::size(kRows);
}
static_assert(EachRoleOnce(), "kRows has one row for every Role");

// "a.{}|b.{}" with the layer put in: {"a.3", "b.3"}.
std::vector<std::string> Expand(std::string_view pattern, int layer) {
  std::vector<std::string> names(1);
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '|') {
      names.emplace_back();
    } else if (pattern[i] == '{') {
      names.back() += std::to_string(layer);
      ++i;
    } else {
      names.back() += pattern[i];
    }
  }
  return names;
}

}  // namespace

const char* Name(Role role) { return RowOf(role).name; }

std::string Name(TensorKey key) {
  return key.layer < 0 ? Name(key.role) : "layer " + std::to_string(key.layer) + " " + Name(key.role);
}

std::vector<TensorEntry> Catalogue(const ModelSpec& spec) {
  std::vector<TensorEntry> entries;
  const auto add = [&](const Row& row, int layer) {
    const LayerSpec& of = spec.layer(layer < 0 ? 0 : layer);
    if (!row.present(spec, of, layer >= 0 && spec.OwnsKv(layer))) return;
    const Shape shape = row.shape(spec, of);
    entries.push_back({{row.role, layer}, shape[0], shape[1], shape[2], row.required});
  };
  for (const Row& row : kRows)
    if (row.part == Part::kModelFirst) add(row, -1);
  for (int l = 0; l < spec.layer_count(); ++l)
    for (const Row& row : kRows)
      if (row.part == Part::kLayer) add(row, l);
  for (const Row& row : kRows)
    if (row.part == Part::kModelLast) add(row, -1);
  return entries;
}

std::vector<std::string> HuggingFaceNames(const ModelSpec& spec, TensorKey key) {
  // Without post norms, "post_attention_layernorm" is what comes after attention and before the feed-forward: its
  // pre-norm.
  if (key.role == Role::kFfnNorm && !spec.post_norms)
    return Expand("layers.{}.post_attention_layernorm.weight", key.layer);
  return Expand(RowOf(key.role).hugging_face, key.layer);
}

std::vector<std::string> GgufNames(const ModelSpec&, TensorKey key) { return Expand(RowOf(key.role).gguf, key.layer); }

}  // namespace assay
