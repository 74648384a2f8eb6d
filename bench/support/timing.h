// Repeated timings under Google Benchmark, and the figures a row of a report holds.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/support/roofline.h"
#include "bench/support/roofs.h"
#include "reports/report.h"

namespace assay {

// Seconds of each of `repeats` calls of `body`, which times itself (a region of it, or a device clock) and returns
// seconds. What it throws is thrown here.
std::vector<double> RunTimed(const std::string& name, int repeats, const std::function<double()>& body);

// Wall time of `body`.
double SecondsOf(const std::function<void()>& body);

// Calls `body` until its time is flat: the last three within 2 % of each other after a fifth of `budget` seconds, which
// a device's clocks need to settle; or until the budget is spent. At least three times. Returns the last time.
double WarmUp(const std::function<double()>& body, double budget);

// How many repeats of something that takes `seconds` fit the budget: `wanted` when possible, never fewer than `least`.
int RepeatsWithin(double budget, double seconds, int wanted = 30, int least = 3);

// Percentiles, floor, fractions and rate of a row from the seconds of single units. `work` units of row->unit are done
// in each.
void FillFigures(ReportBenchmark* row, const std::vector<double>& seconds, const StepCost& cost, const Roofs& roofs,
                 double work);

}  // namespace assay
