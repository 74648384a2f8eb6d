#include "bench/support/coverage.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace assay {

const CoverageRunner::Outcome& CoverageRunner::Outcomes(const Case& item) {
  const auto known = outcomes_.find(item.id());
  if (known != outcomes_.end()) return known->second;
  const CaseOutcome outcome = runner_.Run(item);
  const Outcome& kept =
      outcomes_.emplace(item.id(), Outcome{ToReport(item, outcome, ReplayLine(item)), outcome.kernels}).first->second;
  done_(kept.report);
  return kept;
}

Coverage CoverageRunner::Run(const BenchCase& item) {
  const std::vector<Case> cases = item.covering(bench_);
  Coverage coverage;
  if (cases.empty()) {
    coverage.reason =
        fmt::format("no suite can judge {} on the {}", item.axes.Text("model"), item.target.device.kind_name());
    return coverage;
  }
  coverage = {Status::kPass, "", Verdict::kMatch, {}, {}};
  for (const Case& one : cases) {
    const Outcome& outcome = Outcomes(one);
    coverage.cases.push_back(outcome.report.id());
    coverage.kernels.insert(outcome.kernels.begin(), outcome.kernels.end());
    coverage.verdict = Worse(coverage.verdict, CaseVerdict(outcome.report));
    if (outcome.report.status <= coverage.status) continue;
    coverage.status = outcome.report.status;
    coverage.reason = fmt::format("{}: {}", outcome.report.id(), outcome.report.reason);
  }
  return coverage;
}

void CoverageRunner::FillTolerance(const Target& target, BenchSetting* setting) {
  if (target.exact()) return;
  const LogitTolerance& tolerance = bench_.references().Tolerance(target);
  setting->spread = tolerance.Between().hard;
  setting->tie = tolerance.TieBetween();
}

void CoverageRunner::Ready(const Target& target, BenchSetting* setting, const std::vector<Coverage*>& coverages) {
  const auto passes = [](const Coverage* coverage) { return coverage->status == Status::kPass; };
  if (std::none_of(coverages.begin(), coverages.end(), passes)) return;
  try {
    FillTolerance(target, setting);
    bench_.ReleaseDevice();
  } catch (const std::exception& error) {
    for (Coverage* coverage : coverages)
      if (passes(coverage)) coverage->status = Status::kError, coverage->reason = error.what();
  }
}

}  // namespace assay
