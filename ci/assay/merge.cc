#include <fmt/core.h>

#include "ci/assay/bench_table.h"
#include "ci/assay/commands.h"
#include "ci/assay/plan.h"
#include "ci/assay/terminal.h"
#include "ci/spread/run_folder.h"
#include "reports/format/digest.h"
#include "reports/format/writer.h"

namespace assay {
namespace {

struct Folder {
  Folder(const MergeArguments& arguments, const CaseLister& list)
      : file(arguments.plan.empty() ? arguments.folder + "/plan.json" : arguments.plan),
        plan(ReadPlan(file)),
        input(MergeInputOf(plan, file, arguments.folder, PopulationOf(plan.inputs, list), "assay")) {}
  const std::string file;
  const Plan plan;
  const MergeInput input;
};

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
  const Folder folder(arguments, list);
  const MergeResult merged = Merge(folder.input);
  const Report& report = merged.rest;
  PrintProblems(report);
  PrintSuperseded(report);
  const bool whole = merged.problems.empty();
  if (!whole && !arguments.allow_partial) {
    Tell("not merged: {} problem(s), {} of {} cases; --allow-partial writes an incomplete report\n",
         merged.problems.size(), merged.totals.tally.cases(), report.selected);
    return kExitIncomplete;
  }
  AtomicFile file(arguments.report);
  WriteReport(report, merged.totals, merged.cases, [&](std::string_view piece) { file.Write(piece); });
  file.Place();
  PrintRows(report);
  const std::string verdict = merged.totals.tally.Summarise(report).verdict;
  Tell("{}: {} of {} cases in {} groups\nreport: {}\n", Colorized(verdict, verdict, stdout),
       merged.totals.tally.cases(), report.selected, report.distribution->groups.size(), arguments.report);
  const int code = ExitCode(verdict);
  return whole || code != kExitPass ? code : static_cast<int>(kExitIncomplete);
}

int VerifyCommand(const MergeArguments& arguments, const CaseLister& list) {
  const Folder folder(arguments, list);
  const MergeResult merged = Merge(folder.input);
  PrintProblems(merged.rest);
  if (!merged.problems.empty()) return kExitIncomplete;
  Sha256Stream found, expected;
  ReadPieces(arguments.report, [&](std::string_view piece) { found.Add(piece); });
  WriteReport(merged.rest, merged.totals, merged.cases, [&](std::string_view piece) { expected.Add(piece); });
  if (found.Hex() != expected.Hex()) {
    Tell("{}: not what the shard files of {} give\n", arguments.report, arguments.folder);
    return kExitFailure;
  }
  Tell("{}: follows from its plan and {} shard files, byte for byte\n", arguments.report,
       merged.rest.distribution->groups.size());
  return kExitPass;
}

}  // namespace assay
