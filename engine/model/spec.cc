#include "engine/model/spec.h"

#include <cmath>

#include "engine/base/check.h"

namespace assay {
namespace {

// Far above any published model and low enough that no product of two of them times a type's size leaves 63 bits.
constexpr int kMaxLayers = 1024, kMaxWidth = 1 << 20, kMaxVocab = 1 << 26, kMaxHeads = 4096, kMaxHeadDim = 1024;
constexpr int kMaxExperts = 65536, kMaxPosition = 1 << 30;

void InRange(const std::string& where, const char* field, int value, int low, int high) {
  Require(value >= low && value <= high, "{}: {} must be in {}..{}, found {}", where, field, low, high, value);
}

void Positive(const std::string& where, const char* field, float value) {
  Require(std::isfinite(value) && value > 0, "{}: {} must be finite and above 0, found {}", where, field, value);
}

void ValidateSource(const ModelSpec& spec, int index, const std::string& where) {
  const LayerSpec& layer = spec.layer(index);
  InRange(where, "kv_source", layer.kv_source, 0, index);
  if (layer.kv_source == index) return;
  const LayerSpec& source = spec.layer(layer.kv_source);
  Require(spec.OwnsKv(layer.kv_source), "{}: kv_source {} has no keys of its own, it reads those of layer {}", where,
          layer.kv_source, source.kv_source);
  Require(source.kind == layer.kind && source.window == layer.window,
          "{}: kv_source {} is of another attention kind (window {} here, {} there)", where, layer.kv_source,
          layer.window, source.window);
  Require(source.kv_heads == layer.kv_heads && source.head_dim == layer.head_dim,
          "{}: kv_source {} has {} kv heads of {} dims, expected {} of {}", where, layer.kv_source, source.kv_heads,
          source.head_dim, layer.kv_heads, layer.head_dim);
}

void ValidateLayer(const ModelSpec& spec, int index) {
  const LayerSpec& layer = spec.layer(index);
  const std::string where = fmt::format("model '{}': layer {}", spec.name, index);
  InRange(where, "heads", layer.heads, 1, kMaxHeads);
  InRange(where, "kv_heads", layer.kv_heads, 1, layer.heads);
  Require(layer.heads % layer.kv_heads == 0, "{}: heads must be a multiple of kv_heads, found {} and {}", where,
          layer.heads, layer.kv_heads);
  InRange(where, "head_dim", layer.head_dim, 2, kMaxHeadDim);
  Require(layer.head_dim % 2 == 0, "{}: head_dim must be even, found {}", where, layer.head_dim);
  if (layer.kind == LayerKind::kSliding) {
    InRange(where, "window", layer.window, 1, kMaxPosition);
  } else {
    Require(layer.window == 0, "{}: a full layer has no window, found {}", where, layer.window);
  }
  InRange(where, "rope", layer.rope, 0, static_cast<int>(spec.ropes.size()) - 1);
  const std::size_t pairs = spec.ropes[layer.rope].inv_freq.size();
  Require(pairs * 2 == static_cast<std::size_t>(layer.head_dim), "{}: rope {} has {} frequencies, head_dim {} needs {}",
          where, layer.rope, pairs, layer.head_dim, layer.head_dim / 2);
  ValidateSource(spec, index, where);
  InRange(where, "ffn", layer.ffn, 1, kMaxWidth);
  InRange(where, "experts", layer.experts, 0, kMaxExperts);
  if (layer.experts == 0) {
    Require(layer.top_k == 0 && layer.expert_ffn == 0, "{}: top_k {} and expert_ffn {} without experts", where,
            layer.top_k, layer.expert_ffn);
    return;
  }
  InRange(where, "top_k", layer.top_k, 1, layer.experts);
  InRange(where, "expert_ffn", layer.expert_ffn, 1, kMaxWidth);
}

}  // namespace

void ValidateSpec(const ModelSpec& spec) {
  const std::string where = fmt::format("model '{}'", spec.name);
  InRange(where, "hidden", spec.hidden, 1, kMaxWidth);
  InRange(where, "vocab", spec.vocab, 1, kMaxVocab);
  InRange(where, "max_position", spec.max_position, 1, kMaxPosition);
  InRange(where, "ple_width", spec.ple_width, 0, kMaxWidth);
  Positive(where, "norm_eps", spec.norm_eps);
  Positive(where, "embed_scale", spec.embed_scale);
  Positive(where, "attn_scale", spec.attn_scale);
  Require(std::isfinite(spec.softcap) && spec.softcap >= 0, "{}: softcap must be finite and not negative, found {}",
          where, spec.softcap);
  Require(spec.activation == Activation::kSilu || spec.activation == Activation::kGeluTanh, "{}: unknown activation {}",
          where, static_cast<int>(spec.activation));
  Require(!spec.layers.empty() && spec.layers.size() <= kMaxLayers, "{}: layers must be in 1..{}, found {}", where,
          kMaxLayers, spec.layers.size());
  for (std::size_t r = 0; r < spec.ropes.size(); ++r) {
    Require(std::isfinite(spec.ropes[r].theta) && spec.ropes[r].theta > 1,
            "{}: rope {}: theta must be finite and above 1, found {}", where, r, spec.ropes[r].theta);
    Positive(where, "a rope's gain", spec.ropes[r].gain);
    for (const float inv : spec.ropes[r].inv_freq)
      Require(std::isfinite(inv) && inv >= 0, "{}: rope {}: frequencies must be finite and not negative, found {}",
              where, r, inv);
  }
  for (int l = 0; l < spec.layer_count(); ++l) ValidateLayer(spec, l);
}

std::vector<float> RopeFrequencies(double theta, int head_dim, int rotated) {
  std::vector<float> inv_freq(static_cast<std::size_t>(head_dim / 2), 0.0f);
  for (int d = 0; d < rotated && d < head_dim / 2; ++d)
    inv_freq[d] = static_cast<float>(std::pow(theta, -2.0 * d / head_dim));
  return inv_freq;
}

}  // namespace assay
