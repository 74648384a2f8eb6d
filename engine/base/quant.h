// Stored rows to float32 and back: the plain types and the block formats of ggml.
//
// A row is `count` elements cut into blocks of Info(type).block; a block carries its own scales, so whole rows (and
// only whole blocks) can be moved, permuted or decoded independently. Products and differences are rounded one by one
// in float32 in the order of ggml's decoders, so that results agree bit for bit (goldens/ggml-blocks.bin). Layouts:
// ggml-common.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/tensor.h"

namespace assay {

// Decodes `count` elements stored at `blocks` (no alignment needed) to out[count]. Scales that are NaN or infinite
// decode to NaN or infinity. Throws InputError when count is not a multiple of the type's block, or the type holds no
// reals (I32).
void DequantiseRow(DType type, const std::byte* blocks, float* out, std::int64_t count);

// Encodes in[count] to `blocks` in type F32, F16, BF16, F8_E4M3, Q8_0 (d = amax/127) or Q4_0 (d = v/-8, v the value of
// largest magnitude). The scale is stored as F16; quotients use the float32 scale, as ggml does. Throws InputError for
// other types and partial blocks.
void QuantiseRow(DType type, const float* in, std::byte* blocks, std::int64_t count);

}  // namespace assay
