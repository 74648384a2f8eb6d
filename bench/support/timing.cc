#include "bench/support/timing.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <exception>

#include "oracles/compare/tolerance.h"

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

void FillFigures(ReportBenchmark* row, const std::vector<double>& seconds, const StepCost& cost, const Roofs& roofs,
                 double work) {
  row->bytes = cost.bytes();
  row->flops = cost.flops();
  row->floor_s = FloorSeconds(cost, roofs.copy, roofs.gemm);
  row->samples = static_cast<std::int64_t>(seconds.size());
  row->p50_s = Quantile(seconds, 0.5);
  row->p90_s = Quantile(seconds, 0.9);
  row->p99_s = Quantile(seconds, 0.99);
  row->fraction_of_floor = row->floor_s / row->p50_s;
  row->fraction_of_copy = row->bytes / row->p50_s / roofs.copy;
  row->fraction_of_gemm = row->flops / row->p50_s / roofs.gemm;
  row->rate = work / row->p50_s;
}

}  // namespace assay
