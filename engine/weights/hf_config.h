// config.json of a Hugging Face folder to a ModelSpec.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/spec.h"
#include "engine/weights/unread_keys.h"

namespace assay {

// Reads the text model's facts from `text`: at top level or under "text_config", per-layer geometry as
// "global_head_dim" or as "per_layer_config", rope as "rope_parameters" or as the older keys; missing keys have
// transformers' defaults. `where` names the file in messages, `name` the model. `embedding_rows` is the vocabulary when
// "vocab_size" is not stated. Throws InputError naming file and key for anything malformed, out of range or not
// supported, unknown architectures by name, and keys that nobody knows and that may change the arithmetic.
struct HfConfig {
  ModelSpec spec;
  std::vector<UnreadKey> unread;  // keys that nothing was read from, each with its reason
};
HfConfig ReadHfConfig(std::string_view text, const std::string& where, const std::string& name,
                      std::optional<int> embedding_rows = std::nullopt);
inline ModelSpec SpecFromHfConfig(std::string_view text, const std::string& where, const std::string& name,
                                  std::optional<int> embedding_rows = std::nullopt) {
  return ReadHfConfig(text, where, name, embedding_rows).spec;
}

}  // namespace assay
