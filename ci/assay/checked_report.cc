#include "ci/assay/checked_report.h"

#include <iostream>
#include <iterator>

#include "reports/format/check.h"
#include "reports/format/writer.h"

namespace assay {
namespace {

std::string TextOf(const std::string& file) {
  if (file != "-") return ReadFile(file);
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

}  // namespace

CheckedReport ReadChecked(const std::string& file) {
  std::string text = TextOf(file);
  CheckedReport checked{FromJson(text), SchemaProblems(text), {}};
  // Contradictions are only looked for in a report of the right shape.
  if (checked.problems.empty()) checked.problems = ConsistencyProblems(text);
  checked.text = std::move(text);
  return checked;
}

}  // namespace assay
