// What a report says of where a run happens, asked of the machine, its devices and the system under test.
#pragma once

#include "reports/format/environment.h"
#include "suites/support/workbench.h"

namespace assay {

// Asked before a run, so that a device lost in it is still named. Build, host and variables are there already.
void DescribeDevice(const Device& device, Workbench& bench, Environment* environment);
// Error counts of the devices after the run.
void CountErrorsAfter(Environment* environment);

}  // namespace assay
