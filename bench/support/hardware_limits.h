// What the hardware at hand can do, measured in the same process as what is compared with it.
#pragma once

#include "engine/base/device.h"
#include "engine/ops/ops.h"
#include "reports/format/report.h"

namespace assay {

// The fastest of some repeats after a warm-up. Takes up to 5 GiB of a device and gives it back.
HardwareLimits MeasureHardwareLimits(const Device& device, Precision precision);

// Of CUDA device `device`; defined in builds with CUDA only.
HardwareLimits MeasureCudaLimits(int device, Precision precision);

}  // namespace assay
