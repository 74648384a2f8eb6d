// Device memory behind Memory, pinned host memory, and what devices there are. Needs the CUDA toolkit.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/memory/cuda_check.h"
#include "engine/memory/memory.h"

namespace assay {

// Memory of the current device. Copies and fills are ordered on `stream`, which must outlive this object; CopyOut waits
// for it and counts one host synchronisation. CopyIn returns when host_from may be reused (pageable memory only).
class CudaMemory final : public Memory {
 public:
  CudaMemory(cudaStream_t stream, std::int64_t* host_syncs) : stream_(stream), host_syncs_(host_syncs) {}
  void* Allocate(std::size_t bytes, const std::string& what) override;
  void Free(void* data) noexcept override;
  void CopyIn(void* to, const void* host_from, std::size_t bytes) override;
  void CopyOut(void* host_to, const void* from, std::size_t bytes) override;
  void Copy(void* to, const void* from, std::size_t bytes) override;
  void Fill(void* to, unsigned char byte, std::size_t bytes) override;
  std::size_t FreeBytes() const override;

 private:
  cudaStream_t stream_;
  std::int64_t* host_syncs_;
};

// Page-locked host memory for copies that overlap. Move-only.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  explicit PinnedBuffer(std::size_t bytes);
  PinnedBuffer(PinnedBuffer&& other) noexcept : data_(other.data_), bytes_(other.bytes_) { other.data_ = nullptr; }
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  ~PinnedBuffer();
  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Whether `device` can run this build, or why not in the driver's own words: no driver, driver too old, no such device,
// or an architecture the kernels were not built for. Makes no lasting claim on the device.
Support CudaAvailable(int device = 0);

}  // namespace assay
