#include "engine/memory/cuda_fault.h"

#include <cuda_runtime_api.h>

#include "engine/memory/cuda_check.h"
#include "engine/memory/cuda_device.h"

namespace assay {

std::string FaultText(std::uint64_t word) {
  const auto kind = static_cast<KernelFault>(word >> (2 * kFaultBits));
  const std::uint64_t value = (word >> kFaultBits) & kFaultMask, limit = word & kFaultMask;
  // Values are stored in 28 bits; what was negative has the highest of them set.
  const bool negative = (value >> (kFaultBits - 1)) != 0;
  const std::int64_t found = static_cast<std::int64_t>(value) - (negative ? std::int64_t{1} << kFaultBits : 0);
  switch (kind) {
    case KernelFault::kNone:
      break;
    case KernelFault::kContextBound:
      return fmt::format(
          "a row sees {} keys or chunks of them, the step was made for at most {}: its context bound is "
          "too small",
          found, limit);
    case KernelFault::kToken:
      return fmt::format("token {} looked up in a table of {} rows", found, limit);
    case KernelFault::kPosition:
      return fmt::format("a row at position {}: expected 0 or more", found);
    case KernelFault::kSession:
      return fmt::format("a row of session {} in a cache of {} sessions", found, limit);
    case KernelFault::kArrivals:
      return fmt::format("an arrival counter of split sums held {}, expected at most {}: products may be wrong", found,
                         limit);
  }
  return fmt::format("an unknown fault, word {:#x}", word);
}

FaultWord::FaultWord(int device) : device_(device) {
  const DeviceScope scope(device_);
  void* word = nullptr;
  ASSAY_CUDA(cudaHostAlloc(&word, sizeof(std::uint64_t), cudaHostAllocMapped));
  word_ = static_cast<volatile std::uint64_t*>(word);
  *word_ = 0;
  void* mapped = nullptr;
  const cudaError_t status = cudaHostGetDevicePointer(&mapped, word, 0);
  if (status != cudaSuccess) ASSAY_CUDA_NOEXCEPT(cudaFreeHost(word));
  ASSAY_CUDA(status);
  on_device_ = static_cast<std::uint64_t*>(mapped);
}

FaultWord::~FaultWord() {
  const DeviceScope scope(device_, std::nothrow);
  ASSAY_CUDA_NOEXCEPT(cudaFreeHost(const_cast<std::uint64_t*>(word_)));
}

void FaultWord::Check() {
  const std::uint64_t word = *word_;
  if (word == 0) [[likely]]
    return;
  *word_ = 0;
  throw DeviceError("a kernel found: " + FaultText(word), false);
}

}  // namespace assay
