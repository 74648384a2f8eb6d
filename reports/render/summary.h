// A run's cases by suite and device, for tables.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "reports/format/report.h"

namespace assay {

struct SuiteSummary {
  std::string suite, device;
  std::int64_t cases = 0;
  std::map<Status, std::int64_t> statuses;  // every status, also with 0
  std::optional<Verdict> verdict;           // the worst of the cases that ran; nothing when none did
  ArgmaxRows argmax;
  std::optional<double>
      headroom;  // the largest of any judgement of a case that ran; infinite for one that is no number
  double seconds = 0;
};

// In the order in which suites and devices first appear.
std::vector<SuiteSummary> SummariseSuites(const Report& report);
// Of all cases of a report, under no name.
SuiteSummary SummariseCases(const Report& report);

// The first row is the header: suite, device, cases, pass, fail, error, skip, verdict, argmax ("412/1024"), headroom,
// time.
std::vector<std::vector<std::string>> SuiteTable(const Report& report);

// "412/1024"; "-" when no row could have been judged.
std::string Printed(const ArgmaxRows& rows);
// "0.42"; "-" without one.
std::string PrintedHeadroom(const std::optional<double>& headroom);

}  // namespace assay
