// The model half of GGUF: metadata and tensor presence become a ModelSpec. Key names and defaults: llama.cpp's
// converter and loader, by architecture.
#pragma once

#include <vector>

#include "engine/model/spec.h"
#include "engine/weights/gguf_reader.h"
#include "engine/weights/unread_keys.h"

namespace assay {

// Architectures: gemma4, gemma3, llama (Llama, Mistral, SmolLM2), qwen2, qwen3. What a file leaves unsaid is read off
// its tensors: tied head (no output), keys as values (no attn_v on a full layer), rope divisors (rope_freqs). Throws
// InputError naming file, key, expected and found, and for keys of the architecture that nobody knows and that may
// change the arithmetic.
struct GgufConfig {
  ModelSpec spec;
  std::vector<UnreadKey> unread;
};
GgufConfig ReadGgufConfig(const GgufFile& file);

}  // namespace assay
