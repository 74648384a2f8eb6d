// A Hugging Face folder: config.json and one safetensors file, or the shards that model.safetensors.index.json lists.
#pragma once

#include <memory>
#include <string>

#include "engine/weights/store.h"

namespace assay {

// Reads headers only. Every tensor of the catalogue is located and its shape and type are checked before this returns;
// tensors the model does not read (towers, dead K/V of shared layers, a tied head's copy) stay in the listing as
// unused.
std::unique_ptr<WeightStore> OpenHuggingFace(const std::string& folder);

}  // namespace assay
