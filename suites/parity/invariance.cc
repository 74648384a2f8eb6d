#include <algorithm>
#include <numeric>

#include "suites/parity/crowd.h"
#include "suites/parity/parity.h"

namespace assay {
namespace {

constexpr int kRows = 6, kSteps = 6, kCapacity = 40;

int LengthOf(const Subject& subject, int row) {
  const int window = std::clamp(SmallestWindow(StoreOf(subject).spec()), 3, 16);
  return 1 + row * window / 2;
}

// Runs kRows sessions with these tokens in this order for kSteps steps: [step][row] logits, rows in session order.
std::vector<std::vector<std::vector<float>>> Run(const Subject& subject, const std::vector<Tokens>& tokens,
                                                 const std::vector<int>& order) {
  Stage stage(subject, SmallOptions(subject, kRows, kCapacity + kRows * 16));
  std::vector<SessionId> sessions;
  for (std::size_t i = 0; i < tokens.size(); ++i)
    sessions.push_back(stage.Opened(std::span(tokens[i]).first(tokens[i].size() - kSteps)));
  std::vector<std::vector<std::vector<float>>> steps;
  for (int step = 0; step < kSteps; ++step) {
    std::vector<Feed> feeds;
    for (const int row : order) {
      const auto i = static_cast<std::size_t>(row);
      feeds.push_back(
          {sessions[i], std::span(tokens[i]).subspan(tokens[i].size() - static_cast<std::size_t>(kSteps - step), 1)});
    }
    const StepResult result = stage.engine().Step(feeds);
    std::vector<std::vector<float>> rows(tokens.size());
    for (std::size_t at = 0; at < order.size(); ++at)
      rows[static_cast<std::size_t>(order[at])].assign(result.Raw(static_cast<int>(at)).begin(),
                                                       result.Raw(static_cast<int>(at)).end());
    steps.push_back(std::move(rows));
  }
  return steps;
}

std::vector<Tokens> Sessions(const Subject& subject, int base) {
  std::vector<Tokens> tokens;
  for (int row = 0; row < kRows; ++row)
    tokens.push_back(MadeUpTokens(subject, base + row, LengthOf(subject, row) + kSteps));
  return tokens;
}

std::vector<int> InOrder() {
  std::vector<int> order(kRows);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

void Permutation(const Subject& subject, Judge& judge) {
  const std::vector<Tokens> tokens = Sessions(subject, 900);
  const auto straight = Run(subject, tokens, InOrder());
  for (const std::vector<int>& order : {std::vector<int>{5, 4, 3, 2, 1, 0}, std::vector<int>{2, 0, 5, 1, 4, 3}}) {
    const auto permuted = Run(subject, tokens, order);
    for (std::size_t step = 0; step < straight.size(); ++step)
      for (std::size_t row = 0; row < tokens.size(); ++row)
        judge.Bits(straight[step][row], permuted[step][row], fmt::format("session {} step {}", row, step));
  }
}

void FillerIndependence(const Subject& subject, Judge& judge) {
  const std::vector<Tokens> tokens = Sessions(subject, 920);
  std::vector<Tokens> others = Sessions(subject, 940);
  others[2] = tokens[2];
  const auto mine = Run(subject, tokens, InOrder()), again = Run(subject, others, InOrder());
  for (std::size_t step = 0; step < mine.size(); ++step) {
    judge.Bits(mine[step][2], again[step][2], fmt::format("session 2 step {}", step));
    judge.True(mine[step][1] != again[step][1], "neighbours differ", fmt::format("step {}", step),
               "the fillers were meant to change");
  }
}

void Duplicates(const Subject& subject, Judge& judge) {
  std::vector<Tokens> tokens = Sessions(subject, 960);
  tokens[4] = tokens[1];
  const auto steps = Run(subject, tokens, InOrder());
  for (std::size_t step = 0; step < steps.size(); ++step)
    judge.Bits(steps[step][1], steps[step][4], fmt::format("rows 1 and 4 step {}", step));
}

void RunToRun(const Subject& subject, Judge& judge) {
  const std::vector<Tokens> tokens = Sessions(subject, 980);
  const auto first = Run(subject, tokens, InOrder());
  for (int run = 0; run < 2; ++run) {
    const auto again = Run(subject, tokens, InOrder());
    for (std::size_t step = 0; step < first.size(); ++step)
      for (std::size_t row = 0; row < tokens.size(); ++row)
        judge.Bits(first[step][row], again[step][row], fmt::format("run {} session {} step {}", run, row, step));
  }
}

// A later token of a prompt must not reach back: earlier logits stand, later ones move.
void Causality(const Subject& subject, Judge& judge) {
  const int length = 12, changed = 8;
  Tokens tokens = MadeUpTokens(subject, 990, length);
  Stage stage(subject, SmallOptions(subject, 2, length));
  const StepResult before = stage.engine().Prefill(stage.engine().Open(), tokens, Want::kAll);
  tokens[changed] = (tokens[changed] + 1) % stage.engine().spec().vocab;
  const StepResult after = stage.engine().Prefill(stage.engine().Open(), tokens, Want::kAll);
  for (int row = 0; row < changed; ++row) judge.Bits(before.Raw(row), after.Raw(row), fmt::format("position {}", row));
  judge.True(!std::equal(before.Raw(changed).begin(), before.Raw(changed).end(), after.Raw(changed).begin()), "moves",
             fmt::format("position {}", changed), "expected the changed token to change its own row");
}

// In the mode of that name, whatever mode the subject has.
Subject Invariantly(const Subject& subject) {
  Subject invariant = subject;
  invariant.batch_invariant = true;
  return invariant;
}

void BatchInvariant(const Subject& subject, Judge& judge) {
  Crowd(Invariantly(subject), {.steps = 4, .ask_reference = false}).Invariant(judge);
}

// What others do in the same step, decode or read a long or a short piece of a prompt, changes no bit of a session.
void MixedSteps(const Subject& subject, Judge& judge) {
  constexpr int kLength = 21, kPieces[] = {1, 3, 24};  // tokens that a session feeds in the step
  EngineOptions options = SmallOptions(subject, 6, kLength + 24);
  options.max_chunk = 24;
  Stage stage(Invariantly(subject), options);
  Engine& engine = stage.engine();
  std::vector<SessionId> sessions;
  std::vector<Tokens> tokens;
  for (int i = 0; i < 6; ++i) {
    tokens.push_back(MadeUpTokens(subject, 970 + i, kLength + kPieces[i % 3]));
    sessions.push_back(stage.Opened(std::span(tokens.back()).first(kLength)));
  }
  const auto feed = [&](std::size_t i) {
    return Feed{sessions[i], std::span(tokens[i]).subspan(kLength), i < 3 ? Want::kAll : Want::kLast};
  };
  std::vector<std::vector<float>> alone;
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    const Feed one = feed(i);
    const StepResult result = engine.Step(std::span(&one, 1));
    alone.emplace_back(result.raw.begin(), result.raw.end());
    engine.Truncate(sessions[i], kLength);
  }
  for (const std::vector<std::size_t>& order :
       {std::vector<std::size_t>{0, 1, 2, 3, 4, 5}, std::vector<std::size_t>{5, 0, 2, 4, 1, 3}}) {
    std::vector<Feed> feeds;
    for (const std::size_t i : order) feeds.push_back(feed(i));
    const StepResult result = engine.Step(feeds);
    auto at = result.raw.begin();
    for (const std::size_t i : order) {
      const auto end = at + static_cast<std::ptrdiff_t>(alone[i].size());
      judge.Bits(alone[i], std::vector<float>(at, end), fmt::format("session {} of order {}..", i, order.front()));
      at = end;
      engine.Truncate(sessions[i], kLength);
    }
  }
}

}  // namespace

std::vector<Case> InvarianceCases(const Subject& subject) {
  std::vector<Case> cases;
  const auto add = [&](const char* name, void (*body)(const Subject&, Judge&)) {
    cases.push_back(MakeCase("Invariance", name, subject, "", [subject, body](Judge& judge) { body(subject, judge); }));
  };
  add("Permutation", Permutation);
  add("FillerIndependence", FillerIndependence);
  add("Duplicates", Duplicates);
  add("RunToRun", RunToRun);
  add("Causality", Causality);
  add("MixedSteps", MixedSteps);
  // The host is so by construction; large models have a case of their own.
  if (!subject.exact() && !IsLarge(StoreOf(subject).spec())) add("BatchInvariant", BatchInvariant);
  return cases;
}

}  // namespace assay
