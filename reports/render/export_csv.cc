#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "reports/render/export.h"
#include "reports/render/export_text.h"
#include "reports/render/gate_cells.h"

namespace assay {
namespace {

using Line = std::map<std::string, std::string>;  // by column; absent: empty

// Spreadsheets take text that begins like this for a formula and compute it; behind an apostrophe they do not.
bool LooksLikeFormula(const std::string& text) {
  return !text.empty() && std::string_view("=+-@\t\r\n").find(text.front()) != std::string_view::npos;
}

// In quotes where RFC 4180 wants them.
std::string Field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string Text(const std::string& value) {
  const std::string text = WellFormed(value);
  return LooksLikeFormula(text) ? "'" + text : text;
}

// Reports keep six digits of what is measured.
std::string Real(double value) { return fmt::format("{:.9g}", value); }

void PutAxes(const Axes& axes, std::vector<std::string>* columns, Line* line) {
  for (const auto& [name, value] : axes.all()) {
    // The prefix keeps an axis apart from the columns that every line has.
    const std::string column = "axis." + WellFormed(name);
    if (std::find(columns->begin(), columns->end(), column) == columns->end()) columns->push_back(column);
    (*line)[column] = std::holds_alternative<std::int64_t>(value) ? fmt::format("{}", std::get<std::int64_t>(value))
                                                                  : Text(std::get<std::string>(value));
  }
}

Line LineOf(const ReportCase& item) {
  Line line{{"kind", "case"},
            {"id", Text(item.id())},
            {"suite", Text(item.suite)},
            {"name", Text(item.name)},
            {"status", std::string(Name(item.status))},
            {"verdict", std::string(Name(CaseVerdict(item)))},
            {"reason", Text(item.reason)},
            {"duration_s", Real(item.duration_s)},
            {"replay", Text(item.replay)}};
  if (const Judgement* worst = Worst(item); worst != nullptr) {
    line["metric"] = Text(worst->metric);
    line["value"] = Real(worst->value);
    line["soft_bound"] = Real(worst->bound.soft);
    line["hard_bound"] = Real(worst->bound.hard);
    line["headroom"] = Real(Headroom(*worst));
    line["comparisons"] = fmt::format("{}", worst->comparisons);
  }
  if (item.argmax.rows > 0) {
    line["argmax_judged"] = fmt::format("{}", item.argmax.judged);
    line["argmax_rows"] = fmt::format("{}", item.argmax.rows);
  }
  return line;
}

Line LineOf(const ReportBenchmark& row, const std::vector<HardwareLimits>& limits) {
  Line line{{"kind", "row"},
            {"id", Text(row.id())},
            {"suite", "bench"},
            {"name", Text(row.name)},
            {"status", std::string(Name(row.status))},
            {"verdict", std::string(Name(row.parity))},
            {"reason", Text(row.reason)}};
  const Figures figures = FiguresOf(row, limits);
  if (row.status != Status::kPass || figures.samples == 0) return line;
  line["samples"] = fmt::format("{}", figures.samples);
  line["p50_s"] = Real(figures.p50_s);
  line["p90_s"] = Real(figures.p90_s);
  line["p99_s"] = Real(figures.p99_s);
  line["floor_s"] = Real(row.floor_s);
  line["fraction_of_floor"] = Real(figures.fraction_of_floor);
  line["rate"] = Real(figures.rate);
  line["unit"] = Text(row.unit);
  return line;
}

Line LineOf(const CellRow& row) {
  Line line{{"kind", "cell"},
            {"id", Text(row.cell->id)},
            {"suite", "gate"},
            {"status", std::string(Name(StatusOf(*row.decision.verdict)))},
            {"verdict", std::string(Name(*row.decision.verdict))},
            {"reason", Text(row.cell->missing)}};
  if (row.decision.rounds == 0) return line;
  line["samples"] = fmt::format("{}", row.decision.rounds);
  line["slower"] = Real(row.decision.estimate);
  line["slower_low"] = Real(row.decision.low);
  line["slower_high"] = Real(row.decision.high);
  line["slower_limit"] = Real(row.decision.threshold);
  return line;
}

void Write(const std::vector<std::string>& fields, std::string* text) {
  for (std::size_t i = 0; i < fields.size(); ++i) *text += (i == 0 ? "" : ",") + Field(fields[i]);
  *text += "\r\n";
}

}  // namespace

Exported ExportCsv(const Report& report) {
  std::vector<std::string> columns = {"kind",          "id",
                                      "suite",         "name",
                                      "status",        "verdict",
                                      "reason",        "duration_s",
                                      "metric",        "value",
                                      "soft_bound",    "hard_bound",
                                      "headroom",      "comparisons",
                                      "argmax_judged", "argmax_rows",
                                      "samples",       "p50_s",
                                      "p90_s",         "p99_s",
                                      "floor_s",       "fraction_of_floor",
                                      "rate",          "unit",
                                      "slower",        "slower_low",
                                      "slower_high",   "slower_limit",
                                      "replay"};
  std::vector<Line> lines;
  for (const ReportCase& item : report.cases) {
    lines.push_back(LineOf(item));
    PutAxes(item.axes, &columns, &lines.back());
  }
  for (const ReportBenchmark& row : report.benchmarks) {
    lines.push_back(LineOf(row, report.limits));
    PutAxes(row.axes, &columns, &lines.back());
  }
  if (report.gate)
    for (const CellRow& row : CellRows(*report.gate, Decide(*report.gate))) lines.push_back(LineOf(row));
  Exported exported;
  Write(columns, &exported.text);
  for (const Line& line : lines) {
    std::vector<std::string> fields;
    for (const std::string& column : columns) {
      const auto at = line.find(column);
      fields.push_back(at == line.end() ? "" : at->second);
    }
    Write(fields, &exported.text);
  }
  exported.dropped =
      "the run's verdict, why it is not complete, environment, models, all judgements of a case but the worst, samples "
      "and what the device did; text that a spreadsheet would compute stands behind an apostrophe";
  return exported;
}

}  // namespace assay
