// Runs cases one after the other and turns what happens into outcomes and report entries. Nothing a case throws ends
// the run.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "reports/report.h"
#include "suites/support/case.h"

namespace assay {

// A word for a POSIX shell, in quotes unless it needs none.
std::string Quoted(const std::string& word);

// Runs cases of one process. Remembers which devices are absent or lost, so that each is asked once.
class CaseRunner {
 public:
  // Never throws. What the case returns, except that
  //   - a case whose device is not there is skipped with the reason,
  //   - an exception is status kError with its text; after a lost device every further case of that device is kError
  //   too,
  //   - a pass without judgements, or with a VOID or WRONG one, proves nothing or lies: kFail,
  //   - a status other than kPass always has a reason.
  // `seconds` is measured here.
  CaseOutcome Run(const Case& item);

 private:
  CaseOutcome Guarded(const Case& item);
  std::map<std::string, std::string> absent_;  // device: why; empty = present
  std::map<std::string, std::string> lost_;    // device: text of the error that lost it
};

// "pass", "fail", "skip", "error".
const char* Name(CaseOutcome::Status status);

// One shell line that runs this case alone.
std::string ReplayLine(const Case& item, std::uint64_t seed);

ReportCase ToReport(const Case& item, const CaseOutcome& outcome, std::string replay);

struct RunOptions {
  std::function<std::string(const Case&)> replay;
  std::function<void(std::size_t index, const Case&)> before;  // may be null
  std::function<void(const ReportCase&)> after;                // may be null
};
std::vector<ReportCase> RunCases(const std::vector<Case>& cases, const RunOptions& options);

// The cases whose id equals `pattern`, or matches it where it has wildcards (* and ?). An empty pattern selects all.
std::vector<Case> SelectCases(std::vector<Case> cases, const std::string& pattern);

}  // namespace assay
