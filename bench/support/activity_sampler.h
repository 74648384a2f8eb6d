// What a device does while something is timed on it: clocks, power, temperature and throttle reasons, read by a thread
// of their own.
#pragma once

#include <memory>

#include "engine/base/device.h"
#include "reports/format/report.h"

namespace assay {

class ActivitySampler {
 public:
  // Of a host nothing is read.
  explicit ActivitySampler(const Device& device);
  virtual ~ActivitySampler();
  ActivitySampler(const ActivitySampler&) = delete;
  ActivitySampler& operator=(const ActivitySampler&) = delete;

  // Samples every few milliseconds from now on, until Stop.
  virtual void Start();
  virtual DeviceActivity Stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;  // null: nothing is read
};

}  // namespace assay
