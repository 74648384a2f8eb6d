#include "engine/memory/cuda_check.h"

#include <cstdio>
#include <string>
#include <string_view>

namespace assay {
namespace {

// The path below the repository's root: builds must not carry the builder's folders into messages.
std::string_view Place(std::string_view file) {
  for (std::string_view root : {"/engine/", "/oracles/", "/suites/", "/bench/"}) {
    const auto at = file.rfind(root);
    if (at != std::string_view::npos) return file.substr(at + 1);
  }
  return file;
}

std::string Describe(std::string_view library, std::string_view name, std::string_view text, const char* expression,
                     const char* file, int line) {
  return fmt::format("{}:{}: {} failed with {} ({}) in {}", Place(file), line, library, name, text, expression);
}

const char* CublasText(cublasStatus_t status) { return cublasGetStatusString(status); }
const char* CublasName(cublasStatus_t status) { return cublasGetStatusName(status); }

}  // namespace

bool IsLost(cudaError_t status) noexcept {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContextIsDestroyed:
    case cudaErrorCudartUnloading:
    case cudaErrorDevicesUnavailable:
    case cudaErrorExternalDevice:
    case cudaErrorUnknown:
      return true;
    default:
      return false;
  }
}

void CheckCuda(cudaError_t status, const char* expression, const char* file, int line) {
  if (status == cudaSuccess) [[likely]]
    return;
  (void)cudaGetLastError();  // clears what can be cleared; a lost device keeps failing
  const std::string what =
      Describe("CUDA", cudaGetErrorName(status), cudaGetErrorString(status), expression, file, line);
  if (status == cudaErrorMemoryAllocation) throw OutOfMemory(what, 0, 0);
  throw DeviceError(what, IsLost(status));
}

void CheckCublas(cublasStatus_t status, const char* expression, const char* file, int line) {
  if (status == CUBLAS_STATUS_SUCCESS) [[likely]]
    return;
  const cudaError_t pending = cudaGetLastError();  // an execution failure leaves the cause here
  const std::string what = Describe("cuBLAS", CublasName(status), CublasText(status), expression, file, line);
  if (status == CUBLAS_STATUS_ALLOC_FAILED) throw OutOfMemory(what, 0, 0);
  throw DeviceError(what, status == CUBLAS_STATUS_EXECUTION_FAILED || IsLost(pending));
}

void ReportCuda(cudaError_t status, const char* expression, const char* file, int line) noexcept {
  if (status == cudaSuccess || status == cudaErrorCudartUnloading) return;
  (void)cudaGetLastError();
  const std::string_view place = Place(file);
  std::fprintf(stderr, "%.*s:%d: CUDA failed with %s (%s) in %s\n", static_cast<int>(place.size()), place.data(), line,
               cudaGetErrorName(status), cudaGetErrorString(status), expression);
}

void ReportCublas(cublasStatus_t status, const char* expression, const char* file, int line) noexcept {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const std::string_view place = Place(file);
  std::fprintf(stderr, "%.*s:%d: cuBLAS failed with %s (%s) in %s\n", static_cast<int>(place.size()), place.data(),
               line, CublasName(status), CublasText(status), expression);
}

}  // namespace assay
