#include <algorithm>
#include <cmath>

#include "bench/cases/cases.h"
#include "bench/cases/sessions.h"
#include "bench/support/roofline.h"
#include "bench/support/timing.h"

namespace assay {
namespace {

// The engine of this tree, whose kernels and memory a row holds, or another system.
std::unique_ptr<SystemUnderTest> SystemFor(BenchState& state, const EngineOptions& options) {
  if (state.bench.provider().Describe().protocol != 0) return state.bench.Open(state.target, options);
  return state.bench.OpenEngine(state.target, options);
}

// Prompts taken in one step by fresh sessions, again and again.
class Prompts {
 public:
  Prompts(BenchState& state, const PrefillShape& shape) : system_(SystemFor(state, shape.options())) {
    for (int i = 0; i < shape.prompts; ++i) texts_.push_back(MadeUpText(state, i, shape.tokens));
  }
  // Null for another system.
  Ops* ops() { return system_->engine() == nullptr ? nullptr : &system_->engine()->ops(); }
  OwnClock& clock() { return clock_; }

  // Seconds by the system's own clock.
  double Run() {
    std::vector<Feed> feeds;
    for (const Tokens& text : texts_) feeds.push_back({system_->Open(), text, Want::kLast});
    SystemUnderTest::TimedRows timed;
    const double host = SecondsOf([&] { timed = system_->StepTimed(feeds); });
    for (const Feed& feed : feeds) system_->Close(feed.session);
    Require<WrongResult>(last_.rows() == 0 || timed.result.best == last_.best,
                         "the same prompts chose other tokens when they were repeated");
    last_ = std::move(timed.result);
    clock_.Add(timed.seconds, host);
    return timed.seconds;
  }

  // The last prompt again, alone and in two pieces.
  void Check(const BenchSetting& setting) {
    for (int row = 0; row < last_.rows(); ++row) RequireLogits(last_.Capped(row), fmt::format("prompt {}", row));
    const SessionId session = system_->Open();
    const Tokens& text = texts_.back();
    const StepResult alone = system_->Prefill(session, text, Want::kLast, (static_cast<int>(text.size()) + 1) / 2);
    system_->Close(session);
    RequireLogits(alone.Capped(0), "the last prompt alone");
    const std::span<const float> expected = alone.Raw(0), found = last_.Raw(last_.rows() - 1);
    double worst = 0;
    for (std::size_t i = 0; i < found.size(); ++i)
      worst = std::max(worst, std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i])));
    Require<WrongResult>(worst <= setting.spread,
                         "the last prompt alone in two pieces has other logits: they differ by {:.4g}, {:.4g} may be",
                         worst, setting.spread);
  }

 private:
  std::unique_ptr<SystemUnderTest> system_;
  std::vector<Tokens> texts_;
  StepResult last_;
  OwnClock clock_;
};

}  // namespace

std::vector<TimedRow> TimePrefill(const BenchCase& item, BenchState& state) {
  const PrefillShape shape{item.Number("prompts"), item.Number("tokens")};
  RequireRoom(state, shape.options());
  Prompts batch(state, shape);
  TimedRow timed{RowOf(item), {}};
  ReportBenchmark& row = timed.row;
  Ops* const ops = batch.ops();
  if (ops != nullptr) ops->LogKernels(true);
  batch.Run();
  if (ops != nullptr) {
    ops->LogKernels(false);
    timed.kernels = ops->LoggedKernels();
  }
  batch.Check(state.setting);

  const double seconds = state.setting.seconds;
  const double once = WarmUp([&] { return batch.Run(); }, seconds);
  batch.clock().Restart();
  constexpr int kLeast = 8;  // repeats that a row's figures need
  const int repeats = RepeatsWithin(seconds, once);
  PacedSeries paced = TimePaced(
      item.id(), repeats, std::min(kLeast, repeats), [&] { return batch.Run(); }, state.activity);
  row.series = std::move(paced.series);
  if (paced.rest > 0) row.counts["discarded_repeats"] = paced.discarded;
  const WeightStore& store = state.bench.Store(state.target);
  const CostModel model = MakeCostModel(store, state.target.precision, state.target.device.on_host());
  FillNeeds(&row, PrefillCost(model, shape.tokens, shape.tokens, shape.prompts), state.setting.limits,
            double{1} * shape.prompts * shape.tokens);
  if (ops != nullptr) row.counts["peak_bytes"] = static_cast<std::int64_t>(ops->memory().PeakBytes());
  row.unit = "token";
  row.contains =
      fmt::format("one step over {} prompt{} of {} tokens from empty caches, ", shape.prompts,
                  shape.prompts == 1 ? "" : "s", shape.tokens) +
      (ops != nullptr
           ? "by the host's clock: token upload, embedding, layers (those behind the last cache writer for the last "
             "tokens only), head, softcap and argmax of the last tokens, their logits read back"
           : "with the logits of the last tokens, " + batch.clock().Described(state.bench.provider().Describe().name));
  if (paced.rest > 0)
    row.contains += fmt::format(
        "; {:.0f} ms of rest before each repeat, and repeats in which the device was throttled all the same do not "
        "count ({} of them)",
        1e3 * paced.rest, paced.discarded);
  return {std::move(timed)};
}

}  // namespace assay
