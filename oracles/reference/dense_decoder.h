// Llama, Mistral, Qwen2, Qwen3 and Gemma 3: see dense_decoder.cc for the program.
#pragma once

#include <memory>

#include "oracles/reference/decoder.h"

namespace assay {

// Throws InputError when the spec has parts only Gemma 4 has: per-layer embeddings, shared KV, experts, layer scalars.
std::unique_ptr<ReferenceDecoder> MakeDenseReference(const WeightStore& store, const ReferenceOptions& options);

}  // namespace assay
