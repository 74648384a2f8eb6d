// What running cases from the command line takes, whichever command selected them: progress, report file, table, exit
// code.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ci/assay/commands.h"
#include "reports/report.h"
#include "suites/support/case.h"

namespace assay {

// "auto" becomes the best device present; other names pass.
std::string BestDevice(const std::string& asked);

// Where the models' weights come from, each once. Opens their headers.
std::vector<ModelInfo> ModelsOf(const std::vector<std::string>& models, std::uint64_t seed);
// Asked before a run, so that a device lost in it is still named.
std::vector<DeviceInfo> DevicesOf(const std::vector<std::string>& kinds);
// On stdout, when the case failed or broke.
void PrintFailure(const ReportCase& item);

struct CaseRun {
  std::string kind;         // of the report
  std::vector<Case> cases;  // selected
  std::size_t listed = 0;   // before selection
  std::vector<std::string> devices;
  std::uint64_t seed = 0;
  std::string report;  // file; empty: none
  std::function<std::string(const Case&)> replay;
};

// Runs the cases, prints failures and the table on stdout, writes the report, returns the exit code.
int RunAndReport(const CaseRun& run, const Invocation& invocation);

}  // namespace assay
