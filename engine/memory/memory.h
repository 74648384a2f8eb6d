// Where buffers live. HostMemory and CudaMemory implement it; probes decorate it (poison, failing allocations).
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

namespace assay {

// Allocations and copies of one device. Not thread-safe. Copies are ordered with the work of the Ops that owns the
// memory; CopyIn returns when the host's bytes may be reused, CopyOut when the bytes are there.
class Memory {
 public:
  virtual ~Memory() = default;
  // Never null; throws OutOfMemory. At least 256-byte aligned. `what` names the buffer in messages.
  virtual void* Allocate(std::size_t bytes, const std::string& what) = 0;
  virtual void Free(void* data) noexcept = 0;
  virtual void CopyIn(void* to, const void* host_from, std::size_t bytes) = 0;
  virtual void CopyOut(void* host_to, const void* from, std::size_t bytes) = 0;
  // Several of them; a device is waited for once or twice for each 32 MiB of all.
  struct Part {
    void* host_to;
    const void* from;
    std::size_t bytes;
  };
  virtual void CopyOutAll(std::span<const Part> parts) {
    for (const Part& part : parts) CopyOut(part.host_to, part.from, part.bytes);
  }
  virtual void Copy(void* to, const void* from, std::size_t bytes) = 0;
  virtual void Fill(void* to, unsigned char byte, std::size_t bytes) = 0;
  virtual std::size_t FreeBytes() const = 0;  // best knowledge of what is left; for messages and planning
  virtual std::size_t PeakBytes() const = 0;  // allocated and not freed, at most so far
};

// Move-only owner of one allocation; null when default-constructed. The Memory must outlive it.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Memory& memory, std::size_t bytes, const std::string& what)
      : memory_(&memory), data_(memory.Allocate(bytes, what)), bytes_(bytes) {}
  Buffer(Buffer&& other) noexcept { Swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer taken(static_cast<Buffer&&>(other));
    Swap(taken);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ != nullptr) memory_->Free(data_);
  }
  void* data() const { return data_; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  void Swap(Buffer& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }
  Memory* memory_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// What is allocated, and how much that was at most.
class AllocationMeter {
 public:
  void Add(void* data, std::size_t bytes) {
    sizes_[data] = bytes;
    current_ += bytes;
    peak_ = current_ > peak_ ? current_ : peak_;
  }
  void Remove(void* data) noexcept {
    const auto found = sizes_.find(data);
    if (found == sizes_.end()) return;
    current_ -= found->second;
    sizes_.erase(found);
  }
  std::size_t peak() const { return peak_; }

 private:
  std::unordered_map<void*, std::size_t> sizes_;
  std::size_t current_ = 0, peak_ = 0;
};

// Plain aligned host memory.
class HostMemory final : public Memory {
 public:
  void* Allocate(std::size_t bytes, const std::string& what) override;
  void Free(void* data) noexcept override;
  void CopyIn(void* to, const void* host_from, std::size_t bytes) override;
  void CopyOut(void* host_to, const void* from, std::size_t bytes) override;
  void Copy(void* to, const void* from, std::size_t bytes) override;
  void Fill(void* to, unsigned char byte, std::size_t bytes) override;
  std::size_t FreeBytes() const override;
  std::size_t PeakBytes() const override { return meter_.peak(); }

 private:
  AllocationMeter meter_;
};

}  // namespace assay
