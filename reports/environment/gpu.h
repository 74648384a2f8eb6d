// A GPU as its management library (NVML) tells: what it is, and what it does while something is timed. Reads only. The
// library is opened when it is needed; a machine without it, and a call that it refuses, are facts and no errors.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "reports/format/environment.h"
#include "reports/format/report.h"

namespace assay {

// Everything of GpuInfo but sm_count and compute_capability, which CUDA knows; ecc_before is read now. `index` is
// CUDA's. `bus_id` is CUDA's PCI address ("0000:1b:00.0"). What could not be read is named in `unread`. Other processes
// are told by their number: in a container that renumbers processes, this one counts as another once it uses the GPU.
GpuInfo ReadGpu(int index, const std::string& bus_id);

// Errors counted since the driver was loaded; nothing for a device without error correction.
std::optional<EccCounts> ReadEcc(const std::string& bus_id);

// Bytes of the device's memory that nobody holds; nothing where the library does not tell.
std::optional<std::int64_t> FreeMemory(const std::string& bus_id);

// Bytes of the device's memory that this process holds, contexts included; nothing where the library does not tell, as
// in a container that renumbers processes.
std::optional<std::int64_t> ProcessMemory(const std::string& bus_id);

// The version of the driver of the device: "580.159.04"; empty when the library does not tell.
std::string ReadDriverVersion(const std::string& bus_id);

// Samples clocks, power, temperature and throttle reasons. Both calls may come from different threads.
class GpuMonitor {
 public:
  explicit GpuMonitor(const std::string& bus_id);
  ~GpuMonitor();
  GpuMonitor(const GpuMonitor&) = delete;
  GpuMonitor& operator=(const GpuMonitor&) = delete;

  // Why nothing is read; empty when something is.
  const std::string& unread() const;
  // Reads everything once. Takes some microseconds: not within what is timed.
  void Sample();
  // What was sampled since the last Take. Without samples when nothing is read.
  DeviceActivity Take();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Smallest, median (nearest rank) and largest; all 0 without values.
Spread SpreadOf(std::vector<double> values);

}  // namespace assay
