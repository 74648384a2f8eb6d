#include <fmt/format.h>

#include <algorithm>

#include "suites/parity/parity.h"

namespace assay {
namespace {

constexpr int kDecodeSteps = 16;

// Prompt lengths that straddle window and ring, no two alike for the first rows.
int RaggedLength(const ModelSpec& spec, int row) {
  const int window = WindowWithin(spec, 5, 40);
  return 1 + (row * 7 + (row % 3) * window) % (2 * window + 3);
}

int RaggedCapacity(const ModelSpec& spec) { return 2 * WindowWithin(spec, 5, 40) + 4 + kDecodeSteps + 1; }

void EqualsPrefill(CaseState& state) {
  RowAgreement same(state);
  const Tokens tokens = state.MadeUp(90, RaggedCapacity(state.spec()) - 1);
  const int length = static_cast<int>(tokens.size());
  const auto prefill = state.Open(StraightOptions(state.spec(), 1, length)),
             decode = state.Open(SmallOptions(state.spec(), 1, length));
  const StepResult whole = prefill->Prefill(prefill->Open(), tokens, Want::kAll);
  const StepResult steps = AloneRows(*decode, tokens);
  same.AtLeast(length);
  for (int row = 0; row < whole.rows(); ++row)
    same.Check(whole.Raw(row), steps.Raw(row), {{"position", row}}, tokens, row);
}

void GraphEqualsSteps(CaseState& state, int n) {
  const auto system = state.Open(SmallOptions(state.spec(), 2 * n, RaggedCapacity(state.spec())));
  std::vector<SessionId> recorded, stepped;
  Tokens first;
  for (int row = 0; row < n; ++row) {
    const Tokens prompt = state.MadeUp(200 + row, RaggedLength(state.spec(), row));
    recorded.push_back(system->OpenWith(prompt));
    stepped.push_back(system->OpenWith(prompt));
    first.push_back(state.MadeUp(300 + row, 1)[0]);
  }
  for (const char* metric : {"tokens", "length"}) state.check.AtLeast(metric, n);
  std::vector<Tokens> expected(n);
  Tokens next = first;
  for (int step = 0; step < kDecodeSteps; ++step) {
    std::vector<Feed> feeds;
    for (int i = 0; i < n; ++i) feeds.push_back({stepped[i], Slice(next, i, 1)});
    const StepResult result = system->Step(feeds);
    for (int i = 0; i < n; ++i) expected[i].push_back(result.best[i]);
    next = result.best;
  }
  // In two calls, so that a replay starts from where another ended.
  std::vector<Tokens> found = system->Decode(recorded, first, kDecodeSteps / 2);
  Tokens middle;
  for (const Tokens& tokens : found) middle.push_back(tokens.back());
  const std::vector<Tokens> rest = system->Decode(recorded, middle, kDecodeSteps - kDecodeSteps / 2);
  for (int i = 0; i < n; ++i) {
    found[i].insert(found[i].end(), rest[i].begin(), rest[i].end());
    const auto step = std::mismatch(expected[i].begin(), expected[i].end(), found[i].begin(), found[i].end()).first;
    state.check.True(found[i] == expected[i], "tokens", {{"session", i}, {"step", step - expected[i].begin()}},
                     fmt::format("expected [{}], found [{}]", fmt::join(expected[i], " "), fmt::join(found[i], " ")));
    state.check.True(system->Length(recorded[i]) == system->Length(stepped[i]), "length", {{"session", i}});
  }
}

void MatchesSingleUser(CaseState& state, int n) {
  LogitChecker checker(state);
  RowAgreement same(state);
  const ModelSpec& spec = state.spec();
  const auto system = state.Open(SmallOptions(spec, n, RaggedCapacity(spec)));
  std::vector<Tokens> tokens;
  std::vector<SessionId> sessions;
  for (int row = 0; row < n; ++row) {
    const int length = RaggedLength(spec, row);
    tokens.push_back(state.MadeUp(100 + row, length + kDecodeSteps));
    sessions.push_back(system->OpenWith(Slice(tokens.back(), 0, length)));
  }
  checker.AtLeast(std::int64_t{n} * kDecodeSteps);
  same.AtLeast((n > 8 ? (n + 7) / 8 : n) * kDecodeSteps);
  std::vector<StepResult> steps;
  for (int step = 0; step < kDecodeSteps; ++step) {
    std::vector<Feed> feeds;
    for (int row = 0; row < n; ++row)
      feeds.push_back({sessions[row], Slice(tokens[row], system->Length(sessions[row]), 1)});
    steps.push_back(system->Step(feeds));
    for (int row = 0; row < n; ++row) checker.Add(steps.back(), row, tokens[row], {{"session", row}, {"step", step}});
  }
  checker.Finish();
  // The same rows, each alone in an engine of one session. One row in eight for large N: the others differ by
  // neighbours only.
  const auto alone = state.Open(SmallOptions(spec, 1, RaggedCapacity(spec)));
  for (int row = 0; row<n; row += n> 8 ? 8 : 1) {
    const StepResult single = AloneRows(*alone, tokens[row], RaggedLength(spec, row));
    for (int step = 0; step < kDecodeSteps; ++step)
      same.Check(single.Raw(step), steps[step].Raw(row), {"alone", {{"session", row}, {"step", step}}}, tokens[row],
                 RaggedLength(spec, row) + step);
  }
}

}  // namespace

std::vector<Case> DecodeCases(Workbench& bench, const Target& target) {
  using enum Capability;
  constexpr std::int64_t kMostForMany = 2'000'000;  // weights
  std::vector<Case> cases{MakeCase("Decode", "EqualsPrefill", target, {}, {kLogits}, EqualsPrefill)};
  const bool many = WeightCount(bench.Spec(target)) < kMostForMany;
  for (const int n : many ? std::vector{1, 3, 5, 9, 33} : std::vector{1, 3, 5})
    cases.push_back(MakeCase("Decode", "GraphEqualsSteps", target, {{"n", n}}, {kDecode, kBatch},
                             [n](CaseState& state) { GraphEqualsSteps(state, n); }));
  return cases;
}

std::vector<Case> BatchedDecodeCases(Workbench& bench, const Target& target) {
  using enum Capability;
  std::vector<Case> cases;
  for (const int n : {1, 2, 3, 5, 8, 16, 17, 33}) {
    cases.push_back(MakeCase("BatchedDecode", "MatchesSingleUser", target, {{"n", n}}, {kLogits, kBatch},
                             [n](CaseState& state) { MatchesSingleUser(state, n); }));
    cases.back().tokens = 2.0 * n * (kDecodeSteps + WindowWithin(bench.Spec(target), 5, 40));
  }
  return cases;
}

}  // namespace assay
