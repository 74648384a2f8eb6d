#include "reports/report.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <tuple>

namespace assay {
namespace {

// In order of severity.
constexpr std::array<std::string_view, 5> kVerdicts = {"MATCH", "DRIFT", "TIE_FLIP", "VOID", "WRONG"};
constexpr std::array<std::string_view, 4> kStatuses = {"pass", "fail", "skip", "error"};

std::size_t Severity(std::string_view verdict) {
  const auto at = std::find(kVerdicts.begin(), kVerdicts.end(), verdict);
  if (at == kVerdicts.end())
    throw ReportError(fmt::format("verdict '{}': expected MATCH, DRIFT, TIE_FLIP, VOID or WRONG", verdict));
  return static_cast<std::size_t>(at - kVerdicts.begin());
}

std::vector<ToleranceInfo> Tolerances(const Report& report) {
  std::map<std::pair<std::string, std::string>, ToleranceInfo> found;
  for (const ReportCase& item : report.cases) {
    for (const ReportJudgement& judgement : item.judgements) {
      ToleranceInfo& info = found[{judgement.metric, judgement.bound_from}];
      info.metric = judgement.metric;
      info.bound_from = judgement.bound_from;
      if (std::isfinite(judgement.bound)) info.largest_bound = std::max(info.largest_bound, judgement.bound);
      ++info.comparisons;
    }
  }
  std::vector<ToleranceInfo> result;
  for (auto& [key, info] : found) result.push_back(std::move(info));
  return result;
}

std::string RunVerdict(const Report& report, const ReportSummary& summary) {
  const auto bench = [&](auto wanted) {
    return std::any_of(report.benchmarks.begin(), report.benchmarks.end(), wanted);
  };
  const auto timed = [](const ReportBenchmark& row) { return row.status == "pass"; };
  // Nothing ran where it was to run: in all, or on one of the devices.
  std::map<std::string, bool> ran_on;
  for (const ReportCase& item : report.cases) ran_on[item.device] |= item.status != "skip";
  const bool ran =
      !ran_on.empty() && std::all_of(ran_on.begin(), ran_on.end(), [](const auto& on) { return on.second; });
  // A run of benchmarks is one of rows; its cases only say whether they may be timed.
  const bool nothing = report.benchmarks.empty() ? !ran || report.kind == "bench" : !bench(timed);
  if (summary.statuses.at("fail") + summary.statuses.at("error") > 0) return "FAIL";
  if (bench([](const ReportBenchmark& row) {
        return row.status == "fail" || row.status == "error" || row.parity == "WRONG";
      }))
    return "FAIL";
  if (!report.complete || nothing) return "INCOMPLETE";
  if (bench([&](const ReportBenchmark& row) { return timed(row) && row.parity == "VOID"; })) return "INCONCLUSIVE";
  return "PASS";
}

}  // namespace

double HeadroomRank(double headroom) {
  return std::isnan(headroom) ? std::numeric_limits<double>::infinity() : headroom;
}

bool IsWorse(const ReportJudgement& a, const ReportJudgement& b) {
  return std::make_tuple(Severity(a.verdict), HeadroomRank(a.headroom)) >
         std::make_tuple(Severity(b.verdict), HeadroomRank(b.headroom));
}

const ReportJudgement* Worst(const ReportCase& item) {
  const ReportJudgement* worst = nullptr;
  for (const ReportJudgement& judgement : item.judgements)
    if (worst == nullptr || IsWorse(judgement, *worst)) worst = &judgement;
  return worst;
}

std::string CaseVerdict(const ReportCase& item) {
  const ReportJudgement* worst = Worst(item);
  return worst == nullptr ? "VOID" : worst->verdict;
}

std::string RowId(const ReportBenchmark& row) {
  return fmt::format("{} {} {} {}", row.name, row.model, row.dtype, row.device);
}

ReportSummary Summarise(const Report& report) {
  ReportSummary summary;
  for (const std::string_view name : kStatuses) summary.statuses[std::string(name)] = 0;
  for (const std::string_view name : kVerdicts) summary.verdicts[std::string(name)] = 0;
  for (const ReportCase& item : report.cases) {
    const auto status = summary.statuses.find(item.status);
    if (status == summary.statuses.end()) {
      throw ReportError(fmt::format("case {}: status '{}': expected pass, fail, skip or error", item.id, item.status));
    }
    ++status->second;
    ++summary.verdicts.at(CaseVerdict(item));
    if (item.status == "skip") summary.skips.emplace_back(item.id, item.reason);
  }
  for (const ReportBenchmark& row : report.benchmarks)
    if (row.status == "skip") summary.skips.emplace_back(RowId(row), row.reason);
  summary.tolerances = Tolerances(report);
  summary.verdict = RunVerdict(report, summary);
  return summary;
}

int ExitCode(std::string_view run_verdict) {
  if (run_verdict == "PASS") return 0;
  if (run_verdict == "FAIL") return 1;
  if (run_verdict == "INCONCLUSIVE") return 3;
  if (run_verdict == "INCOMPLETE") return 4;
  throw ReportError(fmt::format("run verdict '{}': expected PASS, FAIL, INCONCLUSIVE or INCOMPLETE", run_verdict));
}

}  // namespace assay
