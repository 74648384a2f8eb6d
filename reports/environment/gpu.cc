#include "reports/environment/gpu.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>
#include <vector>

#include "reports/environment/nvml_device.h"

namespace assay {

GpuInfo ReadGpu(int index, const std::string& bus_id) {
  GpuInfo info;
  info.index = index;
  info.bus_id = bus_id;
  const NvmlDevice device(bus_id);
  if (device.unread().empty())
    device.Describe(&info);
  else
    info.unread = device.unread();
  info.ecc_before = device.Ecc();
  return info;
}

std::optional<EccCounts> ReadEcc(const std::string& bus_id) { return NvmlDevice(bus_id).Ecc(); }

std::optional<std::int64_t> FreeMemory(const std::string& bus_id) { return NvmlDevice(bus_id).FreeMemory(); }

std::optional<std::int64_t> ProcessMemory(const std::string& bus_id) { return NvmlDevice(bus_id).ProcessMemory(); }

std::string ReadDriverVersion(const std::string& bus_id) { return NvmlDevice(bus_id).DriverVersion(); }

Spread SpreadOf(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values.front(), values[(values.size() - 1) / 2], values.back()};
}

struct GpuMonitor::Impl {
  explicit Impl(const std::string& bus_id) : device(bus_id) { device.WatchErrors(); }
  NvmlDevice device;
  std::mutex mutex;  // guards what follows
  std::vector<double> sm_clock, memory_clock, power, temperature;
  std::uint64_t reasons = 0;
  std::vector<std::int64_t> xids;
};

GpuMonitor::GpuMonitor(const std::string& bus_id) : impl_(std::make_unique<Impl>(bus_id)) {}
GpuMonitor::~GpuMonitor() = default;

const std::string& GpuMonitor::unread() const { return impl_->device.unread(); }

void GpuMonitor::Sample() {
  const NvmlDevice::Moment now = impl_->device.Now();
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->xids.insert(impl_->xids.end(), now.xids.begin(), now.xids.end());
  }
  // Without the clock nothing can be said of a series, so such a moment is no sample.
  if (!now.sm_clock_mhz) return;
  const std::lock_guard lock(impl_->mutex);
  impl_->sm_clock.push_back(*now.sm_clock_mhz);
  if (now.memory_clock_mhz) impl_->memory_clock.push_back(*now.memory_clock_mhz);
  if (now.power_w) impl_->power.push_back(*now.power_w);
  if (now.temperature_c) impl_->temperature.push_back(*now.temperature_c);
  impl_->reasons |= now.throttle_reasons;
}

DeviceActivity GpuMonitor::Take() {
  const std::lock_guard lock(impl_->mutex);
  DeviceActivity activity;
  activity.samples = static_cast<std::int64_t>(impl_->sm_clock.size());
  activity.sm_clock_mhz = SpreadOf(std::exchange(impl_->sm_clock, {}));
  activity.memory_clock_mhz = SpreadOf(std::exchange(impl_->memory_clock, {}));
  activity.power_w = SpreadOf(std::exchange(impl_->power, {}));
  activity.temperature_c = SpreadOf(std::exchange(impl_->temperature, {}));
  activity.throttle_reasons = std::exchange(impl_->reasons, 0);
  activity.xids = std::exchange(impl_->xids, {});
  return activity;
}

}  // namespace assay
