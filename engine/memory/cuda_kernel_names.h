// Which kernels run: the names behind recorded graphs and behind kernels that were launched one by one. Needs the CUDA
// toolkit.
#pragma once

#include <cuda_runtime_api.h>

#include <string>
#include <vector>

namespace assay {

// What stands for a kernel whose name the driver does not give.
inline constexpr const char* kUnnamedKernel = "unnamed kernel";

// Distinct names of the kernel nodes of `graph`, libraries' included, sorted. Throws DeviceError.
std::vector<std::string> GraphKernelNames(cudaGraph_t graph);

// The name of a kernel of this program on the current device; `kernel` is its host symbol.
std::string KernelNameOf(const void* kernel);

}  // namespace assay
