#include "bench/cases/cases.h"
#include "bench/support/timing.h"

namespace assay {
namespace {
constexpr int kRepeats = 20;
}  // namespace

std::vector<TimedRow> TimeLoad(const BenchCase& item, BenchState& state) {
  const std::unique_ptr<Ops> ops = state.bench.MakeOps(state.target);
  EngineOptions options;
  options.max_sessions = 1;
  StepCost cost;
  const auto load = [&] {
    return SecondsOf([&] {
      const auto system = state.bench.OpenEngine(state.target, options, *ops);
      ops->Synchronize();
      cost.weight_bytes = static_cast<double>(system->inside().weight_bytes());
    });
  };
  const double once = load();  // also brings files into the host's cache
  TimedRow timed{RowOf(item), {}};
  ReportBenchmark& row = timed.row;
  state.activity.Start();
  const std::vector<double> seconds = RunTimed(item.id(), RepeatsWithin(state.setting.seconds, once, kRepeats), load);
  row.series = {{seconds, state.activity.Stop()}};
  FillNeeds(&row, cost, state.setting.limits, cost.weight_bytes);
  row.counts["peak_bytes"] = static_cast<std::int64_t>(ops->memory().PeakBytes());
  row.unit = "byte";
  row.contains = fmt::format(
      "{} weights read or made up, checked, converted, uploaded; caches of one session, scratch; all freed again. "
      "Files come from the host's cache",
      state.bench.Store(state.target).format());
  return {std::move(timed)};
}

}  // namespace assay
