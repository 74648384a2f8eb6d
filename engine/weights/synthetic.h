// Synthetic weights of a preset: every value a function of (seed, tensor, index), so that host and device agree bit for
// bit and a model of any size needs no file.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/base/tensor.h"
#include "engine/weights/store.h"

namespace assay {

// Matrices are bf16, norms and scalars f32, as in real checkpoints. Gains are chosen per role so that activations stay
// in a sane range through many layers and logits are decisive: see synthetic.cc for the reasoning and synthetic_test.cc
// for the criterion.
std::unique_ptr<WeightStore> OpenSynthetic(const ModelSpec& spec, std::uint64_t seed);

// Writes values [first, first + count) of the recipe into `out`, in `type` (F32, F16 or BF16), value i to place i -
// first.
void FillSynthetic(DType type, const SyntheticFill& fill, std::byte* out, std::int64_t first, std::int64_t count);

}  // namespace assay
