#include "reports/format/report_text.h"

#include <fmt/core.h>

#include <utility>

#include "reports/format/json.h"

namespace assay {
namespace {

std::string KeyOf(const Bound& bound) { return fmt::format("{} {} {}", bound.soft, bound.hard, bound.from.str()); }

}  // namespace

void BoundTable::Add(const Bound& bound) {
  if (places_.emplace(KeyOf(bound), bounds_.size()).second) bounds_.push_back(bound);
}

void BoundTable::Add(const ReportCase& item) {
  for (const Judgement& judgement : item.judgements) Add(judgement.bound);
}

void BoundTable::Add(const BoundTable& behind) {
  for (const Bound& bound : behind.bounds_) Add(bound);
}

std::size_t BoundTable::Place(const Bound& bound) const { return places_.at(KeyOf(bound)); }

void CaseTotals::Add(const ReportCase& as_written) {
  tally.Add(as_written);
  bounds.Add(as_written);
}

void CaseTotals::Add(const CaseTotals& behind) {
  tally.Add(behind.tally);
  bounds.Add(behind.bounds);
}

void WriteReport(const Report& rest, const CaseTotals& totals, const CaseSource& cases,
                 const std::function<void(std::string_view)>& take) {
  std::size_t bytes = 0;
  const auto write = [&](std::string_view piece) {
    bytes += piece.size();
    if (bytes > kLargestReport)
      throw ReportError(
          fmt::format("a report of {} cases has more than 1 GiB of text, which no reader takes", totals.tally.cases()));
    take(piece);
  };
  Json json = RestJson(rest, totals);
  for (const ReportBenchmark& row : rest.benchmarks) json["benchmarks"].push_back(BenchmarkJson(row, rest.limits));
  const PrintedRest printed = Printed(json);
  write(printed.before);
  bool first = true;
  cases([&](const ReportCase& item) {
    write((std::exchange(first, false) ? "[" : ",") + PrintedCase(CaseJson(item, totals.bounds)));
  });
  write(first ? "[]" : "\n ]");
  write(printed.after);
}

std::string ToJson(const Report& as_measured) {
  const Report report = AsWritten(as_measured);
  CaseTotals totals;
  for (const ReportCase& item : report.cases) totals.Add(item);
  std::string text;
  WriteReport(
      report, totals,
      [&](const auto& take) {
        for (const ReportCase& item : report.cases) take(item);
      },
      [&](std::string_view piece) { text += piece; });
  return text;
}

}  // namespace assay
