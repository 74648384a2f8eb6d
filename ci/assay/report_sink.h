// The report file of a run, or none.
#pragma once

#include <optional>
#include <string>

#include "reports/format/report.h"
#include "reports/format/writer.h"

namespace assay {

// What cannot be written in between is said on stderr and tried again at the end: a full disk costs the file, not the
// run.
class ReportSink {
 public:
  // Throws ReportError when `path` cannot be written. Empty: nothing is.
  ReportSink(const std::string& path, const Report& begun);
  void Update(const Report& so_far);
  // Says where the report is and returns the exit code of the verdict. Throws ReportError when it cannot be written,
  // but for a run that failed: that is said, and the code stays.
  int Finish(const Report& report, const ReportSummary& summary);

 private:
  std::string path_;
  std::optional<ReportFile> file_;
  bool complained_ = false;
};

}  // namespace assay
