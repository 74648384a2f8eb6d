// What the suites say of a benchmark before it is timed.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "bench/support/bench_case.h"
#include "reports/report.h"
#include "suites/support/runner.h"
#include "suites/support/subject.h"

namespace assay {

// The cases of `all` that vouch for a benchmark of this path with n sessions: those that compare the same path with the
// reference, for the number of sessions nearest to n. May be none. Throws InputError when a suite that is listed lacks
// one that is needed.
std::vector<Case> ParityCases(const std::vector<Case>& all, BenchPath path, int n);

// Judges the benchmarks of one subject by cases of the suites, each of which runs once.
class ParityGate {
 public:
  // `done` receives every case that was run.
  ParityGate(const Subject& subject, std::function<void(const ReportCase&)> done);
  Parity Judge(const BenchCase& item);
  // What two computations of a row may differ by, for BenchSetting. Asks the reference unless both are exact.
  void FillTolerance(BenchSetting* setting) const;
  std::size_t listed() const { return all_.size(); }

 private:
  const ReportCase& Outcome(const Case& item);

  Subject subject_;
  std::function<void(const ReportCase&)> done_;
  std::vector<Case> all_;
  CaseRunner runner_;
  std::map<std::string, ReportCase> outcomes_;  // by case id
};

}  // namespace assay
