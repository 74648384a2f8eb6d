// What the hardware at hand can do, measured in the same process as what is compared with it.
#pragma once

#include <string>

#include "engine/ops/ops.h"

namespace assay {

struct Roofs {
  double copy = 0;  // bytes/s of a large device copy, counting bytes read and bytes written
  double read = 0;  // bytes/s of a sum over a large array
  double gemm = 0;  // FLOP/s of a large square product in the mode's type
  std::string how;  // sizes and repeats
};

// After a warm-up: medians over repeats on a device, which takes up to 5 GiB there and gives it back; the fastest on a host.
Roofs MeasureRoofs(const std::string& device, Precision precision);

// Of the current CUDA device; defined in builds with CUDA only.
Roofs MeasureCudaRoofs(Precision precision);

}  // namespace assay
