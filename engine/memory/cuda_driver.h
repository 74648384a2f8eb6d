// Functions of the CUDA driver, found at run time: libcuda belongs to the driver, and a program that linked it would
// not start on a machine without one. Needs the CUDA toolkit.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

namespace assay {

// The driver's function `name` in the form that CUDA `version` (12030: 12.3) gave it; null when this driver has none.
// `Function` is a pointer type of cudaTypedefs.h.
template <class Function>
Function DriverFunction(const char* name, unsigned version) noexcept {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  const cudaError_t status = cudaGetDriverEntryPointByVersion(name, &found, version, cudaEnableDefault, &result);
#else  // gives the form of the toolkit's own version
  static_cast<void>(version);
  const cudaError_t status = cudaGetDriverEntryPoint(name, &found, cudaEnableDefault, &result);
#endif
  if (status != cudaSuccess) (void)cudaGetLastError();
  return status == cudaSuccess && result == cudaDriverEntryPointSuccess ? reinterpret_cast<Function>(found) : nullptr;
}

}  // namespace assay
