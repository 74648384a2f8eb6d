#include "ci/assay/checked_report.h"

#include <unistd.h>

#include "reports/format/check.h"
#include "reports/format/writer.h"

namespace assay {
namespace {

std::string TextOf(const std::string& file) {
  if (file != "-") return ReadFile(file);
  return ReadStream(STDIN_FILENO, file);
}

}  // namespace

CheckedReport ReadChecked(const std::string& file) {
  std::string text = TextOf(file);
  CheckedReport checked{FromJson(text), {}, {}};
  checked.problems = ReportProblems(text, &checked.report);
  checked.text = std::move(text);
  return checked;
}

}  // namespace assay
