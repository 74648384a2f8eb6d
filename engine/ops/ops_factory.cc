#include "engine/ops/ops_factory.h"

#include "engine/ops/host_ops.h"
#ifdef ASSAY_HAS_CUDA
#include "engine/ops/cuda_ops.h"
#endif

namespace assay {

#ifdef ASSAY_HAS_CUDA
namespace {

CudaOptions OptionsOf(const Device& device, Precision precision, bool batch_invariant) {
  CudaOptions options;
  options.precision = precision;
  options.batch_invariant = batch_invariant;
  options.device = device.index;
  return options;
}

}  // namespace
#endif

Support DeviceAvailable(const Device& device) {
  if (device.on_host()) return Support::Yes();
#ifdef ASSAY_HAS_CUDA
  return CudaOpsAvailable(device.index);
#else
  return Support::No("no CUDA device: built without CUDA");
#endif
}

Device ResolveDevice(const std::string& asked) {
  if (asked != "auto") return Device::FromName(asked);
  return DeviceAvailable(Device::Cuda()) ? Device::Cuda() : Device::Host();
}

Support PlanningAvailable(const Device& device) {
#ifdef ASSAY_HAS_CUDA
  static_cast<void>(device);
  return Support::Yes();
#else
  if (device.on_host()) return Support::Yes();
  return Support::No("no plan for {}: built without CUDA", device.name());
#endif
}

std::unique_ptr<Ops> MakePlanningOps(const Device& device, Precision precision, bool batch_invariant) {
  const Support support = PlanningAvailable(device);
  Require(support.ok, "{}", support.reason);
#ifdef ASSAY_HAS_CUDA
  if (!device.on_host()) {
    return MakeCudaPlanningOps(OptionsOf(device, precision, batch_invariant), ShapeForPlans(device.index));
  }
#endif
  static_cast<void>(batch_invariant);
  return HostOps(precision).Planning();
}

std::unique_ptr<Ops> MakeOps(const Device& device, Precision precision, bool batch_invariant) {
  const Support support = DeviceAvailable(device);
  Require(support.ok, "{}", support.reason);
#ifdef ASSAY_HAS_CUDA
  if (!device.on_host()) return MakeCudaOps(OptionsOf(device, precision, batch_invariant));
#endif
  static_cast<void>(batch_invariant);
  return std::make_unique<HostOps>(precision);
}

}  // namespace assay
