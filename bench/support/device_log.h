// Clocks, power and temperature of a device while it is timed, as its management library tells them. Reads only.
#pragma once

#include <map>
#include <memory>
#include <string>

namespace assay {

class DeviceLog {
 public:
  // Of "host" or "cuda". A library that is absent or refuses is a fact of the log, not an error.
  explicit DeviceLog(const std::string& device);
  ~DeviceLog();
  DeviceLog(const DeviceLog&) = delete;
  DeviceLog& operator=(const DeviceLog&) = delete;

  // Reads everything once. Takes some microseconds: not within what is timed.
  void Sample();
  // Ranges over the samples so far: "sm_clock": "1755..1980 MHz", "throttle_reasons": "0x4". For DeviceInfo::facts.
  std::map<std::string, std::string> Facts() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The PCI address of the current CUDA device; defined in builds with CUDA only.
std::string CudaBusId();

}  // namespace assay
