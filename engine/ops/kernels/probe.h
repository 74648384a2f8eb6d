// Whether this build has machine code, or code that the driver can compile, for a device.
#pragma once

#include "engine/base/check.h"

namespace assay {

Support KernelsRunOn(int device);
// Whether the kernels wait on `device` for predecessors that they may overlap (launch.cuh). Code for older
// architectures, which the driver compiles anew for newer devices, does not.
bool KernelsWait(int device);

}  // namespace assay
