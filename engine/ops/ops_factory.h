// Ops by device, so that suites and commands need not know what was compiled in.
#pragma once

#include <memory>
#include <string>

#include "engine/base/check.h"
#include "engine/base/device.h"
#include "engine/memory/device_facts.h"
#include "engine/ops/ops.h"

namespace assay {

// Whether `device` can be used here; the reason when not: "built without CUDA", the driver's own text, or how many
// devices this machine has.
Support DeviceAvailable(const Device& device);

// The device that a person asked for: "auto" is cuda:0 where that can be used, else the host; other names as
// Device::FromName reads them. Throws InputError for a name that is none.
Device ResolveDevice(const std::string& asked);

// Ops that plan for a device (Ops::Planning), which need not be here: "cuda" is cuda:0 of this machine, of a machine
// without one an H100. Throws InputError in builds without CUDA for any device but the host; PlanningAvailable says so.
Support PlanningAvailable(const Device& device);
std::unique_ptr<Ops> MakePlanningOps(const Device& device, Precision precision, bool batch_invariant = false);

// Throws InputError with DeviceAvailable's reason. In batch-invariant mode a row's results do not depend on the batch
// it is in; the host is so always.
std::unique_ptr<Ops> MakeOps(const Device& device, Precision precision, bool batch_invariant = false);

}  // namespace assay
