// Memory that counts what is allocated and holds nothing.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "engine/memory/memory.h"

namespace assay {

// For plans. Its addresses are aligned and never given twice, and nobody may read or write what they point to; copies
// out yield zeros.
class CountingMemory final : public Memory {
 public:
  void* Allocate(std::size_t bytes, const std::string&) override {
    void* const data = reinterpret_cast<void*>(next_);
    next_ += (bytes + kAlignment) / kAlignment * kAlignment;
    meter_.Add(data, bytes);
    return data;
  }
  void Free(void* data) noexcept override { meter_.Remove(data); }
  void CopyIn(void*, const void*, std::size_t) override {}
  void CopyOut(void* host_to, const void*, std::size_t bytes) override {
    if (bytes != 0) std::memset(host_to, 0, bytes);
  }
  void Copy(void*, const void*, std::size_t) override {}
  void Fill(void*, unsigned char, std::size_t) override {}
  std::size_t FreeBytes() const override { return 0; }
  std::size_t PeakBytes() const override { return meter_.peak(); }

 private:
  static constexpr std::uintptr_t kAlignment = 256;
  std::uintptr_t next_ = std::uintptr_t{1} << 40;
  AllocationMeter meter_;
};

}  // namespace assay
