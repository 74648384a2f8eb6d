// Runs the cases that cover benchmarks: each once, whichever benchmarks it covers.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "bench/support/bench_case.h"
#include "suites/support/runner.h"

namespace assay {

class CoverageRunner {
 public:
  // `done` receives every case that was run.
  explicit CoverageRunner(
      Workbench& bench, std::function<void(const ReportCase&)> done = [](const ReportCase&) {})
      : bench_(bench), runner_(bench), done_(std::move(done)) {}
  Coverage Run(const BenchCase& item);
  const ReportCase& Run(const Case& item) { return Outcomes(item).report; }
  // What two computations of a row may differ by. Asks the reference unless both are exact.
  void FillTolerance(const Target& target, BenchSetting* setting);
  // The same where any of the coverages passes, and frees what the cases hold on a device: engines need the room. Where
  // that fails nothing may be timed, and the coverages say why.
  void Ready(const Target& target, BenchSetting* setting, const std::vector<Coverage*>& coverages);
  bool Lost(const Device& device) const { return runner_.Lost(device); }

 private:
  struct Outcome {
    ReportCase report;
    std::vector<std::string> kernels;
  };
  const Outcome& Outcomes(const Case& item);

  Workbench& bench_;
  CaseRunner runner_;
  std::function<void(const ReportCase&)> done_;
  std::map<std::string, Outcome> outcomes_;  // by case id
};

}  // namespace assay
