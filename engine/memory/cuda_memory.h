// Device memory behind Memory, and whether a device can be used. Needs the CUDA toolkit.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/memory/cuda_check.h"
#include "engine/memory/cuda_fault.h"
#include "engine/memory/cuda_staging.h"
#include "engine/memory/memory.h"

namespace assay {

// Memory of CUDA device `device`, whatever device is current. Copies and fills are ordered on `stream` of that device,
// which must outlive this object; copies out wait for it, count how often the host waited and throw what a kernel has
// reported in `faults` (null: nothing reports). Pageable bytes go through pinned memory; CopyIn waits for a caller's
// own pinned memory to have been read.
class CudaMemory final : public Memory {
 public:
  CudaMemory(int device, cudaStream_t stream, std::int64_t* host_syncs, FaultWord* faults = nullptr)
      : device_(device), stream_(stream), host_syncs_(host_syncs), faults_(faults), staging_(device, stream) {}
  void* Allocate(std::size_t bytes, const std::string& what) override;
  void Free(void* data) noexcept override;
  void CopyIn(void* to, const void* host_from, std::size_t bytes) override;
  void CopyOut(void* host_to, const void* from, std::size_t bytes) override;
  void CopyOutAll(std::span<const Part> parts) override;
  void Copy(void* to, const void* from, std::size_t bytes) override;
  void Fill(void* to, unsigned char byte, std::size_t bytes) override;
  std::size_t FreeBytes() const override;
  std::size_t PeakBytes() const override { return meter_.peak(); }

 private:
  int device_;
  cudaStream_t stream_;
  std::int64_t* host_syncs_;
  FaultWord* faults_;
  CudaStaging staging_;
  AllocationMeter meter_;
};

// Whether `device` can run this build, or why not in the driver's own words: no driver, driver too old, no such device,
// or an architecture that this project does not support. Makes no lasting claim on the device.
Support CudaAvailable(int device);

}  // namespace assay
