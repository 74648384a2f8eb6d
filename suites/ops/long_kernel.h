// A kernel that keeps a device busy for a known time.
#pragma once

namespace assay {

// On the current device, in the default stream. Returns at once.
void LaunchLongKernel(double seconds);

}  // namespace assay
