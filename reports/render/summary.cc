#include "reports/render/summary.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace assay {
namespace {

SuiteSummary Empty(std::string suite, std::string device) {
  SuiteSummary summary;
  summary.suite = std::move(suite);
  summary.device = std::move(device);
  for (const Status status : kStatuses) summary.statuses[status] = 0;
  return summary;
}

void Add(const ReportCase& item, SuiteSummary* summary) {
  ++summary->cases;
  ++summary->statuses.at(item.status);
  summary->seconds += item.duration_s;
  summary->argmax.judged += item.argmax.judged;
  summary->argmax.rows += item.argmax.rows;
  if (item.status == Status::kSkip) return;
  const Verdict verdict = CaseVerdict(item);
  summary->verdict = summary->verdict ? Worse(*summary->verdict, verdict) : verdict;
  for (const Judgement& judgement : item.judgements) {
    double headroom = Headroom(judgement);
    if (std::isnan(headroom)) headroom = std::numeric_limits<double>::infinity();
    summary->headroom = std::max(summary->headroom.value_or(headroom), headroom);
  }
}

}  // namespace

std::vector<SuiteSummary> SummariseSuites(const Report& report) {
  std::vector<SuiteSummary> summaries;
  for (const ReportCase& item : report.cases) {
    const std::string device = item.axes.Text("device");
    auto at = std::find_if(summaries.begin(), summaries.end(), [&](const SuiteSummary& known) {
      return known.suite == item.suite && known.device == device;
    });
    if (at == summaries.end()) at = summaries.insert(at, Empty(item.suite, device));
    Add(item, &*at);
  }
  return summaries;
}

SuiteSummary SummariseCases(const Report& report) {
  SuiteSummary summary = Empty("", "");
  for (const ReportCase& item : report.cases) Add(item, &summary);
  return summary;
}

std::string Printed(const ArgmaxRows& rows) {
  return rows.rows == 0 ? "-" : fmt::format("{}/{}", rows.judged, rows.rows);
}

std::string PrintedHeadroom(const std::optional<double>& headroom) {
  return headroom ? fmt::format("{:.3g}", *headroom) : "-";
}

std::vector<std::vector<std::string>> SuiteTable(const Report& report) {
  std::vector<std::vector<std::string>> table = {
      {"suite", "device", "cases", "pass", "fail", "error", "skip", "verdict", "argmax", "headroom", "time"}};
  for (const SuiteSummary& suite : SummariseSuites(report)) {
    std::vector<std::string> row = {suite.suite, suite.device, fmt::format("{}", suite.cases)};
    for (const Status status : {Status::kPass, Status::kFail, Status::kError, Status::kSkip})
      row.push_back(fmt::format("{}", suite.statuses.at(status)));
    row.emplace_back(Name(suite.verdict.value_or(Verdict::kVoid)));
    row.push_back(Printed(suite.argmax));
    row.push_back(PrintedHeadroom(suite.headroom));
    row.push_back(fmt::format("{:.1f} s", suite.seconds));
    table.push_back(std::move(row));
  }
  return table;
}

}  // namespace assay
