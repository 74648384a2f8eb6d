#include <cuda_runtime_api.h>

#include <array>

#include "bench/support/device_log.h"
#include "engine/memory/cuda_check.h"

namespace assay {

std::string CudaBusId() {
  int device = 0;
  ASSAY_CUDA(cudaGetDevice(&device));
  std::array<char, 32> text{};
  ASSAY_CUDA(cudaDeviceGetPCIBusId(text.data(), static_cast<int>(text.size()), device));
  return text.data();
}

}  // namespace assay
