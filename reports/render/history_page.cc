#include "reports/render/history_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <tuple>

#include "reports/format/activity.h"
#include "reports/render/export_text.h"
#include "reports/render/summary.h"

namespace assay {
namespace {

constexpr std::size_t kWidth = 120, kFailuresShown = 5, kNamesShown = 3;

using Kept = std::pair<std::string, Report>;
using Cells = std::vector<std::string>;

// What a cell may not hold is replaced: a line's end and the bar between cells.
std::string Cell(std::string text) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\n' || text[at] == '\r') text[at] = ' ';
    if (text[at] == '|') text.replace(at++, 1, "\\|");
  }
  return text;
}

std::string Row(const Cells& cells) {
  std::string line = "|";
  for (const std::string& cell : cells) line += fmt::format(" {} |", Cell(cell));
  return line + "\n";
}

std::string Table(const Cells& header, const std::vector<Cells>& rows) {
  if (rows.empty()) return "";
  std::string text = Row(header) + "|";
  for (std::size_t i = 0; i < header.size(); ++i) text += "---|";
  text += "\n";
  for (const Cells& row : rows) text += Row(row);
  return text + "\n";
}

// Words over lines of at most kWidth columns, all but the first behind `indent`; a longer word stands alone.
std::string Paragraph(const std::string& text, const char* indent = "") {
  std::string filled, line;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (!line.empty() && line.size() + 1 + word.size() > kWidth) {
      filled += line + "\n";
      line = indent + word;
    } else {
      if (!line.empty()) line += ' ';
      line += word;
    }
    at = end + 1;
  }
  return filled + line + "\n";
}

// A few names, or how many there are.
std::string Names(const std::set<std::string>& names, const char* what) {
  if (names.empty()) return "-";
  return names.size() > kNamesShown ? fmt::format("{} {}", names.size(), what)
                                    : fmt::format("{}", fmt::join(names, ", "));
}

std::set<std::string> AxisOf(const Report& report, const char* axis) {
  std::set<std::string> values;
  for (const ReportCase& item : report.cases)
    if (std::string value = item.axes.Text(axis); !value.empty()) values.insert(std::move(value));
  return values;
}

std::string Red(std::string text, bool red) { return red ? "**" + text + "**" : text; }

std::string Date(const Report& report) { return report.started.substr(0, 10); }

std::string Commit(const Report& report) {
  const BuildInfo& build = report.environment.build;
  return build.commit.substr(0, 7) + (build.dirty ? " (dirty)" : "");
}

// Links to reports by number, so that tables stay narrow; their targets stand at the end of the page.
class Links {
 public:
  explicit Links(const std::vector<Kept>& reports) {
    std::set<std::string> paths;
    for (const Kept& item : reports) paths.insert(item.first);
    for (const std::string& path : paths) numbers_.emplace(path, numbers_.size() + 1);
  }
  // Under the file's name, without the folder that its table is of and a date in front, which is in a column.
  std::string To(const std::string& path, const std::string& folder = "") const {
    std::string name = path.substr(folder.size());
    for (const std::string_view ending : {".gz", ".json"})
      if (name.ends_with(ending)) name.resize(name.size() - ending.size());
    constexpr std::string_view kDate = "0000-00-00-";
    const auto is_date = [&] {
      return name.size() > kDate.size() &&
             std::equal(kDate.begin(), kDate.end(), name.begin(),
                        [](char wanted, char c) { return wanted == '-' ? c == '-' : c >= '0' && c <= '9'; });
    };
    if (is_date()) name.erase(0, kDate.size());
    return fmt::format("[{}][{}]", name, numbers_.at(path));
  }
  std::string Targets() const {
    std::string text;
    for (const auto& [path, number] : numbers_) text += fmt::format("[{}]: {}\n", number, path);
    return text;
  }

 private:
  std::map<std::string, std::size_t> numbers_;
};

