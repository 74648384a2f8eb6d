#include "ci/assay/report_sink.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <set>

#include "ci/assay/terminal.h"
#include "reports/render/export.h"

namespace assay {
namespace {

// The summaries of all commands of a step of a GitHub job are one file.
bool IsShared(const std::string& path) {
  const char* shared = std::getenv("GITHUB_STEP_SUMMARY");
  return shared != nullptr && path == shared;
}

// One file cannot hold two things: the last one written would be all that is left.
void RequireDifferent(std::initializer_list<std::string> paths) {
  std::set<std::filesystem::path> seen;
  for (const std::string& path : paths) {
    std::error_code error;
    const std::filesystem::path file = std::filesystem::weakly_canonical(path, error);
    if (!path.empty() && !seen.insert(error ? std::filesystem::path(path) : file).second)
      throw ReportError(fmt::format("{}: asked for twice: report, JUnit XML and summary are different files", path));
  }
}

// A file that cannot be replaced is no longer to be taken for this run's.
void Begin(const std::string& path, const std::function<void()>& write) {
  try {
    write();
  } catch (const ReportError& error) {
    std::error_code none;
    if (path.empty() || !std::filesystem::is_regular_file(path, none)) throw;
    throw ReportError(fmt::format("{}; what is there is not of this run", error.what()));
  }
}

}  // namespace

ReportSink::ReportSink(const std::string& path, const ExportArguments& exports, const Report& begun)
    : path_(path), exports_(exports) {
  RequireDifferent({path, exports.junit, exports.summary});
  if (std::error_code error;
      !exports.summary.empty() && IsShared(exports.summary) && std::filesystem::exists(exports.summary, error))
    before_ = ReadFile(exports.summary);
  Begin(path, [&] {
    if (!path.empty()) file_.emplace(path, begun);
  });
  Begin(exports.junit, [&] { WriteJunit(begun); });
  Begin(exports.summary, [&] { WriteSummary(begun); });
}

void ReportSink::Update(const Report& so_far) {
  try {
    if (file_) file_->Update(so_far);
  } catch (const ReportError& error) {
    if (!complained_) Complain(error.what());
    complained_ = true;
  }
}

int ReportSink::Finish(const Report& report, const ReportSummary& summary) {
  const int code = ExitCode(summary.verdict);
  std::string complaints;
  // One file that cannot be written does not cost the others.
  const auto attempt = [&](const char* what, const std::string& path, const auto& write) {
    if (path.empty()) return;
    try {
      write();
      Tell("{}: {}\n", what, path);
    } catch (const ReportError& error) {
      complaints += (complaints.empty() ? "" : "; ") + std::string(error.what());
    }
  };
  // As a reader of the report's file sees it: what is exported later is the same.
  const Report written = AsWritten(report);
  if (exports_.github) WriteOut(ExportGithub(written).text);
  attempt("report", path_, [&] { file_->Finish(report); });
  attempt("JUnit", exports_.junit, [&] { WriteJunit(written); });
  attempt("summary", exports_.summary, [&] { WriteSummary(written); });
  if (complaints.empty()) return code;
  if (code != kExitFailure) throw ReportError(complaints);
  Complain(complaints);
  return code;
}

void ReportSink::WriteJunit(const Report& report) const {
  if (!exports_.junit.empty()) WriteFileAtomically(exports_.junit, ExportJunit(report).text);
}

void ReportSink::WriteSummary(const Report& report) const {
  if (exports_.summary.empty()) return;
  const std::size_t room = kSummaryBytes - std::min(kSummaryBytes, before_.size());
  WriteFileAtomically(exports_.summary, before_ + ExportMarkdown(report, room).text);
}

}  // namespace assay
