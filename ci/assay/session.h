// What running cases from the command line takes, whichever command selected them: progress, report file, table, exit
// code.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ci/assay/commands.h"
#include "reports/report.h"
#include "reports/writer.h"
#include "suites/support/case.h"

namespace assay {

// Each name once, in the order given.
std::vector<std::string> Distinct(const std::vector<std::string>& names);

// Where the models' weights come from, each once. Opens their headers.
std::vector<ModelInfo> ModelsOf(const std::vector<std::string>& models, std::uint64_t seed);
// Asked before a run, so that a device lost in it is still named.
std::vector<DeviceInfo> DevicesOf(const std::vector<std::string>& kinds);
// On stdout, when the case failed or broke.
void PrintFailure(const ReportCase& item);

// The report file of a run, or none. What cannot be written in between is said on stderr and tried again at the end: a
// full disk costs the file, not the run.
class KeptReport {
 public:
  // Throws ReportError when `path` cannot be written. Empty: nothing is.
  KeptReport(const std::string& path, const Report& begun);
  void Update(const Report& so_far);
  // Says where the report is and returns the exit code of the verdict. Throws ReportError when it cannot be written,
  // but for a run that failed: that is said, and the code stays.
  int Finish(const Report& report, const ReportSummary& summary);

 private:
  std::string path_;
  std::optional<ReportFile> file_;
  bool complained_ = false;
};

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
