#include <algorithm>
#include <numeric>

#include "suites/parity/batch_scenario.h"
#include "suites/parity/parity.h"

namespace assay {
namespace {

constexpr int kOrderRows = 6, kOrderSteps = 6, kOrderCapacity = 40;

using SessionRows = std::vector<std::vector<float>>;  // [session] logits
using Order = std::vector<int>;

// Runs kOrderRows sessions with these tokens in this order for kOrderSteps steps: [step][session] logits.
std::vector<SessionRows> Run(CaseState& state, const std::vector<Tokens>& tokens, const Order& order) {
  const auto system = state.Open(SmallOptions(state.spec(), kOrderRows, kOrderCapacity + kOrderRows * 16));
  std::vector<SessionId> sessions;
  for (const Tokens& each : tokens)
    sessions.push_back(system->OpenWith(Slice(each, 0, static_cast<int>(each.size()) - kOrderSteps)));
  std::vector<SessionRows> steps;
  for (int step = 0; step < kOrderSteps; ++step) {
    std::vector<Feed> feeds;
    for (const int i : order)
      feeds.push_back({sessions[i], Slice(tokens[i], static_cast<int>(tokens[i].size()) - kOrderSteps + step, 1)});
    const StepResult result = system->Step(feeds);
    SessionRows rows(tokens.size());
    for (int at = 0; at < std::ssize(order); ++at) rows[order[at]].assign(result.Raw(at).begin(), result.Raw(at).end());
    steps.push_back(std::move(rows));
  }
  return steps;
}

std::vector<Tokens> Sessions(CaseState& state, int base) {
  const int window = WindowWithin(state.spec(), 3, 16);
  std::vector<Tokens> tokens;
  for (int row = 0; row < kOrderRows; ++row)
    tokens.push_back(state.MadeUp(base + row, 1 + row * window / 2 + kOrderSteps));
  return tokens;
}

Order InOrder() {
  Order order(kOrderRows);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

void Same(SameBits& same, const std::vector<SessionRows>& expected, const std::vector<SessionRows>& found, int run) {
  for (int step = 0; step < std::ssize(expected); ++step)
    for (int i = 0; i < std::ssize(expected[step]); ++i)
      same.Check(expected[step][i], found[step][i], {{"run", run}, {"session", i}, {"step", step}});
}

void Permutation(CaseState& state) {
  SameBits same(state);
  const std::vector<Tokens> tokens = Sessions(state, 900);
  same.AtLeast(2 * kOrderSteps * kOrderRows);
  const auto straight = Run(state, tokens, InOrder());
  int run = 0;
  for (const Order& order : {Order{5, 4, 3, 2, 1, 0}, Order{2, 0, 5, 1, 4, 3}})
    Same(same, straight, Run(state, tokens, order), ++run);
}

void FillerIndependence(CaseState& state) {
  SameBits same(state);
  const std::vector<Tokens> tokens = Sessions(state, 920);
  std::vector<Tokens> others = Sessions(state, 940);
  others[2] = tokens[2];
  same.AtLeast(kOrderSteps);
  state.check.AtLeast("neighbours differ", kOrderSteps);
  const auto mine = Run(state, tokens, InOrder()), again = Run(state, others, InOrder());
  RequireVisible(state, mine.back()[1], tokens[1]);
  for (int step = 0; step < kOrderSteps; ++step) {
    same.Check(mine[step][2], again[step][2], {{"session", 2}, {"step", step}});
    state.check.True(mine[step][1] != again[step][1], "neighbours differ", {{"step", step}},
                     "the fillers were meant to change");
  }
}

void Duplicates(CaseState& state) {
  SameBits same(state);
  std::vector<Tokens> tokens = Sessions(state, 960);
  tokens[4] = tokens[1];
  same.AtLeast(kOrderSteps);
  const auto steps = Run(state, tokens, InOrder());
  for (int step = 0; step < kOrderSteps; ++step)
    same.Check(steps[step][1], steps[step][4], {"sessions 1 and 4", {{"step", step}}});
}

void RunToRun(CaseState& state) {
  SameBits same(state, state.bench.provider().Describe().claims_repeatable);
  const std::vector<Tokens> tokens = Sessions(state, 980);
  same.AtLeast(2 * kOrderSteps * kOrderRows);
  const auto first = Run(state, tokens, InOrder());
  for (const int run : {1, 2}) Same(same, first, Run(state, tokens, InOrder()), run);
}

// A later token of a prompt must not reach back: earlier logits stand, later ones move.
void Causality(CaseState& state) {
  SameBits same(state);
  const int length = 12, changed = 8;
  Tokens tokens = state.MadeUp(990, length);
  same.AtLeast(changed);
  state.check.AtLeast("moves", 1);
  const auto system = state.Open(SmallOptions(state.spec(), 2, length));
  const StepResult before = system->Prefill(system->Open(), tokens, Want::kAll);
  tokens[changed] = (tokens[changed] + 1) % system->vocab();
  const StepResult after = system->Prefill(system->Open(), tokens, Want::kAll);
  RequireVisible(state, after.Raw(length - 1), tokens);
  for (int row = 0; row < changed; ++row) same.Check(before.Raw(row), after.Raw(row), {{"position", row}});
  state.check.True(!std::equal(before.Raw(changed).begin(), before.Raw(changed).end(), after.Raw(changed).begin()),
                   "moves", {{"position", changed}}, "expected the changed token to change its own row");
}

// Every session's logits and text in batches of every size, bit for bit.
void BatchInvariant(CaseState& state) {
  BatchScenario(state.bench, InBatchInvariantMode(state.target), {.steps = 4, .ask_reference = false})
      .Invariant(state.check);
}

// What others do in the same step, decode or read a long or a short piece of a prompt, changes no bit of a session.
void MixedSteps(CaseState& state) {
  state.check.KeepDigest();
  constexpr int kLength = 21, kLong = 24, kPieces[] = {1, 3, kLong};  // tokens that a session feeds in the step
  state.check.AtLeast("ulp", 3 * 6);
  EngineOptions options = SmallOptions(state.spec(), 6, kLength + kLong);
  options.max_chunk = kLong;
  const auto system = state.bench.Open(InBatchInvariantMode(state.target), options);
  std::vector<SessionId> sessions;
  std::vector<Tokens> tokens;
  for (int i = 0; i < 6; ++i) {
    tokens.push_back(state.MadeUp(970 + i, kLength + kPieces[i % 3]));
    sessions.push_back(system->OpenWith(Slice(tokens.back(), 0, kLength)));
  }
  const auto feed = [&](int i) {
    return Feed{sessions[i], std::span(tokens[i]).subspan(kLength), i < 3 ? Want::kAll : Want::kLast};
  };
  std::vector<std::vector<float>> alone;
  for (int i = 0; i < 6; ++i) {
    alone.push_back(system->Step(feed(i)).raw);
    system->Truncate(sessions[i], kLength);
  }
  int run = 0;
  for (const Order& order : {Order{0, 1, 2, 3, 4, 5}, Order{0, 2, 5, 1, 3, 4}, Order{5, 0, 2, 4, 1, 3}}) {
    std::vector<Feed> feeds;
    for (const int i : order) feeds.push_back(feed(i));
    const StepResult result = system->Step(feeds);
    auto at = result.raw.begin();
    for (const int i : order) {
      const auto end = at + std::ssize(alone[i]);
      state.check.Bits(alone[i], std::span(at, end), {{"order", run}, {"session", i}});
      at = end;
      system->Truncate(sessions[i], kLength);
    }
    ++run;
  }
}

}  // namespace

std::vector<Case> InvarianceCases(Workbench& bench, const Target& target) {
  using enum Capability;
  std::vector<Case> cases;
  const auto add = [&](const char* name, std::vector<Capability> needs, void (*body)(CaseState&)) {
    cases.push_back(MakeCase("Invariance", name, target, {}, std::move(needs), body));
  };
  add("Permutation", {kLogits, kBatch}, Permutation);
  add("FillerIndependence", {kLogits, kBatch}, FillerIndependence);
  add("Duplicates", {kLogits, kBatch}, Duplicates);
  add("RunToRun", {kLogits, kBatch}, RunToRun);
  add("Causality", {kLogits}, Causality);
  add("MixedSteps", {kInternals, kRawLogits, kBatch, kMixed, kTruncate}, MixedSteps);
  // The host is so by construction; large models have a case of their own.
  if (!target.exact() && !IsLarge(bench.Spec(target)))
    add("BatchInvariant", {kInternals, kRawLogits, kBatch, kTruncate, kDecode}, BatchInvariant);
  return cases;
}

}  // namespace assay
