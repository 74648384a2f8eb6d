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

// The fastest of some repeats after a warm-up. Takes up to 5 GiB of a device and gives it back.
Roofs MeasureRoofs(const std::string& device, Precision precision);

// Of the current CUDA device; defined in builds with CUDA only.
Roofs MeasureCudaRoofs(Precision precision);

}  // namespace assay
