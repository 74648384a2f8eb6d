#include "ci/assay/report_sink.h"

#include <fmt/core.h>

#include "ci/assay/commands.h"

namespace assay {

ReportSink::ReportSink(const std::string& path, const Report& begun) : path_(path) {
  if (!path.empty()) file_.emplace(path, begun);
}

void ReportSink::Update(const Report& so_far) {
  try {
    if (file_) file_->Update(so_far);
  } catch (const ReportError& error) {
    if (!complained_) fmt::print(stderr, "assay: {}\n", error.what());
    complained_ = true;
  }
}

int ReportSink::Finish(const Report& report, const ReportSummary& summary) {
  const int code = ExitCode(summary.verdict);
  try {
    if (!file_) return code;
    file_->Finish(report);
    fmt::print("report: {}\n", path_);
  } catch (const ReportError& error) {
    if (code != kExitFailure) throw;
    fmt::print(stderr, "assay: {}\n", error.what());
  }
  return code;
}

}  // namespace assay
