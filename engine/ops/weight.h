// Weights as one Ops prepares them, what they are used for, and what a stored type is kept as.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/tensor.h"
#include "engine/ops/precision.h"

namespace assay {

// A weight prepared by one Ops for its own products. Opaque; owned by the caller; freed before the Ops.
class Weight {
 public:
  // Of these, one under the other. Throws InputError when they cannot be stacked.
  explicit Weight(const std::vector<HostTensor>& parts);
  virtual ~Weight() = default;
  virtual std::size_t bytes() const = 0;   // device bytes a product over all rows must read
  virtual std::string format() const = 0;  // "BF16", "Q8_0", "Q4_K as BF16"
  const std::int64_t experts, rows, cols;
};

enum class WeightUse {
  kMatrix,  // MatMul, Embed, PleGate
  kGated,   // GatedMatMul, ExpertGated: the first half of the rows is gate, the second half up
  kTable,   // rows are looked up only (PLE table): stored as in the file, never multiplied
};

// Type in which a matrix stored as `stored` is kept: Q8_0, Q4_0 and, in fp32 mode, F16 and BF16 stay, other types
// become the mode's; tables stay as stored. The host keeps any type in fp32 mode. A device keeps parts of different
// types under one weight in the mode's.
DType KeptType(DType stored, Precision precision, WeightUse use, bool on_host);

}  // namespace assay
