// Repeated timings under Google Benchmark, and what a row of a report holds of them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/support/activity_sampler.h"
#include "bench/support/roofline.h"
#include "reports/format/report.h"

namespace assay {

// The part of BenchSetting::seconds that a row has which is one of the dozens of a case.
inline constexpr double kShareOfMany = 0.1;

// Seconds of each of `repeats` calls of `body`, which times itself (a region of it, or a device clock) and returns
// seconds. What it throws is thrown here.
std::vector<double> RunTimed(const std::string& name, int repeats, const std::function<double()>& body);

double Sum(const std::vector<double>& seconds);

// Wall time of `body`.
double SecondsOf(const std::function<void()>& body);

// Calls `body` until its time is flat: the last three within 2 % of each other after a fifth of `budget` seconds, which
// a device's clocks need to settle; or until the budget is spent. At least three times. Returns the last time.
double WarmUp(const std::function<double()>& body, double budget);

// How many repeats of something that takes `seconds` fit the budget: `wanted` when possible, never fewer than `least`.
int RepeatsWithin(double budget, double seconds, int wanted = 30, int least = 3);

// What is timed in series, each call of `body` one of them, which gives the seconds of its units: after warming up for
// `budget` seconds at most as many as fit into another budget, `least` to twelve, the device's activity beside each.
// `warmed` is called in between.
std::vector<TimedSeries> TimeSeries(
    const std::string& name, double budget, int least, const std::function<std::vector<double>()>& body,
    ActivitySampler& activity, const std::function<void()>& warmed = [] {});

// What was timed while the device ran freely.
struct PacedSeries {
  std::vector<TimedSeries> series;
  double rest = 0;    // seconds of rest before each repeat
  int discarded = 0;  // repeats during which the device was throttled
};
// Times `body` `repeats` times, each repeat a series with the device's activity beside it. Where the device slows down
// for power or heat, as under products that run for longer than a prompt does in service, repeats are made anew with
// rest before them, and those that were throttled are discarded, at most twice as many as are wanted. When fewer than
// `least` ran freely all are returned, so that the row says what happened.
PacedSeries TimePaced(const std::string& name, int repeats, int least, const std::function<double()>& body,
                      ActivitySampler& activity);

// What one timed unit needs and the time that the hardware's limits allow for it; `work` units of row->unit are done in
// each.
void FillNeeds(ReportBenchmark* row, const StepCost& cost, const HardwareLimits& limits, double work);

}  // namespace assay
