// Whether this build has machine code, or code that the driver can compile, for a device.
#pragma once

#include "engine/base/check.h"

namespace assay {

Gate KernelsRunOn(int device);

}  // namespace assay
