#include "bench/cases/cases.h"
#include "bench/support/timing.h"
#include "engine/runtime/engine.h"

namespace assay {
namespace {
constexpr int kRepeats = 10;
}  // namespace

std::vector<ReportBenchmark> TimeLoad(const BenchCase& item, const BenchSetting& setting) {
  const BenchSubject& subject = item.subject;
  const std::unique_ptr<Ops> ops = MakeOpsOf(subject);
  EngineOptions options;
  options.max_sessions = 1;
  StepCost cost;
  const auto load = [&] {
    return SecondsOf([&] {
      const Engine engine(*subject.store, *ops, options);
      ops->Synchronize();
      cost.weight_bytes = static_cast<double>(engine.weight_bytes());
    });
  };
  const double once = load();  // also brings files into the host's cache
  ReportBenchmark row = RowOf(item);
  FillFigures(&row, RunTimed(item.name, RepeatsWithin(setting.seconds, once, kRepeats), load), cost, setting.roofs,
              cost.weight_bytes);
  row.unit = "byte";
  row.contains = fmt::format(
      "{} weights read or made up, checked, converted, uploaded; caches of one session, scratch; all freed again. "
      "Files come from "
      "the host's cache",
      subject.store->format());
  return {row};
}

}  // namespace assay
