#include <fmt/core.h>

#include "ci/assay/checked_report.h"
#include "ci/assay/commands.h"
#include "ci/assay/environment.h"
#include "ci/assay/terminal.h"
#include "engine/ops/ops_factory.h"
#include "reports/environment/begin.h"
#include "reports/format/report.h"
#include "reports/format/writer.h"

namespace assay {
namespace {

// Of another report, or of a run of the same kind on this machine that would ask for the same device.
Environment OtherEnvironment(const std::string& comparable, const Report& report) {
  if (comparable != "here") return FromJson(ReadFile(comparable)).environment;
  Environment here = BeginReport(report.kind, 0, nullptr).environment;
  if (report.kind == "run" || report.kind == "golden") here.variables.try_emplace(kWaitPolicy, kPassive);
  Workbench bench;
  DescribeDevice(ResolveDevice(report.environment.device_asked), bench, &here);
  return here;
}

// Every field that differs; numbers may be compared when there is none.
int Compare(const ValidateArguments& arguments, const std::string& file, const Report& report) {
  const auto differences = ComparabilityDifferences(report.environment, OtherEnvironment(arguments.comparable, report));
  for (const std::string& difference : differences) Tell("  differs: {}\n", difference);
  if (!differences.empty())
    Tell("{}: not comparable with {}\n", file, arguments.comparable);
  else
    Tell("{}: comparable with {}\n", file, arguments.comparable);
  return differences.empty() ? kExitPass : kExitNotComparable;
}

int Validate(const std::string& file, const ValidateArguments& arguments) {
  const auto [report, problems, text] = ReadChecked(file);
  for (const std::string& problem : problems) Tell("{}: {}\n", file, problem);
  if (!problems.empty()) return kExitFailure;
  const ReportSummary summary = Summarise(report);
  const BuildInfo& build = report.environment.build;
  Tell("{}: valid, {}, {} cases, {} rows, argmax {} of {}, commit {}{}\n", file,
       Colorized(summary.verdict, summary.verdict, stdout), report.cases.size(), report.benchmarks.size(),
       summary.argmax.judged, summary.argmax.rows, build.commit, build.dirty ? " (dirty)" : "");
  for (const std::string& problem : report.problems) Tell("  not complete: {}\n", problem);
  if (arguments.require_pass && summary.verdict != "PASS") {
    Tell("{}: {}, and a pass is required\n", file, summary.verdict);
    return ExitCode(summary.verdict);
  }
  if (!report.complete) return kExitIncomplete;
  return arguments.comparable.empty() ? kExitPass : Compare(arguments, file, report);
}

// What several reports come to: a lie or a failure is worse than what could not be told.
int Worse(int a, int b) {
  for (const int code : {kExitFailure, kExitUsage, kExitNotComparable, kExitIncomplete, kExitInconclusive})
    if (a == code || b == code) return code;
  return kExitPass;
}

}  // namespace

int ValidateCommand(const ValidateArguments& arguments) {
  if (arguments.files.size() == 1) return Validate(arguments.files.front(), arguments);
  int code = kExitPass;
  for (const std::string& file : arguments.files) {
    int found = kExitPass;
    try {
      found = Validate(file, arguments);
    } catch (const ReportVersionError& error) {
      Tell("{}: {}\n", file, error.what());
      found = kExitNotComparable;
    } catch (const ReportError& error) {
      Tell("{}: {}\n", file, error.what());
      found = kExitUsage;
    }
    code = Worse(code, found);
  }
  return code;
}

}  // namespace assay
