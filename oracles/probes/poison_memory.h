// Memory that hands out poisoned allocations and can refuse one: what was never written shows as NaN, and every failure
// path of allocation can be walked. Does not own the memory it wraps.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "engine/base/check.h"
#include "oracles/probes/forwarding_memory.h"

namespace assay {

class PoisonMemory final : public ForwardingMemory {
 public:
  using ForwardingMemory::ForwardingMemory;

  // 0xff in every byte reads as NaN in all float formats.
  unsigned char poison = 0xff;
  // The allocation with this number (from 0) throws OutOfMemory; -1: none does.
  std::int64_t refuse = -1;

  std::int64_t allocations() const { return allocations_; }  // successful ones since construction
  std::size_t live() const { return live_.size(); }          // not yet freed

  void* Allocate(std::size_t bytes, const std::string& what) override {
    if (allocations_ == refuse)
      throw OutOfMemory(fmt::format("{}: {} bytes refused on purpose", what, bytes), bytes, inner_.FreeBytes());
    void* data = inner_.Allocate(bytes, what);
    inner_.Fill(data, poison, bytes);
    ++allocations_;
    live_[data] = bytes;
    return data;
  }
  void Free(void* data) noexcept override {
    live_.erase(data);
    inner_.Free(data);
  }

 private:
  std::int64_t allocations_ = 0;
  std::map<void*, std::size_t> live_;
};

}  // namespace assay
