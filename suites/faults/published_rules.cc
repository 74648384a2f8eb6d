#include "suites/faults/published_rules.h"

#include <algorithm>
#include <cmath>

#include "oracles/compare/ranking.h"
#include "oracles/compare/tensors.h"
#include "suites/parity/parity.h"

namespace assay {
namespace {

constexpr int kStream = 60000;

struct Workload {
  std::vector<Tokens> tokens;  // of each session, its prompt and what is fed to it
  std::vector<int> prompt;
  int steps = 0;
};

Workload MakeWorkload(const ModelSpec& spec, std::uint64_t seed, const std::vector<int>& prompts, int steps) {
  Workload w{{}, prompts, steps};
  for (std::size_t i = 0; i < prompts.size(); ++i)
    w.tokens.push_back(RandomTokens(seed, kStream + static_cast<int>(i), prompts[i] + steps, spec.vocab));
  return w;
}

// [session][step] logits of steps in which all sessions are fed together.
std::vector<std::vector<std::vector<float>>> Together(Workbench& bench, const Target& target, const Workload& w,
                                                      const std::vector<int>& members) {
  int longest = 0;
  for (const Tokens& tokens : w.tokens) longest = std::max(longest, static_cast<int>(tokens.size()));
  const auto system =
      bench.Open(target, SmallOptions(bench.Spec(target), static_cast<int>(members.size()), longest + 1));
  std::vector<SessionId> sessions;
  for (const int i : members) sessions.push_back(system->OpenWith(Slice(w.tokens[i], 0, w.prompt[i])));
  std::vector<std::vector<std::vector<float>>> rows(members.size());
  for (int step = 0; step < w.steps; ++step) {
    std::vector<Feed> feeds;
    for (std::size_t i = 0; i < members.size(); ++i)
      feeds.push_back({sessions[i], Slice(w.tokens[members[i]], w.prompt[members[i]] + step, 1)});
    const StepResult result = system->Step(feeds);
    for (int row = 0; row < result.rows(); ++row)
      rows[result.feed[row]].emplace_back(result.Raw(row).begin(), result.Raw(row).end());
  }
  return rows;
}

std::vector<int> All(const Workload& w) {
  std::vector<int> members;
  for (std::size_t i = 0; i < w.tokens.size(); ++i) members.push_back(static_cast<int>(i));
  return members;
}

const std::vector<double>& Reference(Workbench& bench, const Target& target, const Workload& w, int session, int step) {
  return bench.references().Rows(target, w.tokens[session]).Raw(w.prompt[session] + step);
}

bool TwoSteps(Workbench& bench, const Target& target) {
  const Workload w = MakeWorkload(bench.Spec(target), target.seed, {5, 9}, 2);
  const auto rows = Together(bench, target, w, All(w));
  for (int i = 0; i < 2; ++i)
    for (int step = 0; step < 2; ++step) {
      const std::vector<double> found = Widen(rows[i][step]);
      const std::vector<double>& expected = Reference(bench, target, w, i, step);
      const std::vector<int> best = TopK(expected, 5), mine = TopK(found, 5);
      const auto same = std::ranges::count_if(
          mine, [&](int token) { return std::find(best.begin(), best.end(), token) != best.end(); });
      const Difference difference = Compare(expected, found);
      if (difference.nonfinite > 0 || !(difference.max_abs < 1) || same < 4) return true;
    }
  return false;
}

bool TopFive(Workbench& bench, const Target& target) {
  constexpr int kTexts = 8, kLength = 32;
  const ModelSpec& spec = bench.Spec(target);
  const auto system = bench.Open(target, SmallOptions(spec, kTexts, kLength + 16));
  const std::unique_ptr<ReferenceDecoder> reference = bench.references().MakeDecoder(target);
  std::vector<SessionId> sessions;
  std::vector<Tokens> prompts;
  Tokens first;
  for (int i = 0; i < kTexts; ++i) {
    prompts.push_back(RandomTokens(target.seed, kStream + 100 + i, 3 + i, spec.vocab));
    sessions.push_back(system->OpenWith(std::span(prompts[i]).first(prompts[i].size() - 1)));
    first.push_back(prompts[i].back());
  }
  const std::vector<Tokens> texts = system->Decode(sessions, first, kLength);
  for (int i = 0; i < kTexts; ++i) {
    if (std::ssize(texts[i]) != kLength) return true;
    reference->Truncate(0);
    std::vector<double> logits = reference->Prefill(prompts[i]).raw;
    for (int step = 0; step < kLength; ++step) {
      const std::int32_t found = texts[i][step];
      if (found != ArgMax(logits)) {
        const std::vector<int> best = TopK(logits, 5);
        if (std::find(best.begin(), best.end(), found) == best.end()) return true;
        break;  // from here on it is another text
      }
      if (step + 1 < kLength) logits = reference->Step(found).raw;
    }
  }
  return false;
}

const std::vector<int> kRagged{1, 4, 7, 12, 17};

bool Nmse(Workbench& bench, const Target& target) {
  const Workload w = MakeWorkload(bench.Spec(target), target.seed, kRagged, 12);
  const auto rows = Together(bench, target, w, All(w));
  double error = 0, size = 0;
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (int step = 0; step < w.steps; ++step) {
      const std::vector<double>& expected = Reference(bench, target, w, static_cast<int>(i), step);
      for (std::size_t v = 0; v < expected.size(); ++v) {
        error += std::pow(rows[i][step][v] - expected[v], 2);
        size += expected[v] * expected[v];
      }
    }
  return !(error < 1e-4 * size);
}

bool Invariance(Workbench& bench, const Target& target) {
  const Workload w = MakeWorkload(bench.Spec(target), target.seed, kRagged, 12);
  const auto rows = Together(bench, target, w, All(w));
  for (const int i : All(w))
    if (Together(bench, target, w, {i}).front() != rows[i]) return true;
  return false;
}

}  // namespace

const std::vector<PublishedRule>& PublishedRules() {
  static const std::vector<PublishedRule> rules{
      {"two-steps", "two sessions, two steps: logits within 1, four of the best five"},
      {"top-k", "greedy texts: the first other token among the best five"},
      {"nmse", "a normalised squared error below 1e-4"},
      {"invariance", "in a batch as alone, bit for bit"}};
  return rules;
}

std::vector<std::string> CaughtByPublishedRules(Workbench& bench, const Target& target) {
  std::vector<std::string> caught;
  bool (*const judges[])(Workbench&, const Target&) = {TwoSteps, TopFive, Nmse, Invariance};
  for (std::size_t rule = 0; rule < std::size(judges); ++rule) {
    bool wrong = true;  // what breaks off is noticed by any of them
    try {
      wrong = judges[rule](bench, target);
    } catch (const Error&) {
    }
    if (wrong) caught.emplace_back(PublishedRules()[rule].name);
  }
  return caught;
}

}  // namespace assay
