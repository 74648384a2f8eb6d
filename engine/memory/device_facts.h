// What the CUDA devices and libraries of this process are, asked without CUDA headers: every build may ask.
#pragma once

#include <cstdint>
#include <string>

namespace assay {

// How many CUDA devices this process sees; 0 without CUDA, without a driver and without devices.
int CudaDeviceCount();

// Versions found at run time, "13.0" or for cuBLAS "13.0.2". Empty where there is none: in builds without CUDA, without
// a driver, or where the library cannot be loaded. Loads cuBLAS, which takes half a second the first time.
struct CudaVersions {
  std::string runtime;
  std::string driver_cuda;  // the newest CUDA that the driver supports
  std::string cublas;
};
CudaVersions LoadedCudaVersions();

// What CUDA says of a device. Defined only in builds with CUDA. Throws DeviceError when there is no such device.
struct CudaDeviceFacts {
  std::string name;                // "NVIDIA H100 80GB HBM3"
  std::string compute_capability;  // "9.0"
  int sm_count = 0;
  std::int64_t memory_bytes = 0;
};
CudaDeviceFacts FactsOfCudaDevice(int device);

// "0000:1b:00.0". Defined only in builds with CUDA. Throws DeviceError when there is no such device.
std::string CudaBusId(int device);

}  // namespace assay
