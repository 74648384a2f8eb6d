#include "ci/assay/bench_parity.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "suites/suites.h"
#include "suites/support/references.h"

namespace assay {
namespace {

// 16 of "gemma4_nano_bf16_n16".
std::optional<int> SessionsOf(const Case& item) {
  const std::size_t at = item.params.rfind("_n");
  if (at == std::string::npos) return std::nullopt;
  char* end = nullptr;
  const long n = std::strtol(item.params.c_str() + at + 2, &end, 10);
  return *end == '\0' && n > 0 ? std::optional<int>(static_cast<int>(n)) : std::nullopt;
}

// Of the cases suite.name the one for the number of sessions nearest to n; the larger of two that are equally near.
const Case* Nearest(const std::vector<Case>& all, const std::string& suite, const std::string& name, int n) {
  const Case* best = nullptr;
  const auto distance = [&](const Case& item) { return std::abs(SessionsOf(item).value_or(n) - n); };
  for (const Case& item : all)
    if (item.suite == suite && item.name == name && (best == nullptr || distance(item) <= distance(*best)))
      best = &item;
  return best;
}

std::vector<Case> ListFor(const Subject& subject) {
  const SuiteInputs inputs{
      {subject.model}, {Name(subject.precision)}, {subject.device}, subject.seed, subject.batch_invariant};
  if (!IsLarge(StoreOf(subject).spec())) return ListCases(inputs, {"Prefill", "Decode", "BatchedDecode", "Experts"});
  return subject.exact() ? std::vector<Case>() : ListCases(inputs, {"Experts", "RealGeometry"});
}

// In order of severity.
std::ptrdiff_t Rank(const std::string& status) {
  constexpr std::array<std::string_view, 4> kStatuses = {"pass", "skip", "fail", "error"};
  return std::find(kStatuses.begin(), kStatuses.end(), status) - kStatuses.begin();
}

}  // namespace

std::vector<Case> ParityCases(const std::vector<Case>& all, BenchPath path, int n) {
  const auto listed = [&](const std::string& suite) {
    return std::any_of(all.begin(), all.end(), [&](const Case& item) { return item.suite == suite; });
  };
  std::vector<std::pair<const char*, const char*>> wanted;
  if (path == BenchPath::kDecode) {
    // Experts first: its reference needs the room that the engine of RealGeometry keeps.
    wanted = {{"Experts", "DecideWithinTheError"},
              {"BatchedDecode", "MatchesSingleUser"},
              {"Decode", "GraphEqualsSteps"},
              {"RealGeometry", "BatchedDecode"}};
  } else {
    wanted = {{"Prefill", "ChunkedEqualsWhole"}, {"RealGeometry", "Prefill"}};
    // Experts in 16-bit modes are not held against the reference, but against the prompt in other pieces.
    if (!listed("Experts")) wanted.insert(wanted.begin(), {"Prefill", "MatchesReference"});
    if (n > 1) wanted.push_back({"Prefill", "PackedEqualsSerial"});
  }
  std::vector<Case> cases;
  for (const auto& [suite, name] : wanted) {
    if (!listed(suite)) continue;
    const Case* const nearest = Nearest(all, suite, name, n);
    Require(nearest != nullptr, "benchmarks need {}.{}: expected such a case, found others of the suite only", suite,
            name);
    cases.push_back(*nearest);
  }
  return cases;
}

ParityGate::ParityGate(const Subject& subject, std::function<void(const ReportCase&)> done)
    : subject_(subject), done_(std::move(done)), all_(ListFor(subject)) {}

const ReportCase& ParityGate::Outcome(const Case& item) {
  const auto known = outcomes_.find(item.id());
  if (known != outcomes_.end()) return known->second;
  std::string replay = ReplayLine(item, subject_.seed) + (subject_.batch_invariant ? " --batch-invariant" : "");
  const ReportCase& outcome =
      outcomes_.emplace(item.id(), ToReport(item, runner_.Run(item), std::move(replay))).first->second;
  done_(outcome);
  return outcome;
}

Parity ParityGate::Judge(const BenchCase& item) {
  const std::vector<Case> wanted = ParityCases(all_, item.path, std::max(1, static_cast<int>(item.Param("n"))));
  if (wanted.empty())
    return {"skip", fmt::format("no suite can judge {} on {}", subject_.model, subject_.device), "VOID"};
  Parity parity{"pass", "", ""};
  ReportCase together;
  for (const Case& one : wanted) {
    const ReportCase& outcome = Outcome(one);
    together.judgements.insert(together.judgements.end(), outcome.judgements.begin(), outcome.judgements.end());
    if (Rank(outcome.status) <= Rank(parity.status)) continue;
    parity.status = outcome.status;
    parity.reason = fmt::format("{}: {}", outcome.id, outcome.reason);
  }
  parity.verdict = CaseVerdict(together);
  return parity;
}

void ParityGate::FillTolerance(BenchSetting* setting) const {
  if (subject_.exact()) return;
  const LogitTolerance& tolerance = ToleranceOf(subject_);
  setting->spread = 2 * tolerance.max_abs.hard;
  setting->tie = 4 * tolerance.tie;  // one eps for each of two logits on each side
}

}  // namespace assay
