// The tensor catalogue: which tensors a model of a given spec has, with what shape, and what each file format calls
// them. Loaders, the synthetic source, uploads and byte counts all read this one list.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/spec.h"

namespace assay {

enum class Role : std::uint8_t {
  // Whole model.
  kEmbed,
  kHead,
  kFinalNorm,
  kPleEmbed,
  kPleProject,
  kPleProjectNorm,
  // Attention of a layer.
  kAttnNorm,
  kQuery,
  kKey,
  kValue,
  kAttnOut,
  kQueryBias,
  kKeyBias,
  kValueBias,
  kOutBias,
  kQueryNorm,
  kKeyNorm,
  kPostAttnNorm,
  // Dense feed-forward of a layer.
  kFfnNorm,
  kGate,
  kUp,
  kDown,
  kPostFfnNorm,
  // Mixture of experts beside it.
  kRouter,
  kRouterScale,
  kExpertGateUp,
  kExpertDown,
  kExpertScale,
  kPreExpertNorm,
  kPostDenseNorm,
  kPostExpertNorm,
  // Per-layer embedding and the layer's scalar.
  kPleGate,
  kPleOut,
  kPostPleNorm,
  kLayerScalar,
};
const char* Name(Role role);  // "attn_out": stable, used in messages and as the synthetic seed's key

struct TensorKey {
  Role role;
  int layer = -1;  // -1 for tensors of the whole model
  friend auto operator<=>(const TensorKey&, const TensorKey&) = default;
};
std::string Name(TensorKey key);  // "layer 3 attn_out"

// One entry of the catalogue. Matrices are [rows = out, cols = in] row-major; vectors have rows = 1. Expert tensors
// hold `experts` such matrices; kExpertGateUp has rows = 2 * expert_ffn, gate rows first.
struct TensorEntry {
  TensorKey key;
  std::int64_t experts = 1;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  bool required = true;  // false: absence has a meaning (layer scalar and expert scale 1, tied head)
  std::int64_t elements() const { return experts * rows * cols; }
};

// Every tensor the trunk reads, in file order. K/V tensors of layers that share another layer's cache are not listed.
std::vector<TensorEntry> Catalogue(const ModelSpec& spec);

// Names under which a Hugging Face checkpoint (without prefix) or a GGUF file may hold the tensor, best first.
// Per-expert and split-expert layouts are the loaders' business; this gives the fused names.
std::vector<std::string> HuggingFaceNames(const ModelSpec& spec, TensorKey key);
std::vector<std::string> GgufNames(const ModelSpec& spec, TensorKey key);

}  // namespace assay
