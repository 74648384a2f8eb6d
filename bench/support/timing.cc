#include "bench/support/timing.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <numeric>
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

double Sum(const std::vector<double>& seconds) { return std::accumulate(seconds.begin(), seconds.end(), 0.0); }

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

std::vector<TimedSeries> TimeSeries(const std::string& name, double budget, int least,
                                    const std::function<std::vector<double>()>& body, ActivitySampler& activity,
                                    const std::function<void()>& warmed) {
  constexpr int kMost = 12;
  const double once = WarmUp([&] { return Sum(body()); }, budget);
  warmed();
  std::vector<TimedSeries> series;
  RunTimed(name, RepeatsWithin(budget, once, kMost, least), [&] {
    activity.Start();
    std::vector<double> seconds = body();
    series.push_back({std::move(seconds), activity.Stop()});
    return Sum(series.back().seconds);
  });
  return series;
}

namespace {

std::vector<TimedSeries> RunRested(const std::string& name, int repeats, double rest,
                                   const std::function<double()>& body, ActivitySampler& activity) {
  std::vector<TimedSeries> series;
  RunTimed(name, repeats, [&] {
    std::this_thread::sleep_for(std::chrono::duration<double>(rest));
    activity.Start();
    const double seconds = body();
    series.push_back({{seconds}, activity.Stop()});
    return seconds;
  });
  return series;
}

bool RanFreely(const TimedSeries& series) { return StableActivity(series.activity, nullptr); }

}  // namespace

PacedSeries TimePaced(const std::string& name, int repeats, int least, const std::function<double()>& body,
                      ActivitySampler& activity) {
  constexpr double kRest = 4;  // in units of one repeat
  PacedSeries paced;
  paced.series = RunRested(name, repeats, 0, body, activity);
  if (std::all_of(paced.series.begin(), paced.series.end(), RanFreely)) return paced;
  std::vector<TimedSeries> free, all;
  paced.rest = kRest * paced.series.front().seconds.front();
  for (int attempt = 0; attempt < 3 && std::ssize(free) < repeats; ++attempt)
    for (TimedSeries& series : RunRested(name, repeats, paced.rest, body, activity)) {
      all.push_back(series);
      if (!RanFreely(series))
        ++paced.discarded;
      else if (std::ssize(free) < repeats)
        free.push_back(std::move(series));
    }
  if (std::ssize(free) >= least) {
    paced.series = std::move(free);
  } else {
    paced.series = std::move(all);
    paced.discarded = 0;
  }
  return paced;
}

void FillNeeds(ReportBenchmark* row, const StepCost& cost, const HardwareLimits& limits, double work) {
  row->bytes = cost.bytes();
  row->flops = cost.flops();
  row->floor_s = FloorSeconds(cost, limits.copy_bytes_per_s, limits.gemm_flops_per_s);
  row->work = work;
}

}  // namespace assay
