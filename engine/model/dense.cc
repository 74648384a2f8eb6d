#include "engine/model/dense.h"

#include <cmath>

#include "engine/base/check.h"
#include "engine/model/families.h"

namespace assay {

ModelSpec DenseSpec(const DenseConfig& config) {
  Require(config.family != "gemma4", "model '{}': gemma4 is not of the dense shape", config.name);
  Require(std::isfinite(config.attn_scale) && config.attn_scale >= 0,
          "model '{}': attention scale must not be negative, found {}", config.name, config.attn_scale);
  ModelSpec spec = StartSpec(config.family, config.hidden);
  spec.name = config.name;
  spec.vocab = config.vocab;
  spec.max_position = config.max_position;
  spec.norm_eps = static_cast<float>(config.norm_eps);
  spec.attn_scale = static_cast<float>(config.attn_scale > 0 ? config.attn_scale : 1.0 / std::sqrt(config.head_dim));
  spec.softcap = static_cast<float>(config.softcap);
  spec.tied_head = config.tied_head;
  spec.qkv_bias = spec.qkv_bias || config.attention_bias;
  spec.out_bias = config.attention_bias;
  for (std::size_t l = 0; l < config.kinds.size(); ++l) {
    const bool sliding = config.kinds[l] == LayerKind::kSliding;
    LayerSpec layer;
    layer.kind = config.kinds[l];
    layer.window = sliding ? config.window : 0;
    layer.heads = config.heads;
    layer.kv_heads = config.kv_heads;
    layer.head_dim = config.head_dim;
    layer.rope = AddRope(spec, MakeRope(sliding ? config.rope_sliding : config.rope_full, config.head_dim));
    layer.kv_source = static_cast<int>(l);
    layer.ffn = config.ffn;
    spec.layers.push_back(layer);
  }
  ValidateSpec(spec);
  return spec;
}

std::vector<LayerKind> EveryNthFull(int layers, int period) {
  Require(layers >= 1 && layers <= 1024, "layers must be in 1..1024, found {}", layers);
  Require(period >= 1, "the period of full layers must be at least 1, found {}", period);
  std::vector<LayerKind> kinds;
  for (int l = 0; l < layers; ++l) kinds.push_back((l + 1) % period == 0 ? LayerKind::kFull : LayerKind::kSliding);
  return kinds;
}

}  // namespace assay
