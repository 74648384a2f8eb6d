#include "bench/support/activity_sampler.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "engine/memory/device_facts.h"
#include "reports/environment/gpu.h"

namespace assay {
namespace {
constexpr std::chrono::milliseconds kEvery{5};
}  // namespace

struct ActivitySampler::Impl {
  explicit Impl(const std::string& bus_id) : monitor(bus_id) {}
  GpuMonitor monitor;
  std::atomic<bool> stop = false;
  std::thread thread;
};

ActivitySampler::ActivitySampler(const Device& device) {
#ifdef ASSAY_HAS_CUDA
  if (!device.on_host()) impl_ = std::make_unique<Impl>(CudaBusId(device.index));
#endif
  static_cast<void>(device);
}

ActivitySampler::~ActivitySampler() { ActivitySampler::Stop(); }

void ActivitySampler::Start() {
  if (!impl_) return;
  ActivitySampler::Stop();
  impl_->stop = false;
  impl_->thread = std::thread([impl = impl_.get()] {
    do {
      impl->monitor.Sample();
      std::this_thread::sleep_for(kEvery);
    } while (!impl->stop);
  });
}

DeviceActivity ActivitySampler::Stop() {
  if (!impl_ || !impl_->thread.joinable()) return {};
  impl_->stop = true;
  impl_->thread.join();
  return impl_->monitor.Take();
}

}  // namespace assay
