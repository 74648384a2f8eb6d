#include "reports/render/export_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "engine/text/foreign.h"
#include "reports/render/gate_cells.h"
#include "reports/render/summary.h"

namespace assay {
namespace {

constexpr const char* kReplacement = "\xEF\xBF\xBD";

}  // namespace

std::string WellFormed(std::string_view text) {
  std::string formed;
  formed.reserve(text.size());
  while (!text.empty()) {
    const Character first = FirstCharacter(text);
    const std::string_view bytes = text.substr(0, first.bytes);
    if (!first.valid || first.code == 0xFFFE || first.code == 0xFFFF) {
      formed += kReplacement;
    } else if (IsHidden(first.code)) {
      formed += fmt::format("\\u{:04X}", first.code);
    } else if (first.code == '\r') {
      if (!text.starts_with("\r\n")) formed += '\n';
    } else if (first.code == '\n' || first.code == '\t' || !IsControl(first.code)) {
      formed += bytes;
    } else {
      formed += fmt::format("\\x{:02X}", first.code);
    }
    text.remove_prefix(first.bytes);
  }
  return formed;
}

std::string OneLine(std::string_view text) {
  std::string line = WellFormed(text);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return line;
}

std::string TimeText(double seconds) {
  const double size = std::abs(seconds);
  if (size >= 1 || size == 0) return fmt::format("{:.4g} s", seconds);
  return size >= 1e-3 ? fmt::format("{:.4g} ms", seconds * 1e3) : fmt::format("{:.4g} us", seconds * 1e6);
}

std::string Cut(std::string text, std::size_t most) {
  constexpr std::string_view kMore = "...";
  if (text.size() <= most) return text;
  if (most < kMore.size()) return "";
  std::size_t end = most - kMore.size();
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end).append(kMore);
}

std::vector<Trouble> Troubles(const Report& report) {
  std::vector<const ReportCase*> cases;
  for (const ReportCase& item : report.cases)
    if (item.status == Status::kFail || item.status == Status::kError) cases.push_back(&item);
  std::stable_sort(cases.begin(), cases.end(), [](const ReportCase* a, const ReportCase* b) {
    if (a->status != b->status) return b->status < a->status;
    const Judgement *one = Worst(*a), *other = Worst(*b);
    return one != nullptr && (other == nullptr || IsWorse(*one, *other));
  });
  std::vector<Trouble> troubles;
  for (const std::string& problem : report.problems) troubles.push_back({"not complete", "", problem, "", ""});
  if (!report.complete && troubles.empty()) troubles.push_back({"not complete", "", "the run did not finish", "", ""});
  for (const ReportCase* item : cases) {
    const Judgement* worst = Worst(*item);
    troubles.push_back({std::string(Name(item->status)), item->id(), item->reason,
                        worst == nullptr ? "" : fmt::format("{:.3g}", Headroom(*worst)), item->replay});
  }
  std::vector<const ReportBenchmark*> rows;
  for (const ReportBenchmark& row : report.benchmarks)
    if (row.status != Status::kPass && row.status != Status::kSkip) rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(), [](const auto* a, const auto* b) { return b->status < a->status; });
  for (const ReportBenchmark* row : rows)
    troubles.push_back({std::string(Name(row->status)), row->id(), row->reason, "", ""});
  if (report.gate) {
    for (const std::string& failure : report.gate->failures) troubles.push_back({"wrong", "", failure, "", ""});
    for (const std::string& what : report.gate->not_comparable) troubles.push_back({"differs", "", what, "", ""});
    for (const CellRow& row : CellRows(*report.gate, Decide(*report.gate)))
      if (row.decision.verdict != CellVerdict::kPass)
        troubles.push_back({std::string(Name(*row.decision.verdict)), row.cell->id, row.cause, "", ""});
  }
  // Nothing went wrong, and still it is no pass: nothing was selected, or all was skipped.
  const std::string verdict = Summarise(report).verdict;
  if (troubles.empty() && verdict != "PASS") {
    const bool empty = report.cases.empty() && report.benchmarks.empty();
    troubles.push_back({"not complete", "", empty ? "nothing ran" : "the run is " + verdict, "", ""});
  }
  return troubles;
}

std::string CountsLine(const Report& report) {
  const ReportSummary summary = Summarise(report);
  const auto count = [&](Status status) { return summary.statuses.at(status); };
  std::string line =
      fmt::format("{} of {} cases passed, {} failed, {} errored, {} skipped", count(Status::kPass), report.cases.size(),
                  count(Status::kFail), count(Status::kError), count(Status::kSkip));
  if (!report.benchmarks.empty()) {
    const auto timed = std::count_if(report.benchmarks.begin(), report.benchmarks.end(),
                                     [](const ReportBenchmark& row) { return row.status == Status::kPass; });
    line += fmt::format("; {} of {} rows timed", timed, report.benchmarks.size());
  }
  if (report.gate) {
    const GateDecisions decisions = Decide(*report.gate);
    const auto passed = std::count_if(decisions.cells.begin(), decisions.cells.end(),
                                      [](const CellDecision& cell) { return cell.verdict == CellVerdict::kPass; });
    line += fmt::format("; {} of {} cells passed", passed, decisions.cells.size());
  }
  return line;
}

std::string CommitName(const Report& report) {
  const BuildInfo& build = report.environment.build;
  return build.commit.substr(0, 7) + (build.dirty ? " (dirty)" : "");
}

std::string DeviceNames(const Report& report) {
  std::vector<std::string> names;
  for (const GpuInfo& gpu : report.environment.gpus)
    if (std::find(names.begin(), names.end(), gpu.name) == names.end()) names.push_back(gpu.name);
  return names.empty() ? report.environment.host.cpu : fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace assay
