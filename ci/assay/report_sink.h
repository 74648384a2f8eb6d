// The report file of a run and its exports, or none.
#pragma once

#include <optional>
#include <string>

#include "ci/assay/commands.h"
#include "reports/format/report.h"
#include "reports/format/writer.h"

namespace assay {

// What cannot be written in between is said on stderr and tried again at the end: a full disk costs the file, not the
// run.
class ReportSink {
 public:
  // Writes everything as it stands: a run that dies leaves no export of an earlier one for its own. Throws ReportError
  // when one cannot be written. Empty paths: nothing is.
  ReportSink(const std::string& path, const ExportArguments& exports, const Report& begun);
  void Update(const Report& so_far);
  // Says where the files are, prints annotations and returns the exit code of the verdict. Throws ReportError when one
  // cannot be written, but for a run that failed: that is said, and the code stays.
  int Finish(const Report& report, const ReportSummary& summary);

 private:
  void WriteJunit(const Report& report) const;
  void WriteSummary(const Report& report) const;

  const std::string path_;
  const ExportArguments exports_;
  std::string before_;  // what the summary's file holds of others
  std::optional<ReportFile> file_;
  bool complained_ = false;
};

}  // namespace assay
