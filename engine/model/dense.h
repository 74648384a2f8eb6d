// Llama, Mistral, Qwen 2, Qwen 3, Gemma 3 and SmolLM2 (a Llama): every layer of the same widths and its own cache.
#pragma once

#include <string>
#include <vector>

#include "engine/model/rope.h"
#include "engine/model/spec.h"

namespace assay {

struct DenseConfig {
  std::string name;
  std::string family;  // a name of families.h other than "gemma4"
  int hidden = 0;
  int vocab = 0;
  int max_position = 0;
  double norm_eps = 1e-6;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;  // stated by the caller: hidden / heads is only the default of some formats
  int ffn = 0;
  bool tied_head = false;
  bool attention_bias = false;  // a bias on all projections of attention
  double attn_scale = 0;        // 0: 1 / sqrt(head_dim)
  double softcap = 0;           // 0 = none
  int window = 0;               // of sliding layers
  RopeConfig rope_full{};
  RopeConfig rope_sliding{};
  std::vector<LayerKind> kinds;  // one per layer
};

// Throws InputError naming the model and what is out of range (ValidateSpec's checks included).
ModelSpec DenseSpec(const DenseConfig& config);

// `layers` kinds of which every `period`-th is full and the others slide (Gemma 3: 6).
std::vector<LayerKind> EveryNthFull(int layers, int period);

}  // namespace assay
