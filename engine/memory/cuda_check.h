// CUDA failures as exceptions: the expression, its place and CUDA's own text. Needs the CUDA toolkit.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include "engine/base/check.h"

namespace assay {

// True when no later call on this device can succeed in this process (a faulting kernel, a lost or broken device).
bool IsLost(cudaError_t status) noexcept;

// Throws DeviceError, or OutOfMemory for a failed allocation, unless `status` is cudaSuccess. A sticky-but-recoverable
// error state is cleared first, so that the next call starts clean.
void CheckCuda(cudaError_t status, const char* expression, const char* file, int line);
void CheckCublas(cublasStatus_t status, const char* expression, const char* file, int line);

// The twin for destructors: prints what failed to stderr (once the runtime is still alive) and goes on.
void ReportCuda(cudaError_t status, const char* expression, const char* file, int line) noexcept;
void ReportCublas(cublasStatus_t status, const char* expression, const char* file, int line) noexcept;

}  // namespace assay

#define ASSAY_CUDA(call) ::assay::CheckCuda((call), #call, __FILE__, __LINE__)
#define ASSAY_CUBLAS(call) ::assay::CheckCublas((call), #call, __FILE__, __LINE__)
#define ASSAY_CUDA_NOEXCEPT(call) ::assay::ReportCuda((call), #call, __FILE__, __LINE__)
#define ASSAY_CUBLAS_NOEXCEPT(call) ::assay::ReportCublas((call), #call, __FILE__, __LINE__)
