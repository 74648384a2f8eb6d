// What a gate says to people.
#pragma once

#include <string>

#include "reports/format/report.h"

namespace assay {

// "screen 3/6, 12 cells".
std::string ProgressOf(const GateRecord& record);
// After the screen: what passed, what is confirmed, and the slowdown that is found in a quiet, a normal and a noisy
// cell.
void PrintScreen(const GateRecord& record, double seconds_of_round);
// Every cell with its estimate, interval, minimum detectable effect and rounds; worst first. Then why not, and the
// verdict.
void PrintGate(const Report& report);

}  // namespace assay
