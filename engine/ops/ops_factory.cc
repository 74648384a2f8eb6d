#include "engine/ops/ops_factory.h"

#include "engine/ops/host_ops.h"
#ifdef ASSAY_HAS_CUDA
#include "engine/ops/cuda_ops.h"
#endif

namespace assay {

Support DeviceAvailable(const std::string& device) {
  if (device == "host") return Support::Yes();
  Require(device == "cuda", "device '{}': expected host or cuda", device);
#ifdef ASSAY_HAS_CUDA
  return CudaOpsAvailable();
#else
  return Support::No("no CUDA device: built without CUDA");
#endif
}

std::string ResolveDevice(const std::string& device) {
  if (device != "auto") return device;
  return DeviceAvailable("cuda").ok ? "cuda" : "host";
}

std::unique_ptr<Ops> MakeOps(const std::string& device, Precision precision, bool batch_invariant) {
  const Support support = DeviceAvailable(device);
  Require(support.ok, "{}", support.reason);
#ifdef ASSAY_HAS_CUDA
  if (device == "cuda") {
    CudaOptions options;
    options.precision = precision;
    options.batch_invariant = batch_invariant;
    return MakeCudaOps(options);
  }
#endif
  static_cast<void>(batch_invariant);
  return std::make_unique<HostOps>(precision);
}

}  // namespace assay
