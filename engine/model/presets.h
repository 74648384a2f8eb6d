// Named specs: the real geometries of the publishers' models, and tiny ones with every feature and short windows for
// tests.
#pragma once

#include <string>
#include <vector>

#include "engine/model/spec.h"

namespace assay {

// "gemma4-e4b", "llama-3.1-8b", "tiny-gemma4-moe", ... sorted. Names of real geometries and of tiny ones.
std::vector<std::string> PresetNames();
bool IsPreset(const std::string& name);
// Throws InputError listing the known names when there is no such preset.
ModelSpec Preset(const std::string& name);

}  // namespace assay
