// Memory that hands out poisoned allocations and can refuse one: what was never written shows as NaN, what is written
// behind an allocation's end is found, and every failure path of allocation can be walked. Does not own the memory it
// wraps.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

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
    void* data = inner_.Allocate(bytes + kGuard, what);
    inner_.Fill(data, poison, bytes);
    inner_.Fill(static_cast<std::byte*>(data) + bytes, kGuardByte, kGuard);
    ++allocations_;
    live_[data] = {bytes, what};
    return data;
  }
  // The live allocations behind whose end something was written.
  std::vector<std::string> Overrun() const {
    std::vector<std::string> names;
    std::vector<unsigned char> guard(kGuard);
    for (const auto& [data, of] : live_) {
      inner_.CopyOut(guard.data(), static_cast<const std::byte*>(data) + of.bytes, kGuard);
      if (std::any_of(guard.begin(), guard.end(), [](unsigned char byte) { return byte != kGuardByte; }))
        names.push_back(of.what);
    }
    return names;
  }
  void Free(void* data) noexcept override {
    live_.erase(data);
    inner_.Free(data);
  }

 private:
  static constexpr std::size_t kGuard = 4096;  // wider than a row of small models
  static constexpr unsigned char kGuardByte = 0xa5;
  struct Live {
    std::size_t bytes;
    std::string what;
  };

  std::int64_t allocations_ = 0;
  std::map<void*, Live> live_;
};

}  // namespace assay
