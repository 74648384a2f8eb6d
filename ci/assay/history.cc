// The database of runs, and the page of a folder of kept reports.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "ci/assay/checked_report.h"
#include "ci/assay/commands.h"
#include "ci/assay/terminal.h"
#include "reports/environment/begin.h"
#include "reports/format/digest.h"
#include "reports/format/json.h"
#include "reports/format/writer.h"
#include "reports/render/export_text.h"
#include "reports/render/history_folder.h"
#include "reports/store/history_store.h"
#include "reports/trend/print.h"

namespace assay {
namespace {

constexpr double kClockSlack = 300;  // seconds that two clocks may differ by

std::string PathOf(const HistoryArguments& arguments) {
  return arguments.db.empty() ? HistoryStore::DefaultPath() : arguments.db;
}

std::vector<std::string> FilesOf(const std::vector<std::string>& named) {
  std::vector<std::string> files;
  for (const std::string& name : named) {
    if (!std::filesystem::is_directory(name)) {
      files.push_back(name);
      continue;
    }
    for (const std::string& path : ReportPaths(name)) files.push_back((std::filesystem::path(name) / path).string());
  }
  return files;
}

void WarnOfClock(const std::string& file, const HistoryRun& run) {
  if (run.started_at > SecondsOf(Now()) + kClockSlack)
    Tell(stderr, "{}: started {}, which is yet to come: a clock is wrong\n", file, run.started);
}

// Empty, or what is wrong with the report in `file`; `code` is then how a command ends that was about it alone.
std::string AddFile(const std::string& file, HistoryStore* store, bool* fresh, int* code) {
  try {
    const CheckedReport checked = ReadChecked(file);
    *code = kExitFailure;
    if (!checked.problems.empty()) return checked.problems.front();
    HistoryRun run = RunOf(checked.report, Sha256(checked.text), file);
    WarnOfClock(file, run);
    *fresh = store->Add(run, PointsOf(checked.report));
    return "";
  } catch (const ReportVersionError& error) {
    *code = kExitNotComparable;
    return error.what();
  }
}

Json Optional(const std::optional<double>& value) { return value ? Number(*value) : Json(nullptr); }

Json PointJson(const History& history, const HistoryPoint& point) {
  const HistoryRun& run = history.runs[point.run];
  const HistoryCell& cell = history.cells[point.cell];
  Json json = {{"started", run.started}, {"kind", run.kind},       {"commit", run.commit}, {"dirty", run.dirty},
               {"machine", run.machine}, {"device", run.device},   {"key", run.key},       {"cell", cell.id},
               {"unit", cell.unit},      {"status", point.status}, {"value", nullptr}};
  json["value"] = Optional(point.value);
  json["low"] = Optional(point.low);
  json["high"] = Optional(point.high);
  json["samples"] = point.samples;
  json["p90"] = Optional(point.p90);
  json["p99"] = Optional(point.p99);
  json["verdict"] = point.verdict;
  json["headroom"] = Optional(point.headroom);
  json["fraction_of_floor"] = Optional(point.fraction);
  json["seconds"] = Optional(point.seconds);
  json["clock_mhz"] = Optional(point.clock_mhz);
  json["facts"] = Json::object();
  for (const auto& [name, value] : point.facts) json["facts"][name] = Number(value);
  json["note"] = point.note;
  json["sha256"] = run.sha256;
  json["report"] = run.path;
  return json;
}

std::string Dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// By RFC 4180; text that a spreadsheet would compute stands behind an apostrophe.
std::string CsvField(const Json& value) {
  if (value.is_null()) return "";
  std::string text = value.is_string() ? WellFormed(value.get<std::string>()) : Dumped(value);
  if (value.is_string() && !text.empty() && std::string_view("=+-@\t\r\n").find(text[0]) != std::string_view::npos)
    text.insert(0, "'");
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

std::string Exported(const History& history, bool csv) {
  std::string text;
  for (const HistoryPoint& point : history.points) {
    const Json json = PointJson(history, point);
    if (!csv) {
      text += Dumped(json) + "\n";
      continue;
    }
    std::vector<std::string> names, fields;
    for (const auto& [name, value] : json.items()) {
      names.push_back(name);
      fields.push_back(CsvField(value));
    }
    if (text.empty()) text = fmt::format("{}\r\n", fmt::join(names, ","));
    text += fmt::format("{}\r\n", fmt::join(fields, ","));
  }
  return text;
}

}  // namespace

int RenderHistoryCommand(const std::string& folder) {
  WriteOut(RenderHistoryFolder(folder));
  return kExitPass;
}

int AddHistoryCommand(const HistoryArguments& arguments) {
  const std::vector<std::string> files = FilesOf(arguments.reports);
  if (files.empty()) throw ReportError(fmt::format("{}: no reports below it", arguments.reports.front()));
  const std::string path = PathOf(arguments);
  HistoryStore store(path, HistoryStore::Access::kWrite);
  const auto begun = std::chrono::steady_clock::now();
  std::size_t added = 0, known = 0, refused = 0;
  int worst = kExitPass;
  {
    ProgressLine progress;
    for (const std::string& file : files) {
      progress.Show(fmt::format("{} of {}: {}", added + known + refused + 1, files.size(), OneLine(file)));
      int code = kExitUsage;
      bool fresh = false;
      std::string problem;
      try {
        problem = AddFile(file, &store, &fresh, &code);
      } catch (const ReportError& error) {
        if (files.size() == 1) throw ReportError(fmt::format("{}: {}", file, error.what()));
        problem = error.what();
      }
      if (problem.empty()) {
        ++(fresh ? added : known);
        continue;
      }
      progress.Clear();
      Tell(stderr, "{}: refused: {}\n", OneLine(file), OneLine(problem));
      ++refused;
      worst = code;
    }
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  Tell("{}: {} added, {} known, {} refused in {:.1f} s\n", path, added, known, refused, seconds);
  return worst;
}

int ListHistoryCommand(const HistoryArguments& arguments) {
  HistoryStore store(PathOf(arguments), HistoryStore::Access::kRead);
  const History history = store.Read({.points = false});
  Table table("lllllll", {"started", "sha256", "kind", "commit", "device", "verdict", "report"});
  std::size_t shown = 0;
  for (std::size_t i = history.runs.size(); i-- > 0 && shown < arguments.limit; ++shown) {
    const HistoryRun& run = history.runs[i];
    table.Add({run.started.substr(0, 16), run.sha256.substr(0, 10), run.kind, ShortCommit(run.commit, run.dirty),
               OneLine(run.device), run.verdict, OneLine(run.path)});
  }
  table.Print(stdout);
  const HistorySize size = store.Size();
  Tell("{} of {} runs, {} points in {} cells\n", shown, history.runs.size(), size.points, size.cells);
  return kExitPass;
}

int ShowHistoryCommand(const HistoryArguments& arguments) {
  HistoryStore store(PathOf(arguments), HistoryStore::Access::kRead);
  std::vector<HistoryRun> found;
  for (const HistoryRun& run : store.Read({.points = false}).runs)
    for (const std::string* name : {&run.sha256, &run.run_id, &run.commit})
      if (name->starts_with(arguments.run)) {
        found.push_back(run);
        break;
      }
  if (found.empty()) throw ReportError(fmt::format("run '{}': no run of the history begins so", arguments.run));
  for (const HistoryRun& run : found) {
    const History history = store.Read({.since = run.started_at, .until = run.started_at});
    Tell("{} {} of {}, {}\n  on {}: {}{}{}\n  key {}\n  report {} (sha256 {})\n  $ {}\n", run.kind, run.run_id,
         ShortCommit(run.commit, run.dirty), run.started, OneLine(run.machine), OneLine(run.device),
         run.driver.empty() ? "" : ", ", OneLine(run.driver), run.key, OneLine(run.path), run.sha256,
         OneLine(run.command));
    Table table("llrrrll", {"cell", "status", "value", "headroom", "of floor", "verdict", "note"});
    for (const HistoryPoint& point : history.points) {
      if (history.runs[point.run].sha256 != run.sha256) continue;
      const HistoryCell& cell = history.cells[point.cell];
      const std::optional<double> value = point.value ? point.value : point.seconds;
      table.Add({OneLine(cell.id), point.status, value ? Printed(*value, point.value ? cell.unit : "s") : "-",
                 point.headroom ? fmt::format("{:.3g}", *point.headroom) : "-",
                 point.fraction ? PrintedPercent(*point.fraction) : "-", point.verdict.empty() ? "-" : point.verdict,
                 Cut(OneLine(point.note), 100)});
    }
    table.Print(stdout);
  }
  return kExitPass;
}

int ExportHistoryCommand(const HistoryArguments& arguments) {
  const History history = HistoryStore(PathOf(arguments), HistoryStore::Access::kRead).Read();
  const std::string text = Exported(history, arguments.format == "csv");
  if (arguments.out.empty())
    WriteOut(text);
  else
    WriteFileAtomically(arguments.out, text);
  return kExitPass;
}

int PruneHistoryCommand(const HistoryArguments& arguments) {
  const std::string& date = arguments.before;
  const double before = SecondsOf(date.size() == 10 ? date + "T00:00:00Z" : date);
  HistoryStore store(PathOf(arguments), arguments.dry ? HistoryStore::Access::kRead : HistoryStore::Access::kWrite);
  if (arguments.dry)
    Tell("{} runs started before {}; none was dropped\n", store.CountBefore(before), date);
  else
    Tell("{} runs that started before {} were dropped\n", store.Prune(before), date);
  return kExitPass;
}

}  // namespace assay
