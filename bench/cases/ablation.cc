#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "bench/cases/cases.h"
#include "bench/cases/decode_batch.h"
#include "bench/support/omitting_ops.h"
#include "bench/support/timing.h"

namespace assay {
namespace {

class Ablation {
 public:
  Ablation(const BenchCase& item, BenchState& state)
      : item_(item),
        state_(state),
        shape_{item.Number("n"), item.Number("context")},
        own_(state.bench.MakeOps(state.target)),
        ops_(*own_),
        timer_(ops_),
        batch_(state, shape_, timer_) {}

  std::vector<TimedRow> Run() {
    batch_.Run();  // records the step
    batch_.Check(state_.setting);
    const std::map<std::string, int> calls = ops_.calls();
    std::vector<TimedRow> rows;
    const auto same = [&] { return batch_.Run(); };
    const auto any = [&] { return batch_.RunUnchecked(); };
    rows.push_back(Time(kNothingOmitted, "nothing left out", same));
    FillStepNeeds(&rows.front().row, state_, shape_, 1);
    ops_.LetOverlap(false);
    rows.push_back(Time("overlap", "no kernel starts before its predecessor has ended", same));
    ops_.LetOverlap(true);
    for (const auto& [call, count] : calls) {
      ops_.Omit(call);
      rows.push_back(Time(call, fmt::format("{} calls left out, so that what it computes means nothing", count), any));
      rows.back().row.counts["calls"] = count;
    }
    return rows;
  }

 private:
  TimedRow Time(const std::string& without, const std::string& contains, const std::function<TimedSteps()>& run) {
    TimedRow timed{RowOf(item_), {}};
    ReportBenchmark& row = timed.row;
    row.axes.Set("without", without);
    timer_.LogKernels(true);
    run();
    timer_.LogKernels(false);
    timed.kernels = timer_.LoggedKernels();
    row.series = TimeSeries(
        row.id(), kShareOfMany * state_.setting.seconds, 2, [&] { return run().seconds; }, state_.activity);
    row.unit = "step";
    row.contains = fmt::format(
        "a recorded step of all sessions, {}; what a row lacks of the one without=nothing is "
        "what the calls cost, and no speed of the engine",
        contains);
    return timed;
  }

  const BenchCase& item_;
  BenchState& state_;
  const DecodeShape shape_;
  const std::unique_ptr<Ops> own_;
  OmittingOps ops_;
  StepTimer timer_;
  DecodeBatch batch_;
};

}  // namespace

std::vector<TimedRow> TimeAblation(const BenchCase& item, BenchState& state) {
  Require<Unsupported>(state.bench.provider().Describe().protocol == 0,
                       "calls can be left out of steps of the engine of this tree alone");
  RequireRoom(state, DecodeShape{item.Number("n"), item.Number("context")}.options());
  return Ablation(item, state).Run();
}

}  // namespace assay
