#include "suites/parity/soak.h"

#include <fmt/core.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/base/random.h"
#include "engine/memory/device_facts.h"
#include "reports/environment/gpu.h"
#include "suites/parity/player.h"
#include "suites/parity/random_schedule.h"

namespace assay {
namespace {

constexpr int kMoves = 1000, kJudgeEvery = 1000;
constexpr std::size_t kFewest = 10;  // schedules before growth can be told from a beginning
constexpr double kSlack = 8 << 20, kShare = 0.02;

std::int64_t EntriesOf(const char* folder) {
  return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

// Of this process; of the device where its driver does not tell.
double DeviceBytes(Ops& ops, std::size_t free_at_start) {
#ifdef ASSAY_HAS_CUDA
  if (const auto own = ProcessMemory(CudaBusId(ops.device_id().index))) return static_cast<double>(*own);
#endif
  return static_cast<double>(free_at_start) - static_cast<double>(ops.memory().FreeBytes());
}

Holdings Held(Ops& ops, std::size_t free_at_start) {
  ::malloc_trim(0);  // what was given back and is kept for later is no growth
  Holdings holdings;
  std::ifstream in("/proc/self/statm");
  double total = 0, resident = 0;
  in >> total >> resident;
  holdings.resident_bytes = resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
  if (!ops.on_host()) holdings.device_bytes = DeviceBytes(ops, free_at_start);
  holdings.handles = EntriesOf("/proc/self/fd");
  holdings.threads = EntriesOf("/proc/self/task");
  return holdings;
}

template <class Get>
void Flat(CaseState& state, const std::vector<Holdings>& samples, const char* what, double slack, double share,
          Get get) {
  std::vector<double> values;
  for (const Holdings& sample : samples) values.push_back(get(sample));
  const double grown = Growth(values), largest = *std::max_element(values.begin(), values.end());
  state.check.True(grown <= slack + share * largest, fmt::format("{} flat", what), {{"schedule", samples.size() - 1}},
                   fmt::format("grew by {:.0f} to {:.0f} in {} schedules", grown, largest, samples.size()));
}

void Soak(CaseState& state, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const std::unique_ptr<Ops> ops = state.bench.MakeOps(state.target);
  const std::size_t free = ops->memory().FreeBytes();
  std::vector<Holdings> samples;
  std::int64_t rows = 0;
  const ModelSpec spec = state.spec();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  for (std::uint64_t number = 0; number < kFewest || elapsed() < seconds; ++number) {
    rows += PlaySchedule(state, RandomSchedule(spec, Mix64(state.target.seed) + number, kMoves), {.every = kJudgeEvery})
                .rows;
    state.references().ForgetRows();
    state.bench.ForgetRouting();
    samples.push_back(Held(*ops, free));
    if (state.Finish().status != Status::kPass) {  // what went wrong stands at its place
      state.check.True(false, "schedules", {{"schedule", static_cast<std::int64_t>(number)}}, "this one went wrong");
      return;
    }
  }
  state.check.True(rows > 0, "rows compared", {}, "none of all schedules");
  Flat(state, samples, "memory", kSlack, kShare, [](const Holdings& held) { return held.resident_bytes; });
  if (!ops->on_host())
    Flat(state, samples, "device memory", kSlack, kShare, [](const Holdings& held) { return held.device_bytes; });
  Flat(state, samples, "handles", 0, 0, [](const Holdings& held) { return static_cast<double>(held.handles); });
  Flat(state, samples, "threads", 0, 0, [](const Holdings& held) { return static_cast<double>(held.threads); });
}

}  // namespace

double Growth(const std::vector<double>& samples) {
  const auto at = [&](double share) {
    return samples.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(samples.size()));
  };
  if (samples.size() < kFewest) return 0;
  return std::max(0.0, *std::max_element(at(0.5), samples.end()) - *std::max_element(at(0.2), at(0.5)));
}

Case SoakCase(const Target& target, double seconds) {
  return MakeCase("Soak", "Schedules", target, {}, {Capability::kInternals},
                  [seconds](CaseState& state) { Soak(state, seconds); });
}

}  // namespace assay
