#include "reports/format/activity.h"

#include <fmt/format.h>

namespace assay {
namespace {

struct Reason {
  std::uint64_t bit;
  const char* name;
  bool lowers;
};
// nvmlClocksEventReason* of nvml.h. The bits are part of the library's interface, so a report can be read and checked
// without its header.
constexpr Reason kReasons[] = {
    {0x1, "gpu_idle", false},
    {0x2, "applications_clocks_setting", false},
    {0x4, "sw_power_cap", true},
    {0x8, "hw_slowdown", true},
    {0x10, "sync_boost", false},
    {0x20, "sw_thermal_slowdown", true},
    {0x40, "hw_thermal_slowdown", true},
    {0x80, "hw_power_brake_slowdown", true},
    {0x100, "display_clock_setting", true},
};

}  // namespace

std::vector<std::string> ThrottleReasonNames(std::uint64_t reasons) {
  std::vector<std::string> names;
  for (int bit = 0; bit < 64; ++bit) {
    const std::uint64_t mask = std::uint64_t{1} << bit;
    if ((reasons & mask) == 0) continue;
    std::string name = fmt::format("bit_{}", bit);
    for (const Reason& reason : kReasons)
      if (reason.bit == mask) name = reason.name;
    names.push_back(std::move(name));
  }
  return names;
}

std::uint64_t LoweringReasons(std::uint64_t reasons) {
  for (const Reason& reason : kReasons)
    if (!reason.lowers) reasons &= ~reason.bit;
  return reasons;
}

bool StableActivity(const DeviceActivity& activity, std::string* why) {
  const auto unstable = [&](std::string reason) {
    if (why != nullptr) *why = std::move(reason);
    return false;
  };
  if (!activity.xids.empty())
    return unstable(fmt::format("the driver reported Xid {} while it was timed", fmt::join(activity.xids, ", ")));
  if (activity.samples == 0) return true;
  if (const std::uint64_t lowering = LoweringReasons(activity.throttle_reasons); lowering != 0)
    return unstable(fmt::format("throttled while timed: {}", fmt::join(ThrottleReasonNames(lowering), ", ")));
  const Spread& clock = activity.sm_clock_mhz;
  if (clock.median < kLeastMedianClock * clock.max)
    return unstable(fmt::format("SM clock outside its band while timed: median {:g} of {:g} MHz, expected {:g} % of it",
                                clock.median, clock.max, 100 * kLeastMedianClock));
  if (clock.min < kLeastClock * clock.max)
    return unstable(fmt::format("SM clock outside its band while timed: {:g} of {:g} MHz, expected {:g} % of it",
                                clock.min, clock.max, 100 * kLeastClock));
  return true;
}

}  // namespace assay
