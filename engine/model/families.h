// What distinguishes the supported families from each other, as a table. Only builders, loaders and the synthetic
// source look here; everything downstream reads ModelSpec.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "engine/model/spec.h"

namespace assay {

struct FamilyTraits {
  std::string_view name;  // ModelSpec::family
  Activation activation;
  bool scaled_embedding;  // the embedding row is multiplied by sqrt(hidden)
  bool qkv_bias;
  bool qk_norm;
  bool v_norm;
  bool post_norms;
  bool layer_scalar;
  bool norms_plus_one;    // Hugging Face files hold w of x * (1 + w); GGUF files already hold 1 + w
  bool gguf_interleaved;  // GGUF files hold q and k rows permuted for rope on neighbouring pairs
};

std::span<const FamilyTraits> Families();
// Throws InputError listing the supported families when `name` is none of them.
const FamilyTraits& Family(std::string_view name);
std::string FamilyNames();  // "gemma4, gemma3, ..."

// A spec with everything the family fixes; widths, ropes and layers are left to the caller.
ModelSpec StartSpec(std::string_view family, int hidden);

}  // namespace assay
