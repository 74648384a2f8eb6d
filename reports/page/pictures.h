// Parts of the page that need no script: pictures as inline SVG, and tables.
#pragma once

#include <string>
#include <vector>

#include "reports/trend/series.h"

namespace assay {

// A series over time: the line of its nights, broken where nights are missing, the band in which a night of a level is
// expected, a mark at each change, and the limit of the hardware as a broken line along the bottom where `limit` is not
// 0. Times are seconds since 1970.
std::string SparkSvg(const History& history, const TrendSeries& series, double limit);

// The last `days` days of a machine: a bar for each, by the worst verdict of its runs; a day without a run is empty.
std::string HeartbeatSvg(const History& history, const MachineState& machine, double now, int days = 45);

// Arithmetic intensity against what was achieved, of every row of each device's last runs, under the device's limits.
// Empty where no row has limits.
std::string RooflineSection(const History& history, const std::vector<TrendSeries>& series);

// Headroom of suites by model and mode, a table for each environment, as their last runs left them.
std::string ParitySection(const History& history);

// "NVIDIA H100 80GB HBM3 0b566eaa": a device, and the beginning of the key that makes its runs comparable.
std::string EnvironmentName(const History& history, const std::string& key);

}  // namespace assay
