#include "suites/faults/fault_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "reports/environment/begin.h"
#include "reports/format/check.h"
#include "suites/faults/published_rules.h"
#include "suites/suites.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

std::vector<std::string> Words(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

// The first case of a suite that turns red because of what was compared; empty id: none did.
struct Seen {
  std::string id, reason;
  std::vector<std::string> metrics;  // that were WRONG
  int ran = 0;
};
Seen FirstRed(Workbench& bench, const Target& target, const std::string& suite) {
  CaseRunner runner(bench);
  Seen seen;
  for (const Case& item :
       ListCases(bench, {{target.model}, {target.precision}, {target.device}, target.seed}, {suite})) {
    if (item.target.model != target.model) continue;  // of no model
    ++seen.ran;
    const CaseOutcome outcome = runner.Run(item);
    if (outcome.status != Status::kFail) continue;
    seen.id = item.id();
    seen.reason = outcome.reason;
    for (const Judgement& judgement : outcome.judgements)
      if (judgement.verdict == Verdict::kWrong) seen.metrics.push_back(judgement.metric);
    return seen;
  }
  return seen;
}

void Count(const FaultOptions& options, const FaultRow& row, const FaultTally::Fault& found) {
  if (!options.tally) return;
  FaultTally::Fault& all = options.tally->faults[row.id];
  all.seam = found.seam;
  all.runs += found.runs;
  all.caught += found.caught;
  all.in_effect = all.in_effect && found.in_effect;
  all.rules.insert(found.rules.begin(), found.rules.end());
  all.judged_red.insert(found.judged_red.begin(), found.judged_red.end());
}

void JudgePlanted(CaseState& state, const FaultRow& row, const FaultOptions& options) {
  const std::vector<std::string> must = Words(row.suites);
  std::vector<std::string> suites = must;
  if (options.all)
    for (const SuiteEntry& entry : Suites())
      if (std::find(must.begin(), must.end(), entry.name) == must.end()) suites.emplace_back(entry.name);
  state.check.AtLeast("turned red", std::ssize(must));
  state.check.AtLeast("in effect", 1);
  const auto engaged = std::make_shared<bool>(false);
  FaultTally::Fault found{.seam = row.seam, .runs = 1, .caught = 1};
  {
    Workbench bench(row.plant(engaged));
    found.rules = [&] {
      const std::vector<std::string> rules = CaughtByPublishedRules(bench, state.target);
      return std::set<std::string>(rules.begin(), rules.end());
    }();
    for (const std::string& rule : found.rules) state.check.True(true, "published rule: " + rule, {});
    for (const std::string& suite : suites) {
      const Seen seen = FirstRed(bench, state.target, suite);
      const bool expected = std::find(must.begin(), must.end(), suite) != must.end();
      if (!seen.id.empty()) state.check.True(true, "red: " + suite, {});
      found.judged_red.insert(seen.metrics.begin(), seen.metrics.end());
      if (expected && seen.id.empty()) found.caught = 0;
      if (expected)
        state.check.True(!seen.id.empty(), "turned red", Place(suite, {}),
                         fmt::format("{}: {} cases of {} ran and none failed", row.about, seen.ran, suite));
    }
  }
  state.check.True(*engaged, "in effect", Place(row.id, {}), "the fault changed nothing");
  found.in_effect = *engaged;
  Count(options, row, found);
}

// A report of a run that passed, made by a clean bench.
Report CleanReport(const Target& target) {
  Workbench bench;
  Report report = BeginReport("run", 0, nullptr);
  CaseRunner runner(bench);
  for (const Case& item : ListCases(bench, {{target.model}, {target.precision}, {target.device}}, {"Prefill"}))
    report.cases.push_back(ToReport(item, runner.Run(item), ReplayLine(item)));
  report.listed = report.selected = std::ssize(report.cases);
  report.finished = report.started;
  report.complete = true;
  return report;
}

void JudgeDamaged(CaseState& state, const FaultRow& row, const FaultOptions& options) {
  const auto problems = [](const Report& report) {
    const std::string text = ToJson(report);
    std::vector<std::string> found = SchemaProblems(text);
    if (found.empty()) found = ConsistencyProblems(text);
    return found;
  };
  state.check.AtLeast("turned red", 1);
  Report report = CleanReport(state.target);
  const std::vector<std::string> clean = problems(report);
  state.check.True(clean.empty(), "holds before", Place(row.id, {}), clean.empty() ? "" : clean.front());
  const std::string before = ToJson(report);
  row.damage(report);
  state.check.True(ToJson(report) != before, "in effect", Place(row.id, {}), "the fault changed nothing");
  const bool caught = !problems(report).empty();
  state.check.True(caught, "turned red", Place(row.id, {}), row.about + ": the check of reports finds nothing");
  Count(options, row, {.seam = row.seam, .runs = 1, .caught = caught ? 1 : 0});
}

}  // namespace

std::vector<Case> FaultCases(const FaultOptions& options) {
  std::vector<Case> cases;
  for (const FaultRow& row : Catalogue())
    for (int i = 0; i < options.seeds; ++i) {
      Target target{.model = row.model, .device = options.device, .precision = row.precision};
      target.seed = options.seed + static_cast<std::uint64_t>(i);
      target.seed_is_axis = options.seeds > 1;
      cases.push_back(MakeCase("Faults", row.id.c_str(), target, {}, {}, [&row, options](CaseState& state) {
        row.seam == Seam::kReport ? JudgeDamaged(state, row, options) : JudgePlanted(state, row, options);
      }));
      cases.back().axes.Set("seam", Name(row.seam));
    }
  return cases;
}

}  // namespace assay
