#include <algorithm>

#include "bench/cases/cases.h"
#include "bench/cases/decode_batch.h"
#include "bench/support/timing.h"

namespace assay {
namespace {

// Steps of a system of another process, each by the system's own clock, all of them by the host's as well.
std::vector<TimedRow> TimeDecodeOfProcess(const BenchCase& item, BenchState& state, const DecodeShape& shape) {
  const auto system = state.bench.Open(state.target, shape.options());
  std::vector<SessionId> sessions;
  Tokens first;
  for (int i = 0; i < shape.sessions; ++i) {
    const Tokens text = MadeUpText(state, i, shape.context + 1);
    sessions.push_back(system->OpenWith(std::span(text).first(shape.context)));
    first.push_back(text.back());
  }
  const auto rewind = [&] {
    for (const SessionId session : sessions) system->Truncate(session, shape.context);
  };
  std::vector<Tokens> texts;
  OwnClock clock;
  const auto run = [&] {
    SystemUnderTest::TimedText timed;
    const double host = SecondsOf([&] { timed = system->DecodeTimed(sessions, first, DecodeShape::kSteps); });
    rewind();
    Require<WrongResult>(texts.empty() || timed.texts == texts, "the same steps decoded other tokens when repeated");
    texts = timed.texts;
    clock.Add(Sum(timed.seconds), host);
    timed.seconds.erase(timed.seconds.begin(), timed.seconds.begin() + DecodeShape::kLead);
    return timed.seconds;
  };
  TimedRow timed{RowOf(item), {}};
  ReportBenchmark& row = timed.row;
  run();
  RequireGreedy(*system, sessions, first, texts, DecodeBatch::kChecked, state.setting);
  rewind();
  row.series = TimeSeries(item.id(), state.setting.seconds, 1, run, state.activity, [&] { clock.Restart(); });
  FillStepNeeds(&row, state, shape, shape.sessions);
  row.unit = "token";
  row.contains = fmt::format("one step of all sessions, in series of {} after {} that is not counted, ",
                             DecodeShape::kTimed, DecodeShape::kLead) +
                 clock.Described(state.bench.provider().Describe().name);
  return {std::move(timed)};
}

}  // namespace

std::vector<TimedRow> TimeDecode(const BenchCase& item, BenchState& state) {
  const DecodeShape shape{item.Number("n"), item.Number("context")};
  RequireRoom(state, shape.options());
  if (state.bench.provider().Describe().protocol != 0) return TimeDecodeOfProcess(item, state, shape);
  const std::unique_ptr<Ops> ops = state.bench.MakeOps(state.target);
  StepTimer timer(*ops);
  DecodeBatch batch(state, shape, timer);
  TimedRow timed{RowOf(item), {}};
  ReportBenchmark& row = timed.row;
  timer.LogKernels(true);
  batch.Run();  // records the step
  timer.LogKernels(false);
  timed.kernels = timer.LoggedKernels();
  batch.Check(state.setting);

  const auto series = [&] {
    TimedSteps steps = batch.Run();
    for (const auto& [name, count] : steps.counts) row.counts[name] = std::max(row.counts[name], count);
    return std::move(steps.seconds);
  };
  row.series = TimeSeries(item.id(), state.setting.seconds, 1, series, state.activity);
  FillStepNeeds(&row, state, shape, shape.sessions);
  const ModelSpec& spec = state.bench.Spec(state.target);
  row.counts["peak_bytes"] = static_cast<std::int64_t>(ops->memory().PeakBytes());
  row.unit = "token";
  row.contains = fmt::format(
      "one replay of the recorded step for all sessions: embedding, {}all {} layers with cache writes and attention, "
      "head, {}argmax, tokens and positions fed back on the device. From the end of a step to the end of the next, in "
      "series of {} after {} that is not counted, back to back; tokens are read back after each series, outside",
      spec.ple_width > 0 ? "per-layer embeddings, " : "", spec.layer_count(), spec.softcap > 0 ? "softcap, " : "",
      DecodeShape::kTimed, DecodeShape::kLead);
  return {std::move(timed)};
}

}  // namespace assay
