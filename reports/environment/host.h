// The machine and the environment of this process.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "reports/format/environment.h"

namespace assay {

HostInfo ThisHost();

// What this process may have: the machine's memory, or less where a limit of its control groups (version 1 or 2) or of
// one above them says so. Bytes; 0: unknown.
std::int64_t UsableMemory();
// The least limit in /proc/self/cgroup's text for groups that are mounted at `mount`; no limit: the largest number.
std::int64_t GroupLimit(const std::string& groups, const std::string& mount);

// Variables that libraries of the device and OpenMP read: CUDA_*, NVIDIA_*, CUBLAS_*, OMP_*. Bytes that are not
// printable ASCII stand as '?'.
std::map<std::string, std::string> EnvironmentVariables();

}  // namespace assay
