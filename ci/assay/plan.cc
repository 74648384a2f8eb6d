#include "ci/assay/plan.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "ci/assay/case_run.h"
#include "ci/assay/selection.h"
#include "ci/assay/terminal.h"
#include "reports/environment/begin.h"
#include "reports/environment/build.h"
#include "reports/format/writer.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

constexpr double kCaseTimeout = 600;  // seconds, where nothing else is asked for
// Workers end at about the same time when each takes several pieces; a piece pays for loading its model again.
constexpr double kPiecesPerWorker = 6, kLeastPiece = 2;

SuiteInputs SuiteInputsOf(const PlanInputs& planned) {
  SuiteInputs inputs;
  inputs.models = planned.models;
  inputs.dtypes = PrecisionsOf(planned.dtypes);
  inputs.devices = {Device::FromName(planned.device)};
  inputs.seed = planned.seed;
  inputs.seeds = static_cast<int>(planned.seeds);
  inputs.batch_invariant = planned.batch_invariant;
  return inputs;
}

PlanInputs InputsOf(const RunArguments& arguments, const SuiteInputs& inputs, const TimingInputs& timing) {
  PlanInputs planned;
  planned.models = inputs.models;
  planned.suites = arguments.suites;
  for (const Precision precision : inputs.dtypes) planned.dtypes.emplace_back(Name(precision));
  planned.patterns = arguments.patterns;
  planned.excluded = arguments.excluded;
  planned.device = inputs.devices.front().kind_name();
  planned.seed = inputs.seed;
  planned.seeds = inputs.seeds;
  planned.batch_invariant = inputs.batch_invariant;
  planned.timing = timing;
  return planned;
}

// Expected seconds of each case: as an earlier run had them, where it had them, and rough ones in that run's measure.
class Durations {
 public:
  Durations(const std::string& report, Workbench& bench, const std::vector<Case>& cases) : bench_(bench) {
    if (report.empty()) return;
    for (const ReportCase& item : FromJson(ReadFile(report)).cases) known_[item.id()] = item.duration_s;
    double known = 0, rough = 0;
    for (const Case& item : cases)
      if (const auto found = known_.find(item.id()); found != known_.end())
        known += found->second, rough += RoughSeconds(bench, item);
    if (rough > 0) scale_ = known / rough;
  }
  double Of(const Case& item) const {
    const auto found = known_.find(item.id());
    return found != known_.end() ? found->second : scale_ * RoughSeconds(bench_, item);
  }

 private:
  Workbench& bench_;
  std::map<std::string, double> known_;
  double scale_ = 1;
};

// The group, or about equal pieces of it that last no longer than `longest`.
std::vector<PlanGroup> Cut(const CaseGroup& group, double timeout_s, double longest, const Durations& durations) {
  std::vector<double> seconds;
  double all = 0;
  for (const Case& item : group.cases) all += seconds.emplace_back(durations.Of(item));
  const double pieces = longest > 0 ? std::max(1.0, std::round(all / std::max(longest, kLeastPiece))) : 1;
  std::vector<PlanGroup> cut;
  double done = 0;
  for (std::size_t i = 0; i < group.cases.size(); ++i) {
    if (cut.empty() || (all > 0 && done >= all / pieces * static_cast<double>(cut.size())))
      cut.push_back({group.model, group.device, static_cast<std::int64_t>(group.memory_bytes), 0, timeout_s, {}});
    cut.back().cases.push_back(group.cases[i].id());
    cut.back().seconds += seconds[i];
    done += seconds[i];
  }
  return cut;
}

// What the plan times, without which the cases are.
std::vector<TimingGroup> TimingOf(const PlanInputs& planned, Workbench& bench, std::vector<Case>* cases) {
  if (planned.timing.what.empty()) return {};
  SuiteInputs targets = SuiteInputsOf(planned);
  targets.seeds = 1;
  std::vector<TimingGroup> groups = TimingGroupsOf(bench, targets, planned.timing);
  std::set<std::string> covering;
  for (const TimingGroup& group : groups)
    for (const Case& item : CoveringCases(bench, group)) covering.insert(item.id());
  std::erase_if(*cases, [&](const Case& item) { return covering.contains(item.id()); });
  return groups;
}

// The cases that cover the rows, then the rows, each of which is warmed up and timed.
PlanGroup TimedGroup(const TimingGroup& timing, double seconds, double timeout_s, Workbench& bench) {
  PlanGroup group{timing.target.label, timing.target.device.kind_name(), 0, 0, timeout_s, {}};
  for (const CaseGroup& covering : GroupCases(bench, CoveringCases(bench, timing))) {
    group.memory_bytes = std::max(group.memory_bytes, static_cast<std::int64_t>(covering.memory_bytes));
    group.seconds += covering.seconds;
    for (const Case& item : covering.cases) group.cases.push_back(item.id());
  }
  for (const BenchCase& row : timing.rows) group.rows.push_back(row.id());
  group.seconds += 2 * seconds * static_cast<double>(group.rows.size());
  return group;
}

}  // namespace

