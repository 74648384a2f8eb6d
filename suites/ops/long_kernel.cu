#include "suites/ops/long_kernel.h"

#include "engine/memory/cuda_check.h"

namespace assay {
namespace {

__global__ void WaitKernel(unsigned long long nanoseconds) {
  const auto now = [] {
    unsigned long long ns;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(ns));
    return ns;
  };
  for (const unsigned long long begin = now(); now() - begin < nanoseconds;) {
  }
}

}  // namespace

void LaunchLongKernel(double seconds) {
  WaitKernel<<<1, 1>>>(static_cast<unsigned long long>(seconds * 1e9));
  ASSAY_CUDA(cudaGetLastError());
}

}  // namespace assay
