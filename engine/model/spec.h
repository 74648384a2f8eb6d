// The facts of a decoder, stated once and read by engine and reference alike. Mechanism derived from them (ring slots,
// cache ids) is not here: see kv_plan.h.
//
// Dimension words, used everywhere:
//   row       one token of one session in a batch         position  absolute index of a token in its session, from 0
//   slot      place in a ring cache                       session   one user's context; its index selects its caches
//   hidden    width of the residual stream (H)            heads / kv_heads / head_dim   attention geometry of a layer
//   window    keys a query may see, itself included       ple       per-layer embedding (Gemma 3n/4), width P per layer
#pragma once

#include <string>
#include <vector>

#include "engine/base/activation.h"

namespace assay {

enum class LayerKind { kFull, kSliding };

// Rotary embedding in half-split pairing: dim d pairs with d + head_dim/2, angle = position * inv_freq[d].
// Checkpoints that interleave pairs are un-permuted by the loaders.
struct RopeSpec {
  double theta = 10000.0;
  std::vector<float> inv_freq;  // [head_dim/2]; 0 = this pair does not rotate
  float gain = 1.0f;            // of cosines and sines (YaRN): scores of layers with this rope have it twice
  friend bool operator==(const RopeSpec&, const RopeSpec&) = default;
};

struct LayerSpec {
  LayerKind kind = LayerKind::kFull;
  int window = 0;             // sliding layers: keys visible to a query, itself included; 0 on full layers
  int heads = 0;              // query heads
  int kv_heads = 0;           // divides heads; query head h reads kv head h / (heads / kv_heads)
  int head_dim = 0;           // even
  int rope = 0;               // index into ModelSpec::ropes
  int kv_source = 0;          // layer whose keys and values this layer attends to; its own index when it owns them
  bool value_is_key = false;  // no v projection: values are the raw k projection before norm and rope (Gemma 4 k_eq_v)
  int ffn = 0;                // dense feed-forward width
  int experts = 0;            // 0 = no mixture branch beside the dense one
  int top_k = 0;
  int expert_ffn = 0;
  friend bool operator==(const LayerSpec&, const LayerSpec&) = default;
};

struct ModelSpec {
  std::string name;    // of this checkpoint or preset, for messages and reports
  std::string family;  // "gemma4", "gemma3", "llama", "mistral", "qwen2", "qwen3": tensor names and messages only
  int hidden = 0;
  int vocab = 0;
  int max_position = 0;  // positions the checkpoint claims to support
  float norm_eps = 1e-6f;
  float embed_scale = 1.0f;  // multiplies the embedding row
  float attn_scale = 1.0f;   // multiplies query . key, beside the rope's gain: see AttnScale
  float softcap = 0.0f;      // c in c * tanh(logit / c); 0 = none
  Activation activation = Activation::kSilu;
  bool qkv_bias = false;
  bool out_bias = false;      // a bias on the attention's output projection
  bool qk_norm = false;       // per-head RMS norm of q and k with a learned weight, before rope
  bool v_norm = false;        // per-head RMS norm of v without a weight
  bool post_norms = false;    // RMS norm of each sublayer's output before it joins the residual ("sandwich")
  bool layer_scalar = false;  // a learned number multiplies the residual at each layer's end
  bool tied_head = false;     // the head is the embedding table
  int ple_width = 0;          // P; 0 = no per-layer embeddings
  std::vector<RopeSpec> ropes;
  std::vector<LayerSpec> layers;

  int layer_count() const { return static_cast<int>(layers.size()); }
  const LayerSpec& layer(int index) const { return layers[index]; }
  bool OwnsKv(int index) const { return layer(index).kv_source == index; }
  // What multiplies a layer's query . key. A rope's gain is in both factors; taken out of them it costs nothing.
  float AttnScale(int index) const {
    const float gain = ropes[layer(index).rope].gain;
    return gain == 1.0f ? attn_scale : attn_scale * gain * gain;
  }
  friend bool operator==(const ModelSpec&, const ModelSpec&) = default;
};

// Throws InputError naming model, layer, field, expected and found unless every field is in range and the layers agree
// with each other: heads divisible by kv_heads, even head_dim <= 1024, kv sources owned, earlier and of the same shape,
// rope tables of head_dim/2 finite entries, window >= 1 exactly on sliding layers, layers in 1..1024 and so on.
void ValidateSpec(const ModelSpec& spec);

// inv_freq[d] = theta^(-2d/head_dim), computed in double and rounded once; entries from `rotated` on are 0.
std::vector<float> RopeFrequencies(double theta, int head_dim, int rotated);
inline std::vector<float> RopeFrequencies(double theta, int head_dim) {
  return RopeFrequencies(theta, head_dim, head_dim / 2);
}

}  // namespace assay
