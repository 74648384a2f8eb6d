#include "ci/assay/timing.h"

#include <set>

#include "suites/support/names.h"

namespace assay {

std::vector<TimingGroup> TimingGroupsOf(Workbench& bench, const SuiteInputs& targets, const TimingInputs& inputs) {
  std::vector<std::string> names;
  for (const BenchEntry& entry : Benchmarks()) names.emplace_back(entry.name);
  const std::vector<std::string> what = MatchNames("benchmark", inputs.what, names);
  BenchInputs shapes;
  for (const std::int64_t sessions : inputs.sessions) shapes.sessions.push_back(static_cast<int>(sessions));
  for (const std::int64_t context : inputs.contexts) shapes.contexts.push_back(static_cast<int>(context));
  for (const std::string& prompt : inputs.prompts) shapes.prompts.push_back(PrefillShapeFrom(prompt));
  std::vector<TimingGroup> groups;
  for (const Target& target : TargetsOf(bench, targets))
    groups.push_back({target, ListBenchmarks(target, shapes, what)});
  return groups;
}

std::vector<Case> CoveringCases(Workbench& bench, const TimingGroup& group) {
  std::vector<Case> cases;
  std::set<std::string> seen;
  for (const BenchCase& row : group.rows)
    for (Case& item : row.covering(bench))
      if (seen.insert(item.id()).second) cases.push_back(std::move(item));
  return cases;
}

}  // namespace assay
