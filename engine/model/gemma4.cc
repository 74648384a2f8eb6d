#include "engine/model/gemma4.h"

#include "engine/base/check.h"
#include "engine/model/families.h"

namespace assay {
namespace {

// The last layer before `first_shared` of the same kind.
int Donor(const Gemma4Config& config, int first_shared, LayerKind kind, int reader) {
  for (int l = first_shared - 1; l >= 0; --l)
    if (config.layers[l].kind == kind) return l;
  Throw("model '{}': layer {} shares keys and values, but none of layers 0..{} is a {} layer", config.name, reader,
        first_shared - 1, kind == LayerKind::kFull ? "full" : "sliding");
}

}  // namespace

ModelSpec Gemma4Spec(const Gemma4Config& config) {
  const int layers = static_cast<int>(config.layers.size());
  Require(config.shared_kv_layers >= 0 && config.shared_kv_layers < layers,
          "model '{}': shared KV layers must be in 0..{}, found {}", config.name, layers - 1, config.shared_kv_layers);
  const int first_shared = layers - config.shared_kv_layers;
  ModelSpec spec = StartSpec("gemma4", config.hidden);
  spec.name = config.name;
  spec.vocab = config.vocab;
  spec.max_position = config.max_position;
  spec.norm_eps = static_cast<float>(config.norm_eps);
  spec.attn_scale = 1.0f;  // q and k are normed per head: no 1/sqrt(head_dim)
  spec.softcap = static_cast<float>(config.softcap);
  spec.tied_head = config.tied_head;
  spec.qkv_bias = spec.qkv_bias || config.attention_bias;
  spec.out_bias = config.attention_bias;
  spec.ple_width = config.ple_width;
  for (int l = 0; l < layers; ++l) {
    const Gemma4Layer& from = config.layers[l];
    const bool sliding = from.kind == LayerKind::kSliding, shared = l >= first_shared;
    LayerSpec layer;
    layer.kind = from.kind;
    layer.window = sliding ? config.window : 0;
    layer.heads = config.heads;
    layer.kv_heads = from.kv_heads;
    layer.head_dim = from.head_dim;
    layer.rope = AddRope(spec, MakeRope(sliding ? config.rope_sliding : config.rope_full, from.head_dim));
    layer.kv_source = shared ? Donor(config, first_shared, from.kind, l) : l;
    layer.value_is_key = from.value_is_key && !shared;
    Require(from.ffn >= 0 && from.ffn <= (1 << 20), "model '{}': layer {}: feed-forward width {} is out of range",
            config.name, l, from.ffn);
    layer.ffn = from.ffn * (config.double_wide && shared ? 2 : 1);
    layer.experts = config.experts;
    layer.top_k = config.top_k;
    layer.expert_ffn = config.expert_ffn;
    spec.layers.push_back(layer);
  }
  ValidateSpec(spec);
  return spec;
}

}  // namespace assay
