#include <algorithm>

#include "suites/parity/parity.h"

namespace assay {
namespace {

std::vector<int> PromptLengths(const Subject& subject) {
  const int window = SmallestWindow(StoreOf(subject).spec());
  const int base = window > 0 && window <= 64 ? window : 8;
  return {1, 2, base - 1, base, base + 1, 2 * base + 3};
}

StepResult Whole(const Subject& subject, const Tokens& tokens, bool skip_tail, Want want) {
  EngineOptions options = SmallOptions(subject, 1, static_cast<int>(tokens.size()));
  options.max_chunk = options.capacity;
  options.max_rows = std::max(options.max_rows, options.capacity);
  options.skip_tail = skip_tail;
  Stage stage(subject, options);
  return stage.engine().Prefill(stage.engine().Open(), tokens, want);
}

}  // namespace

std::vector<Case> PrefillCases(const Subject& subject) {
  std::vector<Case> cases;
  if (ReferenceBounds(subject))
    cases.push_back(MakeCase("Prefill", "MatchesReference", subject, "", [subject](Judge& judge) {
      StreamChecker checker(subject);
      int stream = 0;
      for (const int length : PromptLengths(subject)) {
        const Tokens tokens = MadeUpTokens(subject, stream++, length);
        const StepResult result = Whole(subject, tokens, true, Want::kAll);
        for (int row = 0; row < result.rows(); ++row)
          checker.Add(result, row, tokens, fmt::format("prompt of {} position {}", length, row));
      }
      checker.Finish(judge);
    }));
  cases.push_back(MakeCase("Prefill", "ChunkedEqualsWhole", subject, "", [subject](Judge& judge) {
    const int window = SmallestWindow(StoreOf(subject).spec());
    const Tokens tokens = MadeUpTokens(subject, 20, 2 * std::clamp(window, 6, 64) + 5);
    const StepResult whole = Whole(subject, tokens, true, Want::kAll);
    Stage stage(subject, SmallOptions(subject, 1, static_cast<int>(tokens.size())));
    for (const int chunk : {1, 2, 3, 5, stage.engine().options().max_chunk}) {
      const SessionId session = stage.engine().Open();
      const StepResult chunked = stage.engine().Prefill(session, tokens, Want::kAll, chunk);
      stage.engine().Close(session);
      judge.True(chunked.rows() == whole.rows(), "rows", fmt::format("chunk {}", chunk));
      for (int row = 0; row < std::min(whole.rows(), chunked.rows()); ++row)
        SameRows(judge, subject, whole.Raw(row), chunked.Raw(row), false,
                 fmt::format("chunk {} position {}", chunk, row));
    }
  }));
  cases.push_back(MakeCase("Prefill", "PackedEqualsSerial", subject, "", [subject](Judge& judge) {
    const std::vector<int> lengths{3, 1, 7, 2, 5};
    Stage stage(subject, SmallOptions(subject, static_cast<int>(lengths.size()), 16));
    std::vector<Tokens> prompts;
    std::vector<Feed> feeds;
    for (std::size_t i = 0; i < lengths.size(); ++i)
      prompts.push_back(MadeUpTokens(subject, 30 + static_cast<int>(i), lengths[i]));
    for (const Tokens& prompt : prompts) feeds.push_back({stage.engine().Open(), prompt, Want::kAll});
    const StepResult packed = stage.engine().Step(feeds);
    for (int row = 0, at = 0; row < packed.rows(); ++row) {
      const auto feed = static_cast<std::size_t>(packed.feed[static_cast<std::size_t>(row)]);
      at = packed.position[static_cast<std::size_t>(row)];
      const StepResult serial = Whole(subject, prompts[feed], true, Want::kAll);
      SameRows(judge, subject, serial.Raw(at), packed.Raw(row), false, fmt::format("prompt {} position {}", feed, at));
    }
    judge.True(packed.rows() == 18, "rows", "packed", fmt::format("expected 18 rows, found {}", packed.rows()));
  }));
  cases.push_back(MakeCase("Prefill", "SkippedTailEqualsFull", subject, "", [subject](Judge& judge) {
    for (const int length : PromptLengths(subject)) {
      const Tokens tokens = MadeUpTokens(subject, 40 + length, length);
      const StepResult full = Whole(subject, tokens, false, Want::kAll),
                       skipped = Whole(subject, tokens, true, Want::kLast);
      judge.True(skipped.rows() == 1 && skipped.position[0] == length - 1, "rows", fmt::format("prompt of {}", length));
      SameRows(judge, subject, full.Raw(length - 1), skipped.Raw(0), false,
               fmt::format("last of a prompt of {}", length));
    }
  }));
  return cases;
}

}  // namespace assay
