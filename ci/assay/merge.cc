#include <fmt/core.h>

#include "ci/assay/commands.h"
#include "ci/assay/plan.h"
#include "ci/assay/terminal.h"
#include "ci/spread/run_folder.h"
#include "engine/base/check.h"
#include "reports/format/writer.h"

namespace assay {
namespace {

struct Merged {
  MergeResult result;
  std::string text;  // of the report
};

Merged MergeFolder(const MergeArguments& arguments, const CaseLister& list) {
  const std::string file = arguments.plan.empty() ? arguments.folder + "/plan.json" : arguments.plan;
  const Plan plan = ReadPlan(file);
  const MergeInput input = MergeInputOf(plan, file, arguments.folder, PopulationOf(plan.inputs, list), "assay");
  Merged merged{assay::Merge(input), ""};
  merged.text = ToJson(merged.result.report);
  return merged;
}

void PrintProblems(const Report& report) {
  for (const std::string& problem : report.problems) Tell("{}\n", problem);
}

// Late results of leases that were given to somebody else.
void PrintSuperseded(const Report& report) {
  for (std::size_t i = 0; i < report.distribution->groups.size(); ++i)
    for (const ShardAttempt& attempt : report.distribution->groups[i].attempts)
      if (attempt.state == "superseded")
        Tell("superseded: group {}, attempt {} on host {}, file {}: kept, not merged\n", i, attempt.attempt,
             attempt.host, attempt.file);
}

}  // namespace

int MergeCommand(const MergeArguments& arguments, const CaseLister& list) {
  const Merged merged = MergeFolder(arguments, list);
  const Report& report = merged.result.report;
  PrintProblems(report);
  PrintSuperseded(report);
  const bool whole = merged.result.problems.empty();
  if (!whole && !arguments.allow_partial) {
    Tell("not merged: {} problem(s), {} of {} cases; --allow-partial writes an incomplete report\n",
         merged.result.problems.size(), report.cases.size(), report.selected);
    return kExitIncomplete;
  }
  WriteFileAtomically(arguments.report, merged.text);
  const std::string verdict = Summarise(report).verdict;
  Tell("{}: {} of {} cases in {} groups\nreport: {}\n", Colorized(verdict, verdict, stdout), report.cases.size(),
       report.selected, report.distribution->groups.size(), arguments.report);
  const int code = ExitCode(verdict);
  return whole || code != kExitPass ? code : static_cast<int>(kExitIncomplete);
}

int VerifyCommand(const MergeArguments& arguments, const CaseLister& list) {
  const Merged merged = MergeFolder(arguments, list);
  PrintProblems(merged.result.report);
  if (!merged.result.problems.empty()) return kExitIncomplete;
  if (ReadFile(arguments.report) != merged.text) {
    Tell("{}: not what the shard files of {} give\n", arguments.report, arguments.folder);
    return kExitFailure;
  }
  Tell("{}: follows from its plan and {} shard files, byte for byte\n", arguments.report,
       merged.result.report.distribution->groups.size());
  return kExitPass;
}

}  // namespace assay
