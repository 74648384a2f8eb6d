#include "ci/assay/environment.h"

#include "engine/memory/device_facts.h"
#include "engine/ops/ops_factory.h"
#include "reports/environment/gpu.h"

namespace assay {

void DescribeDevice(const Device& device, Workbench& bench, Environment* environment) {
  environment->system = bench.provider().Describe();
  environment->device_asked = device.name();
  environment->device_unavailable = DeviceAvailable(device).reason;
  if (device.on_host() || !environment->device_unavailable.empty()) return;
#ifdef ASSAY_HAS_CUDA
  GpuInfo gpu = ReadGpu(device.index, CudaBusId(device.index));
  const CudaDeviceFacts facts = FactsOfCudaDevice(device.index);
  gpu.name = facts.name;
  gpu.sm_count = facts.sm_count;
  gpu.compute_capability = facts.compute_capability;
  gpu.memory_bytes = facts.memory_bytes;
  const CudaVersions versions = LoadedCudaVersions();
  environment->cuda =
      CudaRuntime{ReadDriverVersion(gpu.bus_id), versions.driver_cuda, versions.runtime, versions.cublas};
  environment->gpus.push_back(std::move(gpu));
#endif
}

void CountErrorsAfter(Environment* environment) {
  for (GpuInfo& gpu : environment->gpus) gpu.ecc_after = ReadEcc(gpu.bus_id);
}

}  // namespace assay
