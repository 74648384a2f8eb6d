#include "bench/support/evidence.h"

#include <algorithm>
#include <utility>

namespace assay {
namespace {

bool IsOf(const ReportBenchmark& row, const BenchCase& item) {
  const std::string id = item.id(), found = row.id();
  return row.name == item.name && found.starts_with(id) && (found.size() == id.size() || found[id.size()] == '/');
}

}  // namespace

Evidence::Evidence(Report earlier, std::string file, const Report& now)
    : earlier_(std::move(earlier)), file_(std::move(file)) {
  const auto same = [&](const std::string& what, const std::string& here, const std::string& there) {
    Require<InputError>(here == there, "evidence {}: its {} is '{}', this process' '{}'", file_, what, there, here);
  };
  same("kind", now.kind, earlier_.kind);
  Require<InputError>(earlier_.complete, "evidence {}: the report is not complete", file_);
  same("build", now.environment.build.build_id, earlier_.environment.build.build_id);
  same("seed", fmt::format("{}", now.seed), fmt::format("{}", earlier_.seed));
  for (const std::string& difference : ComparabilityDifferences(earlier_.environment, now.environment))
    Throw<InputError>("evidence {}: {}", file_, difference);
  const std::vector<GpuInfo>&here = now.environment.gpus, &there = earlier_.environment.gpus;
  same("number of GPUs", fmt::format("{}", here.size()), fmt::format("{}", there.size()));
  for (std::size_t i = 0; i < here.size(); ++i) same("GPU", here[i].uuid, there[i].uuid);
  for (const ModelInfo& model : now.models) {
    const auto known = std::find_if(earlier_.models.begin(), earlier_.models.end(),
                                    [&](const ModelInfo& other) { return other.name == model.name; });
    Require<InputError>(known != earlier_.models.end(), "evidence {}: it has no model {}", file_, model.name);
    same("model " + model.name, model.identity, known->identity);
  }
}

HardwareLimits Evidence::Limits(const std::string& dtype) const {
  const auto found = std::find_if(earlier_.limits.begin(), earlier_.limits.end(),
                                  [&](const HardwareLimits& known) { return known.dtype == dtype; });
  Require<InputError>(found != earlier_.limits.end(), "evidence {}: no limits of {} were measured", file_, dtype);
  return *found;
}

Coverage Evidence::Of(const BenchCase& item, BenchSetting* setting) const {
  Coverage coverage;
  for (const ReportBenchmark& row : earlier_.benchmarks) {
    if (!IsOf(row, item)) continue;
    // Clocks speak against a time, not against what the cases have shown.
    const bool right = row.status == Status::kPass || row.status == Status::kUnstable;
    if (!right) return {row.status, row.reason, row.parity, row.covering_cases, {}, {}};
    coverage.status = Status::kPass;
    coverage.verdict = row.parity;
    coverage.cases = row.covering_cases;
    coverage.timed_before[row.id()] = row.kernels;
    setting->spread = row.logit_spread;
    setting->tie = row.logit_tie;
  }
  Require<InputError>(!coverage.timed_before.empty(), "evidence {}: it has no row of {}", file_, item.id());
  return coverage;
}

}  // namespace assay
