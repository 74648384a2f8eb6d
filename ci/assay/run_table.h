// The table at the end of a run: a line for each suite and device.
#pragma once

#include "reports/format/report.h"

namespace assay {

// On stdout: counts by status, the worst verdict, on how many rows the argmax was judged, the largest headroom, time.
void PrintRunTable(const Report& report);

}  // namespace assay
