// Random schedules without end on one model: what grows, and what goes wrong late.
#pragma once

#include <cstdint>
#include <vector>

#include "suites/parity/parity.h"

namespace assay {

// What a process holds.
struct Holdings {
  // Of the device: by this process, by whoever where the driver does not tell; 0 on a host.
  double resident_bytes = 0, device_bytes = 0;
  std::int64_t handles = 0, threads = 0;  // handles: open descriptors
};

// Whether `samples`, in the order in which they were taken, grow: the largest of the second half against the largest of
// the first half but its first two fifths, in which a process takes what it keeps. 0: they do not.
double Growth(const std::vector<double>& samples);

// Plays schedules of a thousand moves for so many seconds: the last fifty of each are judged as the Schedule suite
// judges all, lengths and refusals always. Then judges that memory grew by no more than 8 MiB + 2 %, and handles and
// threads by none.
Case SoakCase(const Target& target, double seconds);

}  // namespace assay
