// Whether a device ran freely while it was timed: the one rule that decides if a row may have a speed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "reports/format/report.h"

namespace assay {

// A series whose SM clock fell below these fractions of the highest seen in it was not timed at one clock. H100s that
// nothing slowed down stayed at 1980 MHz throughout; under a power cap they fell to 0.74 and 0.86 of that. The median
// tells such a series from a free one, and the minimum is a little lower because it is a single sample, which may fall
// between two launches.
inline constexpr double kLeastMedianClock = 0.9;
inline constexpr double kLeastClock = 0.85;

// NVML's clock event reasons by the names of its documentation, in order of bits: "sw_power_cap". A bit that has no
// name here is "bit_9".
std::vector<std::string> ThrottleReasonNames(std::uint64_t reasons);
// The bits that lower clocks. Idleness, clocks that a user set and a group that is kept in step do not; a bit without a
// name is taken to.
std::uint64_t LoweringReasons(std::uint64_t reasons);

// False when the driver reported an error, a reason lowered the clocks or the SM clock left its band; `why`, unless
// null, then says which. A series of which nothing was read is not held against its row: a host has no such clocks.
bool StableActivity(const DeviceActivity& activity, std::string* why);

}  // namespace assay
