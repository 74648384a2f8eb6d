// What a command line says of the system under test.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ci/assay/commands.h"
#include "suites/support/workbench.h"
#include "suites/systems/process_provider.h"

namespace assay {

// The process of the command; null for the engine of this tree. Throws SystemFailure.
std::unique_ptr<ProcessProvider> ProviderOf(const SystemArguments& system);

// Where a system of another process runs, unless `device` says so: where it says it does.
std::string DeviceOf(const ProcessProvider* provider, const std::string& device);
// Its modes, unless `dtypes` names some.
std::vector<std::string> DtypesOf(const ProcessProvider* provider, const std::vector<std::string>& dtypes);

// Adds what a system of another process declares of its arithmetic, model by model.
void DescribeArithmetic(Workbench& bench, const std::vector<Target>& targets, SystemInfo* info);

// `replay` with the system's options behind it.
std::string WithSystem(const SystemArguments& system, const std::string& replay);

}  // namespace assay
