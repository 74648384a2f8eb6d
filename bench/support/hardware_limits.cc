#include "bench/support/hardware_limits.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/parallel.h"
#include "engine/ops/host_math.h"

namespace assay {
namespace {

constexpr std::size_t kHostBytes = std::size_t{64} << 20;
constexpr int kHostRepeats = 9;
constexpr int kHostSide = 512;

// Of the fastest repeat: a host is shared, and a limit is what it can do.
double FastestSeconds(const std::function<void()>& body) {
  body();
  std::vector<double> seconds;
  for (int i = 0; i < kHostRepeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return *std::min_element(seconds.begin(), seconds.end());
}

// The host ops' own products: the limit of their loops, not of the processor.
void Multiply(std::vector<float>& out, const std::vector<float>& a, const std::vector<float>& b) {
  ParallelFor(kHostSide, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      host::Dots(out.data() + i * kHostSide, 1, a.data() + i * kHostSide, b.data(), kHostSide, kHostSide);
  });
}

HardwareLimits MeasureHostLimits() {
  std::vector<float> from(kHostBytes / sizeof(float), 1.25f), to(from.size());
  const auto count = static_cast<std::int64_t>(from.size());
  HardwareLimits limits;
  limits.copy_bytes_per_s =
      2.0 * static_cast<double>(kHostBytes) / FastestSeconds([&] {
        ParallelFor(count, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
          std::memcpy(to.data() + begin, from.data() + begin, static_cast<std::size_t>(end - begin) * sizeof(float));
        });
      });
  std::vector<double> sums(static_cast<std::size_t>(count >> 16) + 1);
  limits.read_bytes_per_s = static_cast<double>(kHostBytes) / FastestSeconds([&] {
                              ParallelFor(count, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
                                float lanes[16] = {};
                                for (std::int64_t i = begin; i + 16 <= end; i += 16)
                                  for (int lane = 0; lane < 16; ++lane) lanes[lane] += from[i + lane];
                                for (const float lane : lanes) sums[begin >> 16] += static_cast<double>(lane);
                              });
                            });
  std::vector<float> a(kHostSide * kHostSide, 0.5f), b(a.size(), 0.25f), out(a.size());
  limits.gemm_flops_per_s = 2.0 * kHostSide * kHostSide * kHostSide / FastestSeconds([&] { Multiply(out, a, b); });
  limits.how = fmt::format("host: copy and sum of {} MiB, float32 product of {}^3 by dot products, fastest of {}",
                           kHostBytes >> 20, kHostSide, kHostRepeats);
  return limits;
}

}  // namespace

HardwareLimits MeasureHardwareLimits(const Device& device, Precision precision) {
  HardwareLimits limits;
  if (device.on_host()) {
    limits = MeasureHostLimits();
  } else {
#ifdef ASSAY_HAS_CUDA
    limits = MeasureCudaLimits(device.index, precision);
#else
    Throw("limits of device '{}': built without CUDA", device.name());
#endif
  }
  limits.dtype = Name(precision);
  return limits;
}

}  // namespace assay
