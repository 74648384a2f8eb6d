// How a kernel reports what it cannot go on with: see engine/memory/cuda_fault.h.
#pragma once

#include "engine/memory/cuda_fault.h"

namespace assay {

__device__ __forceinline__ void Report(std::uint64_t* word, KernelFault fault, std::int64_t value, std::int64_t limit) {
  if (word == nullptr) return;
  *reinterpret_cast<volatile std::uint64_t*>(word) = (static_cast<std::uint64_t>(fault) << (2 * kFaultBits)) |
                                                     ((static_cast<std::uint64_t>(value) & kFaultMask) << kFaultBits) |
                                                     (static_cast<std::uint64_t>(limit) & kFaultMask);
}

}  // namespace assay
