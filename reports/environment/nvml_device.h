// One device of the management library, which is opened by name and stays open: CUDA may hold it too.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "reports/format/environment.h"

namespace assay {

class NvmlDevice {
 public:
  explicit NvmlDevice(const std::string& bus_id);
  ~NvmlDevice();

  // Why the device cannot be read at all; empty when it can.
  const std::string& unread() const { return unread_; }

  // Fills what the library knows, and names what it refuses in info->unread.
  void Describe(GpuInfo* info) const;
  std::optional<EccCounts> Ecc() const;
  std::optional<std::int64_t> FreeMemory() const;     // bytes
  std::optional<std::int64_t> ProcessMemory() const;  // bytes of this process, its contexts included
  std::string DriverVersion() const;                  // "580.159.04"; empty when it is not told

  // From now on Now() tells the errors that the driver reports, where it reports them to this process.
  void WatchErrors();

  // What the device does now; a part that is refused is absent.
  struct Moment {
    std::optional<double> sm_clock_mhz, memory_clock_mhz, power_w, temperature_c;
    std::uint64_t throttle_reasons = 0;
    std::vector<std::int64_t> xids;  // errors that the driver reported since the last call
  };
  Moment Now() const;

 private:
  void FreeEvents();

  struct Library;
  std::unique_ptr<Library> library_;
  std::string unread_;
};

}  // namespace assay
