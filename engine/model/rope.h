// Rotary frequency rules of the supported checkpoints. All computed in double and rounded once.
#pragma once

#include <vector>

#include "engine/model/spec.h"

namespace assay {

enum class RopeRule {
  kDefault,       // theta^(-2d/D)
  kLinear,        // ... / factor
  kProportional,  // ... / factor, but only the first int(partial * D / 2) pairs rotate (Gemma 4 full layers)
  kLlama3,    // wavelengths beyond original / low divided by factor, below original / high kept, between interpolated
  kDivisors,  // ... / divisors[d]: GGUF's rope_freqs tensor
};

struct RopeConfig {
  RopeRule rule = RopeRule::kDefault;
  double theta = 10000.0;
  double factor = 1.0;
  double partial = 1.0;
  double low = 1.0, high = 4.0, original = 8192.0;  // kLlama3
  std::vector<float> divisors{};                    // kDivisors, [head_dim/2]
};

// Throws InputError naming the field that is out of range: theta > 1, factor > 0, 0 < partial <= 1, low < high,
// original > 0, divisors finite, positive and head_dim/2 of them. A divisor of 1e20 or more stands for "does not
// rotate" and gives 0.
RopeSpec MakeRope(const RopeConfig& config, int head_dim);

// Index of `rope` in `spec.ropes`, added when it is not there yet.
int AddRope(ModelSpec& spec, const RopeSpec& rope);

}  // namespace assay
