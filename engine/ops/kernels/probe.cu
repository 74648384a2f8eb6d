#include "engine/ops/kernels/probe.h"

#include "engine/memory/cuda_check.h"

namespace assay {
namespace {

__global__ void ProbeKernel() {}

}  // namespace

Support KernelsRunOn(int device) {
  int before = 0;
  cudaError_t status = cudaGetDevice(&before);
  if (status == cudaSuccess) status = cudaSetDevice(device);
  cudaFuncAttributes attributes = {};
  if (status == cudaSuccess) status = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(ProbeKernel));
  if (status == cudaSuccess) status = cudaSetDevice(before);
  if (status == cudaSuccess) return Support::Yes();
  (void)cudaGetLastError();
  return Support::No("CUDA device {} cannot run this build: {} ({})", device, cudaGetErrorString(status),
                     cudaGetErrorName(status));
}

bool KernelsWait() {
  cudaFuncAttributes attributes = {};
  ASSAY_CUDA(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(ProbeKernel)));
  return attributes.ptxVersion >= 90;
}

}  // namespace assay
