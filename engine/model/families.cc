#include "engine/model/families.h"

#include <array>
#include <cmath>

#include "engine/base/check.h"

namespace assay {
namespace {

constexpr Activation kSilu = Activation::kSilu, kGelu = Activation::kGeluTanh;

// clang-format off
//                                                  scaled  qkv    qk     v      post   layer   1+w    gguf
//                                                  embed   bias   norm   norm   norms  scalar  norms  pairs
constexpr std::array<FamilyTraits, 6> kFamilies{{
    {"gemma4", kGelu,                               true,   false, true,  true,  true,  true,   false, false},
    {"gemma3", kGelu,                               true,   false, true,  false, true,  false,  true,  false},
    {"llama", kSilu,                                false,  false, false, false, false, false,  false, true},
    {"mistral", kSilu,                              false,  false, false, false, false, false,  false, true},
    {"qwen2", kSilu,                                false,  true,  false, false, false, false,  false, false},
    {"qwen3", kSilu,                                false,  false, true,  false, false, false,  false, false},
}};
// clang-format on

}  // namespace

std::span<const FamilyTraits> Families() { return kFamilies; }

std::string FamilyNames() {
  std::string names;
  for (const FamilyTraits& family : kFamilies) names += (names.empty() ? "" : ", ") + std::string(family.name);
  return names;
}

const FamilyTraits& Family(std::string_view name) {
  for (const FamilyTraits& family : kFamilies)
    if (family.name == name) return family;
  Throw("unknown model family '{}': supported are {}", name, FamilyNames());
}

ModelSpec StartSpec(std::string_view family, int hidden) {
  const FamilyTraits& traits = Family(family);
  ModelSpec spec;
  spec.family = traits.name;
  spec.hidden = hidden;
  spec.embed_scale = traits.scaled_embedding ? static_cast<float>(std::sqrt(static_cast<double>(hidden))) : 1.0f;
  spec.activation = traits.activation;
  spec.qkv_bias = traits.qkv_bias;
  spec.qk_norm = traits.qk_norm;
  spec.v_norm = traits.v_norm;
  spec.post_norms = traits.post_norms;
  spec.layer_scalar = traits.layer_scalar;
  return spec;
}

}  // namespace assay
