// The current device of a thread, made explicit: who works on a device enters a scope, and nothing relies on what a
// caller or an earlier call has set. Needs the CUDA toolkit.
#pragma once

#include <new>

namespace assay {

// While it lives, `device` is the calling thread's current device; then the device that was current before is so again.
// A thread that has used no device yet stays on `device`: to go back would make a context on device 0, hundreds of
// megabytes, for nobody. Costs one read of a thread-local value when `device` is current already. Device -1 is none:
// nothing changes.
class DeviceScope {
 public:
  explicit DeviceScope(int device);                  // throws DeviceError
  DeviceScope(int device, std::nothrow_t) noexcept;  // for destructors: reports to stderr and goes on
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;
  ~DeviceScope();

 private:
  int before_ = -1;  // -1: nothing to go back to
};

}  // namespace assay
