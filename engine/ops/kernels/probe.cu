#include "engine/ops/kernels/probe.h"

#include "engine/memory/cuda_check.h"
#include "engine/memory/cuda_device.h"

namespace assay {
namespace {

__global__ void ProbeKernel() {}

}  // namespace

Support KernelsRunOn(int device) {
  try {
    const DeviceScope scope(device);
    cudaFuncAttributes attributes = {};
    const cudaError_t status = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(ProbeKernel));
    if (status == cudaSuccess) return Support::Yes();
    (void)cudaGetLastError();
    return Support::No("CUDA device {} cannot run this build: {} ({})", device, cudaGetErrorString(status),
                       cudaGetErrorName(status));
  } catch (const Error& error) {
    return Support::No("CUDA device {} cannot be used: {}", device, error.what());
  }
}

bool KernelsWait(int device) {
  const DeviceScope scope(device);
  cudaFuncAttributes attributes = {};
  ASSAY_CUDA(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(ProbeKernel)));
  return attributes.ptxVersion >= 90;
}

}  // namespace assay
