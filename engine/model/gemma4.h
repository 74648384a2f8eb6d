// Gemma 4 of every size, from the facts that config.json, GGUF metadata and the presets have in common.
#pragma once

#include <string>
#include <vector>

#include "engine/model/rope.h"
#include "engine/model/spec.h"

namespace assay {

// One layer as resolved by a loader: both config layouts and GGUF arrays end up here.
struct Gemma4Layer {
  LayerKind kind = LayerKind::kSliding;
  int kv_heads = 0;
  int head_dim = 0;
  int ffn = 0;
  bool value_is_key = false;  // ignored on layers that share another layer's keys and values
};

struct Gemma4Config {
  std::string name;
  int hidden = 0;
  int vocab = 0;
  int max_position = 131072;
  double norm_eps = 1e-6;
  int heads = 0;
  int window = 512;  // of sliding layers
  int ple_width = 0;
  double softcap = 0;  // 0 = none
  bool tied_head = true;
  bool attention_bias = false;  // a bias on all projections of attention
  int shared_kv_layers = 0;     // the last so many layers read the cache of the last earlier layer of their kind
  bool double_wide = false;     // those layers have twice the listed feed-forward width
  int experts = 0, top_k = 0, expert_ffn = 0;  // on every layer
  RopeConfig rope_sliding{};
  RopeConfig rope_full{.rule = RopeRule::kProportional, .theta = 1e6, .partial = 0.25};
  std::vector<Gemma4Layer> layers;
};

// Throws InputError naming the model and what is out of range (ValidateSpec's checks included).
ModelSpec Gemma4Spec(const Gemma4Config& config);

}  // namespace assay
