#include "ci/assay/report_sink.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <set>

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

}  // namespace

ReportSink::ReportSink(const std::string& path, const ExportArguments& exports, const Report& begun)
    : path_(path), exports_(exports) {
  RequireDifferent({path, exports.junit, exports.summary});
  if (std::error_code error;
      !exports.summary.empty() && IsShared(exports.summary) && std::filesystem::exists(exports.summary, error))
    before_ = ReadFile(exports.summary);
  if (!path.empty()) file_.emplace(path, begun);
  WriteJunit(begun);
  WriteSummary(begun);
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
  std::string complaints;
  // One file that cannot be written does not cost the others.
  const auto attempt = [&](const char* what, const std::string& path, const auto& write) {
    if (path.empty()) return;
    try {
      write();
      fmt::print("{}: {}\n", what, path);
    } catch (const ReportError& error) {
      complaints += (complaints.empty() ? "" : "; ") + std::string(error.what());
    }
  };
  // As a reader of the report's file sees it: what is exported later is the same.
  const Report written = AsWritten(report);
  if (exports_.github) fmt::print("{}", ExportGithub(written).text);
  attempt("report", path_, [&] { file_->Finish(report); });
  attempt("JUnit", exports_.junit, [&] { WriteJunit(written); });
  attempt("summary", exports_.summary, [&] { WriteSummary(written); });
  if (complaints.empty()) return code;
  if (code != kExitFailure) throw ReportError(complaints);
  fmt::print(stderr, "assay: {}\n", complaints);
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
