// Base of the probes that decorate Memory: forwards every call to the memory it wraps. Does not own it.
#pragma once

#include <utility>

#include "engine/memory/memory.h"
#include "oracles/probes/forwarding_ops.h"

namespace assay {

class ForwardingMemory : public Memory {
 public:
  explicit ForwardingMemory(Memory& inner) : inner_(inner) {}

  void* Allocate(std::size_t bytes, const std::string& what) override { return inner_.Allocate(bytes, what); }
  void Free(void* data) noexcept override { inner_.Free(data); }
  void CopyIn(void* to, const void* host_from, std::size_t bytes) override { inner_.CopyIn(to, host_from, bytes); }
  void CopyOut(void* host_to, const void* from, std::size_t bytes) override { inner_.CopyOut(host_to, from, bytes); }
  void Copy(void* to, const void* from, std::size_t bytes) override { inner_.Copy(to, from, bytes); }
  void Fill(void* to, unsigned char byte, std::size_t bytes) override { inner_.Fill(to, byte, bytes); }
  std::size_t FreeBytes() const override { return inner_.FreeBytes(); }
  std::size_t PeakBytes() const override { return inner_.PeakBytes(); }

 protected:
  Memory& inner_;
};

// Ops whose memory is a decorated one.
template <class Decorator>
class OpsOverMemory : public ForwardingOps {
 public:
  template <class... Args>
  explicit OpsOverMemory(Ops& inner, Args&&... args)
      : ForwardingOps(inner), memory_(inner.memory(), std::forward<Args>(args)...) {}
  Decorator& memory() override { return memory_; }

 private:
  Decorator memory_;
};

}  // namespace assay
