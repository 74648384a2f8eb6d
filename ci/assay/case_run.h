// What running cases from the command line takes, whichever command selected them: progress, failures, report, table,
// exit code.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ci/assay/commands.h"
#include "reports/format/report.h"
#include "suites/support/case.h"

namespace assay {

// The modes of these names, each once; * and ? match several. Throws InputError.
std::vector<Precision> PrecisionsOf(const std::vector<std::string>& names);

// Where the models' weights come from, each once. Opens their headers.
std::vector<ModelInfo> ModelsOf(Workbench& bench, const std::vector<Target>& targets);

// On stdout, when the case failed or broke off: the cause, one comparison a line, and the line that replays it.
void PrintFailure(const ReportCase& item, const std::string& replay);

// Why the device that must be there is not; empty when it is, or when none must be.
std::string RequiredMissing(const RunControl& control);

// A model that a host cannot hold would be made for minutes and then end the process. Throws InputError.
void RequireHostMemory(const std::vector<CaseGroup>& groups);

struct CaseRun {
  std::string kind;         // of the report
  std::vector<Case> cases;  // selected
  std::size_t listed = 0;   // before selection
  Device device;            // asked for
  std::uint64_t seed = 0;
  std::string report;  // file; empty: none
  ExportArguments exports{};
  std::vector<RunMeasure> measures{};
  std::function<std::string(const Case&)> replay;
  RunControl control{};
  std::vector<std::string> notes{};                  // for people, behind the table: suites that list no case, and why
  std::function<std::string(const Case&)> begins{};  // where a failure begins, in a line; null: not asked
  bool seeds = false;                                // they are an axis: what flipped between them is said
};

// Runs the cases, prints failures and the table on stdout, writes the report, returns the exit code.
int RunAndReport(Workbench& bench, CaseRun run, const Invocation& invocation);

}  // namespace assay
