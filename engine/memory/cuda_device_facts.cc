#include <cublas_v2.h>

#include <array>

#include "engine/memory/cuda_check.h"
#include "engine/memory/device_facts.h"

namespace assay {
namespace {

// CUDA counts 1000 for a major version and 10 for a minor one.
std::string VersionText(int number) {
  return number == 0 ? "" : fmt::format("{}.{}", number / 1000, number % 1000 / 10);
}

std::string CublasVersion() {
  try {
    std::array<int, 3> parts{};
    constexpr std::array<libraryPropertyType, 3> kParts{MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL};
    for (std::size_t i = 0; i < parts.size(); ++i) ASSAY_CUBLAS(cublasGetProperty(kParts[i], &parts[i]));
    return fmt::format("{}.{}.{}", parts[0], parts[1], parts[2]);
  } catch (const DeviceError&) {
    return "";  // the library is absent, which is a fact and not a failure here
  }
}

}  // namespace

int CudaDeviceCount() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  (void)cudaGetLastError();
  return 0;
}

CudaVersions LoadedCudaVersions() {
  int runtime = 0, driver = 0;
  if (cudaRuntimeGetVersion(&runtime) != cudaSuccess) runtime = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
  (void)cudaGetLastError();
  return {VersionText(runtime), VersionText(driver), CublasVersion()};
}

CudaDeviceFacts FactsOfCudaDevice(int device) {
  cudaDeviceProp properties = {};
  ASSAY_CUDA(cudaGetDeviceProperties(&properties, device));
  return {properties.name, fmt::format("{}.{}", properties.major, properties.minor), properties.multiProcessorCount,
          static_cast<std::int64_t>(properties.totalGlobalMem)};
}

std::string CudaBusId(int device) {
  std::array<char, 32> text{};
  ASSAY_CUDA(cudaDeviceGetPCIBusId(text.data(), static_cast<int>(text.size()), device));
  return text.data();
}

}  // namespace assay
