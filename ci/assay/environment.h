// What a report says of where a run happens, asked of the machine, its devices and the system under test.
#pragma once

#include "reports/format/environment.h"
#include "suites/support/workbench.h"

namespace assay {

// How OpenMP's threads wait: what commands that judge set it to where it is not set. Their reports are of the kinds run
// and golden.
inline constexpr const char* kWaitPolicy = "OMP_WAIT_POLICY";
inline constexpr const char* kPassive = "passive";

// Asked before a run, so that a device lost in it is still named. Build, host and variables are there already.
void DescribeDevice(const Device& device, Workbench& bench, Environment* environment);
// Error counts of the devices after the run.
void CountErrorsAfter(Environment* environment);

}  // namespace assay
