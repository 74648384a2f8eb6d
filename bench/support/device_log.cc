#include "bench/support/device_log.h"

#include <dlfcn.h>
#include <fmt/core.h>

#include <algorithm>
#include <cstdint>

namespace assay {
namespace {

// NVML as far as it is used here. Its interface is stable; a machine without it is no reason not to build or run.
using NvmlDevice = void*;
constexpr unsigned kSmClock = 1, kMemoryClock = 2, kGpuTemperature = 0;

struct Range {
  unsigned low = ~0u, high = 0;
  void Add(unsigned value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

}  // namespace

struct DeviceLog::Impl {
  void* library = nullptr;
  NvmlDevice device = nullptr;
  std::string absent;  // why nothing is read
  int (*clock)(NvmlDevice, unsigned, unsigned*) = nullptr;
  int (*power)(NvmlDevice, unsigned*) = nullptr;
  int (*temperature)(NvmlDevice, unsigned, unsigned*) = nullptr;
  int (*throttle)(NvmlDevice, unsigned long long*) = nullptr;
  int samples = 0;
  Range sm_clock, memory_clock, milliwatts, degrees;
  unsigned long long reasons = 0;

  template <class Function>
  bool Find(Function*& function, const char* name) {
    function = reinterpret_cast<Function*>(::dlsym(library, name));
    if (function == nullptr) absent = fmt::format("libnvidia-ml.so.1 lacks {}", name);
    return function != nullptr;
  }

  void Open(const std::string& bus_id) {
    library = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      const char* const why = ::dlerror();
      absent = why == nullptr ? "libnvidia-ml.so.1 is absent" : why;
      return;
    }
    int (*init)() = nullptr;
    int (*by_bus_id)(const char*, NvmlDevice*) = nullptr;
    if (!Find(init, "nvmlInit_v2") || !Find(by_bus_id, "nvmlDeviceGetHandleByPciBusId_v2") ||
        !Find(clock, "nvmlDeviceGetClockInfo") || !Find(power, "nvmlDeviceGetPowerUsage") ||
        !Find(temperature, "nvmlDeviceGetTemperature") || !Find(throttle, "nvmlDeviceGetCurrentClocksThrottleReasons"))
      return;
    if (const int code = init(); code != 0) {
      absent = fmt::format("nvmlInit_v2 returned {}", code);
    } else if (const int found = by_bus_id(bus_id.c_str(), &device); found != 0) {
      device = nullptr;
      absent = fmt::format("nvmlDeviceGetHandleByPciBusId_v2({}) returned {}", bus_id, found);
    }
  }
};

DeviceLog::DeviceLog(const std::string& device) : impl_(std::make_unique<Impl>()) {
#ifdef ASSAY_HAS_CUDA
  if (device == "cuda") impl_->Open(CudaBusId());
#endif
  if (impl_->library == nullptr && impl_->absent.empty()) impl_->absent = fmt::format("the {} has none", device);
}

DeviceLog::~DeviceLog() = default;  // the library stays: CUDA may hold it too

void DeviceLog::Sample() {
  Impl& log = *impl_;
  if (log.device == nullptr) return;
  unsigned value = 0;
  if (log.clock(log.device, kSmClock, &value) == 0) log.sm_clock.Add(value);
  if (log.clock(log.device, kMemoryClock, &value) == 0) log.memory_clock.Add(value);
  if (log.power(log.device, &value) == 0) log.milliwatts.Add(value);
  if (log.temperature(log.device, kGpuTemperature, &value) == 0) log.degrees.Add(value);
  unsigned long long reasons = 0;
  if (log.throttle(log.device, &reasons) == 0) log.reasons |= reasons;
  ++log.samples;
}

std::map<std::string, std::string> DeviceLog::Facts() const {
  const Impl& log = *impl_;
  if (log.device == nullptr) return {{"clocks", "not read: " + log.absent}};
  std::map<std::string, std::string> facts = {{"clock_samples", fmt::format("{}", log.samples)},
                                              {"throttle_reasons", fmt::format("{:#x}", log.reasons)}};
  const auto put = [&](const char* name, const Range& range, unsigned unit, const char* unit_name) {
    if (range.low <= range.high) facts[name] = fmt::format("{}..{} {}", range.low / unit, range.high / unit, unit_name);
  };
  put("sm_clock", log.sm_clock, 1, "MHz");
  put("memory_clock", log.memory_clock, 1, "MHz");
  put("power", log.milliwatts, 1000, "W");
  put("temperature", log.degrees, 1, "C");
  return facts;
}

}  // namespace assay
