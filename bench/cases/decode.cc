#include <algorithm>
#include <numeric>

#include "bench/cases/cases.h"
#include "bench/cases/sessions.h"
#include "bench/support/roofline.h"
#include "bench/support/step_timer.h"
#include "bench/support/timing.h"

namespace assay {
namespace {

// Steps replayed before sessions go back to where they stood: few enough that the context hardly grows, many enough
// that the device never waits for the host but at the first of them, which is not counted.
constexpr int kLead = 1, kTimed = 32;
constexpr int kChecked = 8;
constexpr int kChunk = 512;  // of a prompt

EngineOptions OptionsFor(const BenchSubject& subject, int sessions, int context) {
  EngineOptions options;
  options.max_sessions = sessions;
  options.capacity = context + kLead + kTimed;
  options.max_chunk = std::min(options.capacity, kChunk);  // also how far a ring can go back: more than a block
  options.max_rows = kChunk;
  RequireRoom(subject, options);
  return options;
}

// N sessions at the same length, decoded greedily from there again and again.
class Batch {
 public:
  Batch(const BenchSubject& subject, int sessions, int context, StepTimer& timer)
      : context_(context), timer_(timer), engine_(*subject.store, timer, OptionsFor(subject, sessions, context)) {
    for (int i = 0; i < sessions; ++i) {
      const Text text = MadeUpText(subject, i, context + 1);
      sessions_.push_back(engine_.Open());
      engine_.Prefill(sessions_.back(), std::span(text).first(static_cast<std::size_t>(context)), Want::kNone);
      first_.push_back(text.back());
    }
  }

  // One block. The same tokens every time, or it throws WrongResult.
  TimedSteps Run() {
    std::vector<Text> texts = engine_.Decode(sessions_, first_, kLead + kTimed);
    TimedSteps steps = timer_.Take();
    Rewind();
    Require<WrongResult>(texts_.empty() || texts == texts_,
                         "the same steps decoded other tokens when they were replayed");
    texts_ = std::move(texts);
    return steps;
  }

  void Check(const BenchSetting& setting) {
    RequireGreedy(engine_, sessions_, first_, texts_, kChecked, setting);
    Rewind();
  }

 private:
  void Rewind() {
    for (const SessionId session : sessions_) engine_.Truncate(session, context_);
  }

  int context_;
  StepTimer& timer_;
  Engine engine_;
  std::vector<SessionId> sessions_;
  Text first_;
  std::vector<Text> texts_;
};

double Sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

}  // namespace

std::vector<ReportBenchmark> TimeDecode(const BenchCase& item, const BenchSetting& setting) {
  const BenchSubject& subject = item.subject;
  const int n = static_cast<int>(item.Param("n")), context = static_cast<int>(item.Param("context"));
  const std::unique_ptr<Ops> ops = MakeOpsOf(subject);
  StepTimer timer(*ops);
  Batch batch(subject, n, context, timer);
  batch.Run();  // records the step
  batch.Check(setting);

  const double block = WarmUp([&] { return Sum(batch.Run().seconds); }, setting.seconds);
  ReportBenchmark row = RowOf(item);
  std::vector<double> seconds;
  RunTimed(item.name, RepeatsWithin(setting.seconds, block, 12, 1), [&] {
    const TimedSteps steps = batch.Run();
    seconds.insert(seconds.end(), steps.seconds.begin(), steps.seconds.end());
    for (const auto& [name, count] : steps.counts) row.counts[name] = std::max(row.counts[name], count);
    if (setting.log != nullptr) setting.log->Sample();
    return Sum(steps.seconds);
  });
  const CostModel model = MakeCostModel(*subject.store, subject.precision, subject.device == "host");
  // Keys visible to the timed steps on average, each row's own included.
  FillFigures(&row, seconds, DecodeCost(model, n, context + kLead + 0.5 * (kTimed + 1)), setting.roofs, n);
  row.unit = "token";
  row.contains = fmt::format(
      "one replay of the recorded step for all sessions: embedding, {}all {} layers with cache writes and attention, "
      "head, {}argmax, "
      "tokens and positions fed back on the device. From the end of a step to the end of the next, in series of {} "
      "after {} that is "
      "not counted, back to back; tokens are read back after each series, outside",
      model.spec.ple_width > 0 ? "per-layer embeddings, " : "", model.spec.layer_count(),
      model.spec.softcap > 0 ? "softcap, " : "", kTimed, kLead);
  return {row};
}

}  // namespace assay
