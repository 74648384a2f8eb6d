// The rope tables of a config.json: where each family looks for them and what an unstated field means. For .cc files of
// this room.
#pragma once

#include <string_view>

#include "engine/model/rope.h"
#include "engine/weights/json_fields.h"

namespace assay {

struct RopePair {
  RopeConfig full, sliding;
};

// `family` holds the defaults of a file that states nothing. As transformers reads them:
//   one rope    "rope_scaling" replaces "rope_parameters"; what neither states is "rope_theta" or the default
//   Gemma 3     "rope_parameters" by kind of layer (a flat table says nothing), "rope_scaling" merged into the full
//   one;
//               thetas otherwise from "rope_theta" and "rope_local_base_freq"
//   Gemma 4     "rope_parameters" by kind of layer; a stated table takes nothing but theta from the family
// A rule that needs the original length and states none has that of the model, `positions`.
// Throws InputError naming file and key for rules that are not supported, wherever they stand.
RopePair ParseRopes(const JsonFields& text, std::string_view family, const RopePair& defaults, int positions);

}  // namespace assay
