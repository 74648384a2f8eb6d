#include <algorithm>
#include <cmath>

#include "bench/cases/cases.h"
#include "bench/cases/sessions.h"
#include "bench/support/roofline.h"
#include "bench/support/timing.h"

namespace assay {
namespace {

// Prompts taken in one step by fresh sessions, again and again.
class Prompts {
 public:
  Prompts(const BenchSubject& subject, int prompts, int tokens, Ops& ops)
      : engine_(*subject.store, ops, OptionsFor(subject, prompts, tokens)) {
    for (int i = 0; i < prompts; ++i) texts_.push_back(MadeUpText(subject, i, tokens));
  }

  double Run() {
    std::vector<Feed> feeds;
    for (const Text& text : texts_) feeds.push_back({engine_.Open(), text, Want::kLast});
    StepResult result;
    const double seconds = SecondsOf([&] { result = engine_.Step(feeds); });
    for (const Feed& feed : feeds) engine_.Close(feed.session);
    Require<WrongResult>(last_.rows() == 0 || result.best == last_.best,
                         "the same prompts chose other tokens when they were repeated");
    last_ = std::move(result);
    return seconds;
  }

  // The last prompt again, alone and in two pieces.
  void Check(const BenchSetting& setting) {
    for (int row = 0; row < last_.rows(); ++row) RequireLogits(last_.Capped(row), fmt::format("prompt {}", row));
    const SessionId session = engine_.Open();
    const Text& text = texts_.back();
    const StepResult alone = engine_.Prefill(session, text, Want::kLast, (static_cast<int>(text.size()) + 1) / 2);
    engine_.Close(session);
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
  static EngineOptions OptionsFor(const BenchSubject& subject, int prompts, int tokens) {
    EngineOptions options;
    options.max_sessions = prompts;
    options.capacity = options.max_chunk = tokens;
    options.max_rows = prompts * tokens;
    RequireRoom(subject, options);
    return options;
  }

  Engine engine_;
  std::vector<Text> texts_;
  StepResult last_;
};

}  // namespace

std::vector<ReportBenchmark> TimePrefill(const BenchCase& item, const BenchSetting& setting) {
  const BenchSubject& subject = item.subject;
  const int prompts = static_cast<int>(item.Param("n")), tokens = static_cast<int>(item.Param("tokens"));
  const std::unique_ptr<Ops> ops = MakeOpsOf(subject);
  Prompts batch(subject, prompts, tokens, *ops);
  batch.Run();
  batch.Check(setting);

  const double once = WarmUp([&] { return batch.Run(); }, setting.seconds);
  ReportBenchmark row = RowOf(item);
  const std::vector<double> seconds = RunTimed(item.name, RepeatsWithin(setting.seconds, once), [&] {
    const double taken = batch.Run();
    if (setting.log != nullptr) setting.log->Sample();
    return taken;
  });
  const CostModel model = MakeCostModel(*subject.store, subject.precision, subject.device == "host");
  FillFigures(&row, seconds, PrefillCost(model, tokens, tokens, prompts), setting.roofs, double{1} * prompts * tokens);
  row.unit = "token";
  row.contains = fmt::format(
      "one step over {} prompt{} of {} tokens from empty caches, by the host's clock: token upload, embedding, layers "
      "(those behind "
      "the last cache writer for the last tokens only), head, softcap and argmax of the last tokens, their logits read "
      "back",
      prompts, prompts == 1 ? "" : "s", tokens);
  return {row};
}

}  // namespace assay
