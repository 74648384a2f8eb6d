#include <fmt/core.h>

#include "ci/assay/commands.h"
#include "ci/assay/terminal.h"
#include "reports/check.h"
#include "reports/report.h"
#include "reports/writer.h"

namespace assay {

int ValidateCommand(const std::string& file) {
  const std::string text = ReadFile(file);
  const Report report = FromJson(text);
  std::vector<std::string> problems = SchemaProblems(text);
  // Contradictions are only looked for in a report of the right shape.
  if (problems.empty()) problems = ConsistencyProblems(text);
  for (const std::string& problem : problems) fmt::print("{}: {}\n", file, problem);
  if (!problems.empty()) return kExitFailure;
  const ReportSummary summary = Summarise(report);
  fmt::print("{}: valid, {}, {} cases, commit {}{}\n", file, Painted(summary.verdict, summary.verdict, stdout),
             report.cases.size(), report.build.commit, report.build.dirty ? " (dirty)" : "");
  for (const std::string& problem : report.problems) fmt::print("  not complete: {}\n", problem);
  return report.complete ? kExitPass : kExitIncomplete;
}

}  // namespace assay
