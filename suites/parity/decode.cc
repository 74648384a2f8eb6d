#include <fmt/format.h>

#include <algorithm>

#include "suites/parity/parity.h"

namespace assay {
namespace {

constexpr int kSteps = 16;

// Prompt lengths that straddle window and ring, no two alike for the first rows.
int RaggedLength(const Subject& subject, int row) {
  const int window = std::clamp(SmallestWindow(StoreOf(subject).spec()), 5, 40);
  return 1 + (row * 7 + (row % 3) * window) % (2 * window + 3);
}

int RaggedCapacity(const Subject& subject) {
  return 2 * std::clamp(SmallestWindow(StoreOf(subject).spec()), 5, 40) + 4 + kSteps + 1;
}

void Batched(const Subject& subject, int n, Judge& judge) {
  Stage stage(subject, SmallOptions(subject, n, RaggedCapacity(subject)));
  Engine& engine = stage.engine();
  std::vector<Tokens> tokens;
  std::vector<SessionId> sessions;
  for (int row = 0; row < n; ++row) {
    const int length = RaggedLength(subject, row);
    tokens.push_back(MadeUpTokens(subject, 100 + row, length + kSteps));
    sessions.push_back(stage.Opened(std::span(tokens.back()).first(static_cast<std::size_t>(length))));
  }
  StreamChecker checker(subject);
  std::vector<StepResult> steps;
  for (int step = 0; step < kSteps; ++step) {
    std::vector<Feed> feeds;
    for (int row = 0; row < n; ++row) {
      const auto i = static_cast<std::size_t>(row);
      feeds.push_back(
          {sessions[i], std::span(tokens[i]).subspan(static_cast<std::size_t>(engine.Length(sessions[i])), 1)});
    }
    steps.push_back(engine.Step(feeds));
    for (int row = 0; row < n; ++row)
      checker.Add(steps.back(), row, tokens[static_cast<std::size_t>(row)],
                  fmt::format("session {} step {}", row, step));
  }
  checker.Finish(judge);
  // The same rows, each alone in an engine of one session. One row in eight for large N: the others differ by
  // neighbours only.
  Stage alone(subject, SmallOptions(subject, 1, RaggedCapacity(subject)));
  for (int row = 0; row<n; row += n> 8 ? 8 : 1) {
    const StepResult single = AloneRows(alone, tokens[static_cast<std::size_t>(row)], RaggedLength(subject, row));
    for (int step = 0; step < kSteps; ++step)
      SameRows(judge, subject, single.Raw(step), steps[static_cast<std::size_t>(step)].Raw(row), true,
               fmt::format("alone: session {} step {}", row, step));
  }
}

void GraphEqualsSteps(const Subject& subject, int n, Judge& judge) {
  Stage stage(subject, SmallOptions(subject, 2 * n, RaggedCapacity(subject)));
  Engine& engine = stage.engine();
  std::vector<SessionId> recorded, stepped;
  Tokens first;
  for (int row = 0; row < n; ++row) {
    const Tokens prompt = MadeUpTokens(subject, 200 + row, RaggedLength(subject, row));
    recorded.push_back(stage.Opened(prompt));
    stepped.push_back(stage.Opened(prompt));
    first.push_back(MadeUpTokens(subject, 300 + row, 1)[0]);
  }
  std::vector<Tokens> expected(static_cast<std::size_t>(n));
  Tokens next = first;
  for (int step = 0; step < kSteps; ++step) {
    std::vector<Feed> feeds;
    for (std::size_t i = 0; i < stepped.size(); ++i) feeds.push_back({stepped[i], std::span(&next[i], 1)});
    const StepResult result = engine.Step(feeds);
    for (std::size_t i = 0; i < stepped.size(); ++i) expected[i].push_back(result.best[i]);
    next = result.best;
  }
  // In two calls, so that a replay starts from where another ended.
  std::vector<Tokens> found = engine.Decode(recorded, first, kSteps / 2);
  Tokens middle;
  for (const Tokens& tokens : found) middle.push_back(tokens.back());
  const std::vector<Tokens> rest = engine.Decode(recorded, middle, kSteps - kSteps / 2);
  for (std::size_t i = 0; i < found.size(); ++i) {
    found[i].insert(found[i].end(), rest[i].begin(), rest[i].end());
    judge.True(found[i] == expected[i], "tokens", fmt::format("session {}", i),
               fmt::format("expected [{}], found [{}]", fmt::join(expected[i], " "), fmt::join(found[i], " ")));
    judge.True(engine.Length(recorded[i]) == engine.Length(stepped[i]), "length", fmt::format("session {}", i));
  }
}

}  // namespace

std::vector<Case> DecodeCases(const Subject& subject) {
  std::vector<Case> cases;
  cases.push_back(MakeCase("Decode", "EqualsPrefill", subject, "", [subject](Judge& judge) {
    const Tokens tokens = MadeUpTokens(subject, 90, RaggedCapacity(subject) - 1);
    EngineOptions options = SmallOptions(subject, 1, static_cast<int>(tokens.size()));
    options.max_chunk = options.capacity;
    options.max_rows = std::max(options.max_rows, options.capacity);
    Stage prefill(subject, options), decode(subject, SmallOptions(subject, 1, static_cast<int>(tokens.size())));
    const StepResult whole = prefill.engine().Prefill(prefill.engine().Open(), tokens, Want::kAll);
    const StepResult steps = AloneRows(decode, tokens);
    for (int row = 0; row < whole.rows(); ++row)
      SameRows(judge, subject, whole.Raw(row), steps.Raw(row), false, fmt::format("position {}", row));
  }));
  for (const int n : {1, 3, 5})
    cases.push_back(MakeCase("Decode", "GraphEqualsSteps", subject, fmt::format("n{}", n),
                             [subject, n](Judge& judge) { GraphEqualsSteps(subject, n, judge); }));
  return cases;
}

std::vector<Case> BatchedDecodeCases(const Subject& subject) {
  std::vector<Case> cases;
  for (const int n : {1, 2, 3, 5, 8, 16, 17, 33})
    cases.push_back(MakeCase("BatchedDecode", "MatchesSingleUser", subject, fmt::format("n{}", n),
                             [subject, n](Judge& judge) { Batched(subject, n, judge); }));
  return cases;
}

}  // namespace assay
