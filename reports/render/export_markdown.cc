#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "reports/render/export.h"
#include "reports/render/export_text.h"
#include "reports/render/gate_cells.h"
#include "reports/render/summary.h"

namespace assay {
namespace {

using Cells = std::vector<std::string>;  // escaped

constexpr std::size_t kWorst = 50;       // what did not pass, shown
constexpr std::size_t kRows = 500;       // of any other table
constexpr std::size_t kCellBytes = 400;  // of a text, before it is escaped
constexpr std::size_t kReserve = 1024;   // kept free for what says how much is left out

// No character of `text` is markup; a line's end is a space.
std::string Plain(const std::string& text) {
  std::string escaped;
  for (const char c : Cut(OneLine(text), kCellBytes)) {
    if (c == '<')
      escaped += "&lt;";
    else if (c == '>')
      escaped += "&gt;";
    else if (c == '&')
      escaped += "&amp;";
    else if (std::string_view("\\`*_[]#|~!$").find(c) != std::string_view::npos)
      escaped += {'\\', c};
    else
      escaped += c;
  }
  return escaped;
}

// In a code span, but for text that would end it. A bar between cells ends a cell even in code.
std::string Code(const std::string& text) {
  const std::string line = Cut(OneLine(text), kCellBytes);
  if (line.empty() || line.find('`') != std::string::npos) return Plain(text);
  std::string code = "`";
  for (const char c : line) code += c == '|' ? std::string("\\|") : std::string(1, c);
  return code + "`";
}

std::string Bold(const std::string& text, bool bold) { return bold ? "**" + text + "**" : text; }

std::string TableLine(const Cells& cells) { return fmt::format("| {} |\n", fmt::join(cells, " | ")); }

// A page that never grows beyond its limit.
class Page {
 public:
  explicit Page(std::size_t most) : most_(most) {}

  // Appended whole or not at all.
  bool Add(const std::string& text, std::size_t reserve = kReserve) {
    if (text_.size() + text.size() + reserve > most_) return false;
    text_ += text;
    return true;
  }
  // A heading and as many rows as have room, `most` at most; what is left out is counted below the table.
  void Table(const std::string& title, const Cells& header, const std::vector<Cells>& rows, std::size_t most) {
    if (rows.empty()) return;
    std::string rule = "|";
    for (std::size_t i = 0; i < header.size(); ++i) rule += "---|";
    std::size_t shown = 0;
    if (Add(fmt::format("### {}\n\n{}{}\n", title, TableLine(header), rule)))
      while (shown < std::min(rows.size(), most) && Add(TableLine(rows[shown]))) ++shown;
    const std::size_t left = rows.size() - shown;
    if (left > 0) omitted_ += fmt::format("{}{} more of \"{}\"", omitted_.empty() ? "" : ", ", left, title);
    Add(left == 0 ? "\n" : fmt::format("\n{} more, not shown here.\n\n", left), kReserve / 2);
  }
  const std::string& omitted() const { return omitted_; }
  const std::string& text() const { return text_; }

 private:
  std::size_t most_;
  std::string text_, omitted_;
};

std::vector<Cells> TroubleRows(const Report& report) {
  std::vector<Cells> rows;
  for (const Trouble& trouble : Troubles(report))
    rows.push_back({Plain(trouble.what), trouble.id.empty() ? "the run" : Code(trouble.id),
                    trouble.headroom.empty() ? "-" : trouble.headroom, Plain(trouble.cause)});
  return rows;
}

std::vector<Cells> SuiteRows(const std::vector<std::vector<std::string>>& table) {
  std::vector<Cells> rows;
  for (std::size_t i = 1; i < table.size(); ++i) {
    Cells cells;
    for (std::size_t at = 0; at < table[i].size(); ++at) {
      const std::string& column = table.front()[at];
      cells.push_back(Bold(Plain(table[i][at]), (column == "fail" || column == "error") && table[i][at] != "0"));
    }
    rows.push_back(std::move(cells));
  }
  return rows;
}

std::vector<Cells> TimedRows(const Report& report) {
  std::vector<Cells> rows;
  for (const ReportBenchmark& row : report.benchmarks) {
    const Figures figures = FiguresOf(row, report.limits);
    const bool timed = row.status == Status::kPass && figures.samples > 0;
    rows.push_back({Code(row.id()), timed ? TimeText(figures.p50_s) : Bold(std::string(Name(row.status)), true),
                    timed ? TimeText(figures.p99_s) : "-",
                    figures.fraction_of_floor > 0 ? fmt::format("{:.1f} %", 100 * figures.fraction_of_floor) : "-",
                    timed ? Plain(fmt::format("{:.4g} {}/s", figures.rate, row.unit)) : "-",
                    std::string(Name(row.parity))});
  }
  return rows;
}

std::vector<Cells> CellTable(const GateRecord& record) {
  std::vector<Cells> rows;
  for (const CellRow& row : CellRows(record, Decide(record)))
    rows.push_back({Code(row.cell->id), Bold(Plain(row.verdict), row.decision.verdict != CellVerdict::kPass),
                    Plain(row.cell->missing.empty() ? row.cause : ""),
                    row.decision.rounds > 0 ? Share(row.decision.detectable) : "-"});
  return rows;
}

std::vector<Cells> SkipRows(const ReportSummary& summary) {
  std::vector<Cells> rows;
  for (const auto& [reason, ids] : summary.skips) rows.push_back({fmt::format("{}", ids.size()), Plain(reason)});
  return rows;
}

}  // namespace

Exported ExportMarkdown(const Report& report, std::size_t most_bytes) {
  const ReportSummary summary = Summarise(report);
  Page page(most_bytes);
  page.Add(fmt::format("## assay {}: {}\n\n", Plain(report.kind), summary.verdict), 0);
  page.Add(fmt::format("{} in {:.1f} s. {}, commit {}, {}.\n\n", CountsLine(report), report.duration_s,
                       Plain(DeviceNames(report)), Plain(CommitName(report)), Plain(report.started)));
  page.Table("Not passed, the worst first", {"what", "id", "headroom", "cause"}, TroubleRows(report), kWorst);
  const std::vector<std::vector<std::string>> suites = SuiteTable(report);
  page.Table("Suites", suites.front(), SuiteRows(suites), kRows);
  page.Table("Speed", {"row", "p50", "p99", "of floor", "rate", "parity"}, TimedRows(report), kRows);
  if (report.gate)
    page.Table("Candidate against baseline", {"cell", "verdict", "slower", "found from"}, CellTable(*report.gate),
               kRows);
  page.Table("Skipped", {"number", "why"}, SkipRows(summary), kRows);
  Exported exported;
  exported.dropped = fmt::format("{}cases that passed one by one, judgements, samples, most of the environment",
                                 page.omitted().empty() ? "" : page.omitted() + ", ");
  page.Add("Left out: " + exported.dropped + ".\n\n", 0);
  exported.text = page.text();
  return exported;
}

}  // namespace assay