std::string FolderOf(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

std::string TimeOrDash(double seconds) { return seconds > 0 ? TimeText(seconds) : "-"; }

std::string Percent(double fraction) { return fraction > 0 ? fmt::format("{:.1f} %", 100 * fraction) : "-"; }

std::string Number(const Axes& axes, const char* name) {
  const auto value = axes.Number(name);
  return value ? fmt::format("{}", *value) : "-";
}

// The row's name and the axes that have no column.
std::string RowName(const ReportBenchmark& row) {
  Axes others;
  for (const auto& [name, value] : row.axes.all())
    if (name != "model" && name != "dtype" && name != "device" && name != "n" && name != "context")
      others.Set(name, value);
  return others.all().empty() ? row.name : row.name + " " + others.ToString();
}

// Of all series: the range of the SM clock, and the reasons that slowed it down.
std::pair<std::string, std::string> ClockAndThrottle(const ReportBenchmark& row) {
  double low = 0, high = 0;
  std::uint64_t reasons = 0;
  for (const TimedSeries& series : row.series) {
    if (series.activity.samples == 0) continue;
    low = low == 0 ? series.activity.sm_clock_mhz.min : std::min(low, series.activity.sm_clock_mhz.min);
    high = std::max(high, series.activity.sm_clock_mhz.max);
    reasons |= LoweringReasons(series.activity.throttle_reasons);
  }
  const std::string throttle = reasons == 0 ? "-" : fmt::format("{}", fmt::join(ThrottleReasonNames(reasons), ", "));
  return {high == 0 ? "-" : fmt::format("{:g}-{:g} MHz", low, high), throttle};
}

Cells BenchmarkRow(const ReportBenchmark& row, const Report& report) {
  const Figures figures = FiguresOf(row, report.limits);
  const auto [clock, throttle] = ClockAndThrottle(row);
  return {row.axes.Text("model"),
          row.axes.Text("dtype"),
          row.axes.Text("device"),
          RowName(row),
          Number(row.axes, "n"),
          Number(row.axes, "context"),
          row.status == Status::kPass ? TimeOrDash(figures.p50_s) : Red(std::string(Name(row.status)), true),
          TimeOrDash(figures.p99_s),
          Percent(figures.fraction_of_floor),
          Percent(figures.fraction_of_gemm),
          clock,
          Red(throttle, throttle != "-"),
          Red(std::string(Name(row.parity)), !Passes(row.parity))};
}

Cells CaseRow(const Links& links, const std::string& path, const std::string& folder, const Report& report) {
  const SuiteSummary all = SummariseCases(report);
  const std::int64_t failed = all.statuses.at(Status::kFail) + all.statuses.at(Status::kError);
  const std::string verdict = Summarise(report).verdict;
  std::string cases = fmt::format("{}/{}", all.statuses.at(Status::kPass), all.cases);
  if (failed > 0) cases += fmt::format(", **{} failed**", failed);
  if (all.statuses.at(Status::kSkip) > 0) cases += fmt::format(", {} skipped", all.statuses.at(Status::kSkip));
  return {links.To(path, folder),
          Date(report),
          Commit(report),
          Names(AxisOf(report, "device"), "devices"),
          Names(AxisOf(report, "model"), "models"),
          Names(AxisOf(report, "dtype"), "types"),
          std::move(cases),
          Printed(all.argmax),
          PrintedHeadroom(all.headroom),
          Red(verdict, verdict != "PASS")};
}

// What a table cannot say: why a run is not complete, what failed, what was skipped.
std::string Remarks(const Links& links, const std::string& path, const std::string& folder, const Report& report) {
  std::vector<std::string> lines;
  const auto remark = [&](const std::string& id, std::string_view status, const std::string& reason) {
    lines.push_back(fmt::format("**{}** `{}`: {}", status, id, reason));
  };
  for (const ReportCase& item : report.cases)
    if (item.status == Status::kFail || item.status == Status::kError)
      remark(item.id(), Name(item.status), item.reason);
  for (const ReportBenchmark& row : report.benchmarks)
    if (row.status != Status::kPass && row.status != Status::kSkip) remark(row.id(), Name(row.status), row.reason);
  if (lines.size() > kFailuresShown) {
    const std::size_t more = lines.size() - kFailuresShown;
    lines.resize(kFailuresShown);
    lines.push_back(fmt::format("and {} more", more));
  }
  for (const std::string& problem : report.problems) lines.push_back("**not complete**: " + problem);
  for (const auto& [reason, ids] : Summarise(report).skips)
    lines.push_back(fmt::format("{} skipped: {}", ids.size(), reason));
  std::string text;
  for (const std::string& line : lines) text += Paragraph(fmt::format("- {}: {}", links.To(path, folder), line), "  ");
  return text.empty() ? text : text + "\n";
}

std::string Device(const Environment& environment) {
  if (environment.gpus.empty()) return fmt::format("Host, {}", environment.host.cpu);
  std::set<std::string> names;
  for (const GpuInfo& gpu : environment.gpus) names.insert(gpu.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string Facts(const Environment& environment) {
  std::vector<std::string> facts;
  for (const auto& [name, value] : ComparabilityFields(environment)) facts.push_back(name + ": " + value);
  return Paragraph(fmt::format("{}.", fmt::join(facts, "; "))) + "\n";
}

std::string Benchmarks(const Links& links, const std::vector<const Kept*>& kept) {
  const Cells header = {"model", "dtype", "device",   "row",      "n",        "context", "p50",
                        "p99",   "floor", "products", "SM clock", "throttle", "parity"};
  std::string text;
  for (const Kept* item : kept) {
    const auto& [path, report] = *item;
    if (report.kind != "bench") continue;
    const std::string verdict = Summarise(report).verdict;
    text += Paragraph(fmt::format("{}: {}, commit {}, {}.", links.To(path), Date(report), Commit(report),
                                  Red(verdict, verdict != "PASS"))) +
            "\n";
    std::vector<Cells> rows;
    for (const ReportBenchmark& row : report.benchmarks) rows.push_back(BenchmarkRow(row, report));
    text += Table(header, rows) + Remarks(links, path, "", report);
  }
  return text.empty() ? text : "### Speed\n\n" + text;
}

// One table a folder: the reports of a folder belong together.
std::string CaseRuns(const Links& links, const std::vector<const Kept*>& kept, const std::string& kind,
                     const std::string& title) {
  const Cells header = {"report", "date",   "commit", "device",   "models",
                        "types",  "passed", "argmax", "headroom", "verdict"};
  std::map<std::string, std::vector<const Kept*>> folders;
  for (const Kept* item : kept)
    if (item->second.kind == kind) folders[FolderOf(item->first)].push_back(item);
  std::string text;
  for (const auto& [folder, items] : folders) {
    if (!folder.empty()) text += fmt::format("In `{}`:\n\n", folder);
    std::vector<Cells> rows;
    std::string remarks;
    for (const Kept* item : items) {
      rows.push_back(CaseRow(links, item->first, folder, item->second));
      remarks += Remarks(links, item->first, folder, item->second);
    }
    text += Table(header, rows) + remarks;
  }
  return text.empty() ? text : fmt::format("### {}\n\n{}", title, text);
}

}  // namespace

std::string RenderHistoryPage(const std::vector<Kept>& reports) {
  const Links links(reports);
  // Environments by name and key, reports within by date and path.
  std::map<std::pair<std::string, std::string>, std::vector<const Kept*>> groups;
  for (const Kept& item : reports) {
    const Environment& environment = item.second.environment;
    groups[{Device(environment), ComparabilityKey(environment)}].push_back(&item);
  }
  std::string text;
  for (auto& [name, kept] : groups) {
    std::sort(kept.begin(), kept.end(), [](const Kept* a, const Kept* b) {
      return std::tie(a->second.started, a->first) < std::tie(b->second.started, b->first);
    });
    text += fmt::format("## {}, key {}\n\n", name.first, name.second.substr(0, 12));
    text += Facts(kept.front()->second.environment);
    text += Benchmarks(links, kept) + CaseRuns(links, kept, "run", "Suites") +
            CaseRuns(links, kept, "golden", "Against other programs");
  }
  return text + links.Targets();
}

}  // namespace assay
