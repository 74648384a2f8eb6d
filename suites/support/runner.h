// Runs cases one after the other and turns what happens into outcomes and report entries. Nothing a case throws ends
// the run.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "reports/format/report.h"
#include "suites/support/case.h"

namespace assay {

// Runs cases of one process. Remembers which devices are absent or lost, so that each is asked once.
class CaseRunner {
 public:
  explicit CaseRunner(Workbench& bench) : bench_(bench) {}

  // Never throws. What the case's checks say, except that
  //   - a case whose device is not there, or that needs what the system under test lacks, is skipped with the reason,
  //   - so is one that may not fit and does not, and one that throws CannotBeSeen,
  //   - any other exception is status kError with its text; after a lost device every further case of that device is
  //     kError too,
  //   - a pass without judgements, or with a VOID or WRONG one, proves nothing or lies: kFail,
  //   - a status other than kPass always has a reason.
  // `seconds` is measured here.
  CaseOutcome Run(const Case& item);
  // Whether a case lost the device: nothing more can run on it in this process.
  bool Lost(const Device& device) const { return lost_.contains(device.name()); }

 private:
  CaseOutcome Guarded(const Case& item);

  Workbench& bench_;
  std::map<std::string, std::string> absent_;  // device: why; empty = present
  std::map<std::string, std::string> lost_;    // device: text of the error that lost it
};

// One shell line that runs this case alone.
std::string ReplayLine(const Case& item);

ReportCase ToReport(const Case& item, const CaseOutcome& outcome, std::string replay);

struct RunOptions {
  std::function<std::string(const Case&)> replay;
  std::function<void(const Case&)> before;       // may be null
  std::function<void(const ReportCase&)> after;  // may be null
  std::function<bool()> stop{};                  // may be null; asked after each case
};
// Group after group; what belongs to the models of one group is freed before the next.
std::vector<ReportCase> RunGroups(Workbench& bench, const std::vector<CaseGroup>& groups, const RunOptions& options);

// The cases whose id equals `pattern`, or matches it where it has wildcards (* and ?). An empty pattern selects all.
std::vector<Case> SelectCases(std::vector<Case> cases, const std::string& pattern);
// The cases that any of `patterns` selects (all when there is none), without those that any of `excluded` names by
// their id or by their suite.
std::vector<Case> SelectCases(std::vector<Case> cases, const std::vector<std::string>& patterns,
                              const std::vector<std::string>& excluded = {});

}  // namespace assay
