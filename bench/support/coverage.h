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
  CoverageRunner(Workbench& bench, std::function<void(const ReportCase&)> done)
      : bench_(bench), runner_(bench), done_(std::move(done)) {}
  Coverage Run(const BenchCase& item);
  // What two computations of a row may differ by. Asks the reference unless both are exact.
  void FillTolerance(const Target& target, BenchSetting* setting);

 private:
  struct Outcome {
    ReportCase report;
    std::vector<std::string> kernels;
  };
  const Outcome& Run(const Case& item);

  Workbench& bench_;
  CaseRunner runner_;
  std::function<void(const ReportCase&)> done_;
  std::map<std::string, Outcome> outcomes_;  // by case id
};

}  // namespace assay
