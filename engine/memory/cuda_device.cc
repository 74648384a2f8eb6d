#include "engine/memory/cuda_device.h"

#include <cudaTypedefs.h>

#include "engine/memory/cuda_check.h"
#include "engine/memory/cuda_driver.h"

namespace assay {
namespace {

// Whether the calling thread has a context, so that going back to its device costs nothing.
bool HasContext() noexcept {
  static const auto current = DriverFunction<PFN_cuCtxGetCurrent_v4000>("cuCtxGetCurrent", 4000);
  CUcontext context = nullptr;
  return current == nullptr || (current(&context) == CUDA_SUCCESS && context != nullptr);
}

struct Switch {
  cudaError_t status;
  int before;  // -1: nothing to go back to
};

Switch SwitchTo(int device) noexcept {
  if (device < 0) return {cudaSuccess, -1};
  int current = -1;
  if (const cudaError_t status = cudaGetDevice(&current); status != cudaSuccess) return {status, -1};
  if (current == device) return {cudaSuccess, -1};
  const bool return_later = HasContext();
  const cudaError_t status = cudaSetDevice(device);
  return {status, status == cudaSuccess && return_later ? current : -1};
}

}  // namespace

DeviceScope::DeviceScope(int device) {
  const Switch done = SwitchTo(device);
  CheckCuda(done.status, "cudaSetDevice", __FILE__, __LINE__);
  before_ = done.before;
}

DeviceScope::DeviceScope(int device, std::nothrow_t) noexcept {
  const Switch done = SwitchTo(device);
  ReportCuda(done.status, "cudaSetDevice", __FILE__, __LINE__);
  before_ = done.before;
}

DeviceScope::~DeviceScope() {
  if (before_ >= 0) ASSAY_CUDA_NOEXCEPT(cudaSetDevice(before_));
}

}  // namespace assay
