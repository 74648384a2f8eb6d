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
  kYarn,      // pairs that turn often within `original` kept, those that turn seldom divided by factor, a ramp between
  kDivisors,  // ... / divisors[d]: GGUF's rope_freqs tensor
};

struct RopeConfig {
  RopeRule rule = RopeRule::kDefault;
  double theta = 10000.0;
  double factor = 1.0;
  double partial = 1.0;
  double low = 1.0, high = 4.0;               // kLlama3
  double original = 8192.0;                   // kLlama3, kYarn: positions of the training before scaling
  double beta_fast = 32.0, beta_slow = 1.0;   // kYarn: turns within `original` where the ramp begins and ends
  double attention_factor = 0.0;              // kYarn: of cosines and sines; 0: from factor, mscale and
  double mscale = 0.0, mscale_all_dim = 0.0;  //   mscale_all_dim (both or neither are stated)
  bool truncate = true;                       // kYarn: the ramp begins and ends at whole pairs
  std::vector<float> divisors{};              // kDivisors, [head_dim/2]
};

// Throws InputError naming the field that is out of range: theta > 1, factor > 0, 0 < partial <= 1, low < high, slow <
// fast, original > 0, divisors finite, positive and head_dim/2 of them. A divisor of 1e20 or more stands for "does not
// rotate" and gives 0.
RopeSpec MakeRope(const RopeConfig& config, int head_dim);

// Index of `rope` in `spec.ropes`, added when it is not there yet.
int AddRope(ModelSpec& spec, const RopeSpec& rope);

}  // namespace assay
