// Ops by device name, so that suites and commands need not know what was compiled in.
#pragma once

#include <memory>
#include <string>

#include "engine/base/check.h"
#include "engine/ops/ops.h"

namespace assay {

// Whether "host" or "cuda" can be used here; the reason when not ("built without CUDA", the driver's own text).
// Throws InputError for other names.
Support DeviceAvailable(const std::string& device);

// "auto" becomes the best device present; other names pass.
std::string ResolveDevice(const std::string& device);

// Throws InputError with DeviceAvailable's reason. In batch-invariant mode a row's results do not depend on the batch
// it is in; the host is so always.
std::unique_ptr<Ops> MakeOps(const std::string& device, Precision precision, bool batch_invariant = false);

}  // namespace assay
