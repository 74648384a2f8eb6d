// A GGUF file as a source of weights.
#pragma once

#include <memory>
#include <string>

#include "engine/weights/store.h"

namespace assay {

// Opens `path`: reads the header, derives the spec and holds every tensor of the catalogue against the file (name,
// exact shape, type). Nothing of the weights is read yet. Throws InputError naming the file for anything that is not a
// whole, consistent file of a supported architecture; a tensor of the decoder that the architecture does not know (a
// bias, a norm) is refused too, because ignoring it would change the model silently.
std::unique_ptr<WeightStore> OpenGguf(const std::string& path);

}  // namespace assay
