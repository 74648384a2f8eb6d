// The machine and the environment of this process.
#pragma once

#include <map>
#include <string>

#include "reports/format/environment.h"

namespace assay {

HostInfo ThisHost();

// Variables that libraries of the device and OpenMP read: CUDA_*, NVIDIA_*, CUBLAS_*, OMP_*. Bytes that are not
// printable ASCII stand as '?'.
std::map<std::string, std::string> EnvironmentVariables();

}  // namespace assay