Plan MakePlan(const RunArguments& arguments, const PlanArguments& asked, const Invocation& invocation,
              const CaseLister& list) {
  Workbench bench;
  const SuiteInputs inputs = InputsOf(arguments);
  std::vector<Case> cases = list(bench, inputs, arguments.suites);
  const Report begun = BeginReport("run", invocation.argc, invocation.argv);
  Plan plan;
  plan.run_id = begun.run_id;
  plan.nonce = NewRunId();
  plan.created = begun.started;
  plan.argv = begun.argv;
  plan.build = begun.environment.build;
  plan.inputs = InputsOf(arguments, inputs, asked.timing);
  plan.gpu = asked.gpu;
  plan.listed = static_cast<std::int64_t>(cases.size());
  std::set<std::string> listed;
  for (const Case& item : cases) listed.insert(item.id());
  cases = Selected(std::move(cases), arguments);
  const std::vector<TimingGroup> timing = TimingOf(plan.inputs, bench, &cases);
  std::vector<Target> targets;
  for (const Case& item : cases) targets.push_back(item.target);
  for (const TimingGroup& group : timing) targets.push_back(group.target);
  plan.models = ModelsOf(bench, targets);
  const Durations durations(asked.durations_from, bench, cases);
  double seconds = 0;
  for (const Case& item : cases) seconds += durations.Of(item);
  const double longest = asked.workers > 1 ? seconds / (static_cast<double>(asked.workers) * kPiecesPerWorker) : 0;
  const double timeout_s = arguments.control.timeout_s > 0 ? arguments.control.timeout_s : kCaseTimeout;
  const std::vector<CaseGroup> groups = GroupCases(bench, std::move(cases));
  RequireHostMemory(groups);
  for (const CaseGroup& group : groups)
    for (PlanGroup& piece : Cut(group, timeout_s, longest, durations)) plan.groups.push_back(std::move(piece));
  for (const TimingGroup& group : timing) {
    plan.groups.push_back(TimedGroup(group, asked.timing.seconds, timeout_s, bench));
    for (const std::string& id : plan.groups.back().cases) plan.listed += listed.insert(id).second ? 1 : 0;
  }
  if (asked.bundles > 0) plan.bundles = Bundled(plan.groups, static_cast<std::size_t>(asked.bundles));
  return plan;
}

Listing ListingOf(const PlanInputs& planned, Workbench& bench, const CaseLister& list) {
  Listing listing;
  listing.cases = SelectCases(list(bench, SuiteInputsOf(planned), planned.suites), planned.patterns, planned.excluded);
  listing.timing = TimingOf(planned, bench, &listing.cases);
  return listing;
}

std::vector<std::string> PopulationOf(const PlanInputs& inputs, const CaseLister& list) {
  Workbench bench;
  std::vector<std::string> ids;
  const Listing listing = ListingOf(inputs, bench, list);
  for (const Case& item : listing.cases) ids.push_back(item.id());
  for (const TimingGroup& group : listing.timing) {
    for (const Case& item : CoveringCases(bench, group)) ids.push_back(item.id());
    for (const BenchCase& row : group.rows) ids.push_back(row.id());
  }
  return ids;
}

void RequireOwnPlan(const Plan& plan, const std::string& file) {
  const BuildInfo build = ThisBuild();
  Require(
      plan.build.build_id == build.build_id,
      "plan {}: made by build {:.12} of commit {:.12}, this is build {:.12} of commit {:.12}: all who take part must "
      "run one program",
      file, plan.build.build_id, plan.build.commit, build.build_id, build.commit);
}

int PlanCommand(const RunArguments& arguments, const PlanArguments& asked, const Invocation& invocation,
                const CaseLister& list) {
  const Plan plan = MakePlan(arguments, asked, invocation, list);
  if (plan.groups.empty()) {
    Tell("no case was selected of {} listed\n", plan.listed);
    return kExitIncomplete;
  }
  WriteFileAtomically(asked.out, PlanText(plan));
  Table table(">>><<>>", {"group", "cases", "rows", "model", "device", "memory", "about"});
  for (const std::int64_t at : LongestFirst(plan.groups)) {
    const PlanGroup& group = plan.groups[static_cast<std::size_t>(at)];
    table.Add({fmt::format("{}", at), fmt::format("{}", group.cases.size()), fmt::format("{}", group.rows.size()),
               group.model, group.device, HumanBytes(static_cast<double>(group.memory_bytes)),
               fmt::format("{:.1f} s", group.seconds)});
  }
  table.Print(stdout);
  std::size_t rows = 0;
  for (const PlanGroup& group : plan.groups) rows += group.rows.size();
  Tell("plan: {}: {} cases{} in {} groups{}, hash {:.12}\n", asked.out, CasesOf(plan),
       rows == 0 ? "" : fmt::format(" and {} rows", rows), plan.groups.size(),
       plan.bundles.empty() ? "" : fmt::format(", {} bundles", plan.bundles.size()), PlanHash(plan));
  return kExitPass;
}

}  // namespace assay
