// Gemma 4 in all sizes: see gemma4_decoder.cc for the program.
#pragma once

#include <memory>

#include "oracles/reference/decoder.h"

namespace assay {

std::unique_ptr<ReferenceDecoder> MakeGemma4Reference(const WeightStore& store, const ReferenceOptions& options);

}  // namespace assay
