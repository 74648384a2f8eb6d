// The model half of GGUF: metadata and tensor presence become a ModelSpec. Key names and defaults: llama.cpp's
// converter and loader, by architecture.
#pragma once

#include "engine/model/spec.h"
#include "engine/weights/gguf_reader.h"

namespace assay {

// Architectures: gemma4, gemma3, llama (Llama, Mistral, SmolLM2), qwen2, qwen3. What a file leaves unsaid is read off
// its tensors: tied head (no output), keys as values (no attn_v on a full layer), rope divisors (rope_freqs). Throws
// InputError naming file, key, expected and found.
ModelSpec GgufSpec(const GgufFile& file);

}  // namespace assay
