#include "bench/support/timing.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>

#include "reports/format/activity.h"

namespace assay {
namespace {

// Figures go to the report; nothing is printed here.
class Quiet final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>&) override {}
};

}  // namespace

std::vector<double> RunTimed(const std::string& name, int repeats, const std::function<double()>& body) {
  std::vector<double> seconds;
  std::exception_ptr thrown;
  benchmark::ClearRegisteredBenchmarks();
  benchmark::RegisterBenchmark(name.c_str(),
                               [&](benchmark::State& state) {
                                 for (auto _ : state) {
                                   if (thrown) break;
                                   try {
                                     seconds.push_back(body());
                                     state.SetIterationTime(seconds.back());
                                   } catch (...) {
                                     thrown = std::current_exception();
                                     state.SkipWithError("the body threw");
                                     break;
                                   }
                                 }
                               })
      ->UseManualTime()
      ->Iterations(repeats);
  Quiet quiet;
  benchmark::RunSpecifiedBenchmarks(&quiet);
  benchmark::ClearRegisteredBenchmarks();
  if (thrown) std::rethrow_exception(thrown);
  return seconds;
}

double SecondsOf(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double WarmUp(const std::function<double()>& body, double budget) {
  constexpr double kFlat = 1.02, kSettled = 0.2;
  std::vector<double> last;
  for (double total = 0; total < budget || last.size() < 3;) {
    last.push_back(body());
    total += last.back();
    if (last.size() < 3) continue;
    if (last.size() > 3) last.erase(last.begin());
    const auto [low, high] = std::minmax_element(last.begin(), last.end());
    if (total >= kSettled * budget && *high <= kFlat * *low) break;
  }
  return last.back();
}

int RepeatsWithin(double budget, double seconds, int wanted, int least) {
  const double fit = budget / std::max(seconds, 1e-9);
  return std::clamp(fit > wanted ? wanted : static_cast<int>(fit), least, std::max(least, wanted));
}

TimedSeries TimePaced(const std::string& name, int repeats, const std::function<double()>& body,
                      ActivitySampler& activity, double* pause) {
  TimedSeries series;
  for (const double pauses : {0.0, 2.0, 8.0}) {  // in units of one repeat
    const double idle = series.seconds.empty() ? 0 : pauses * series.seconds.front();
    activity.Start();
    series.seconds = RunTimed(name, repeats, [&] {
      std::this_thread::sleep_for(std::chrono::duration<double>(idle));
      return body();
    });
    series.activity = activity.Stop();
    *pause = idle;
    if (StableActivity(series.activity, nullptr)) break;
  }
  return series;
}

void FillNeeds(ReportBenchmark* row, const StepCost& cost, const HardwareLimits& limits, double work) {
  row->bytes = cost.bytes();
  row->flops = cost.flops();
  row->floor_s = FloorSeconds(cost, limits.copy_bytes_per_s, limits.gemm_flops_per_s);
  row->work = work;
}

}  // namespace assay
