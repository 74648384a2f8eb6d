// What changed since when: a view for the terminal, a page, a check.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "ci/assay/commands.h"
#include "ci/assay/gate_child.h"
#include "ci/assay/temporary_folder.h"
#include "ci/assay/terminal.h"
#include "reports/environment/begin.h"
#include "reports/environment/build.h"
#include "reports/format/writer.h"
#include "reports/page/trend_page.h"
#include "reports/render/export_text.h"
#include "reports/store/history_store.h"
#include "reports/trend/commands.h"
#include "reports/trend/print.h"
#include "reports/trend/series.h"
#include "suites/support/names.h"

namespace assay {
namespace {

constexpr double kDay = 86400;
constexpr std::size_t kSparkWidth = 40, kLongestNote = 300;

TrendRule RuleFrom(const TrendArguments& arguments) {
  TrendRule rule;
  rule.recent = static_cast<std::size_t>(arguments.recent);
  rule.reference = arguments.reference;
  rule.creep = arguments.creep_percent / 100;
  rule.silent_s = 3600 * arguments.silent_hours;
  return rule;
}

std::vector<std::string> Distinct(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

// Drops points of cells that are not asked for.
void SelectCells(const std::vector<std::string>& patterns, History* history) {
  if (patterns.empty()) return;
  std::vector<std::string> ids;
  for (const HistoryCell& cell : history->cells) ids.push_back(cell.id);
  const std::vector<std::string> kept = MatchNames("cell", patterns, ids);
  std::erase_if(history->points, [&](const HistoryPoint& point) {
    return std::find(kept.begin(), kept.end(), history->cells[point.cell].id) == kept.end();
  });
}

void SelectMetrics(const std::vector<std::string>& patterns, std::vector<TrendSeries>* series) {
  if (patterns.empty()) return;
  std::vector<std::string> metrics;
  for (const TrendSeries& item : *series) metrics.push_back(item.metric);
  const std::vector<std::string> kept = MatchNames("metric", patterns, Distinct(std::move(metrics)));
  std::erase_if(
      *series, [&](const TrendSeries& item) { return std::find(kept.begin(), kept.end(), item.metric) == kept.end(); });
}

// The first lines of commits, as git tells them. Commits that the repository does not have stay without.
std::map<std::string, std::string> SubjectsFrom(const std::string& repository) {
  std::map<std::string, std::string> subjects;
  if (repository.empty()) return subjects;
  const TemporaryFolder folder;
  ChildStop stop;
  const auto [said, problem] =
      RunTool({"git", "-C", repository, "log", "--all", "--format=%H %s"}, folder.path() + "/log", 120, &stop);
  if (!problem.empty())
    throw ReportError(
        fmt::format("--source {}: git log {}: {}", repository, problem, Cut(OneLine(said), kLongestNote)));
  for (std::size_t at = 0; at < said.size();) {
    const std::size_t stop_at = std::min(said.find('\n', at), said.size());
    if (stop_at - at > 41) subjects[said.substr(at, 40)] = said.substr(at + 41, stop_at - at - 41);
    at = stop_at + 1;
  }
  return subjects;
}

void PrintMachines(const std::vector<MachineState>& machines, double now) {
  Table table("lllllr", {"machine", "device", "last run", "parity", "gate", "runs"});
  const auto verdict = [](const HistoryRun* run) { return run == nullptr ? std::string("-") : run->verdict; };
  for (const MachineState& machine : machines) {
    std::string last = fmt::format("{} ago", PrintedSpan(now - machine.last->started_at));
    if (machine.silent) last += ", SILENT";
    if (machine.ahead) last = "yet to come: a clock is wrong";
    table.Add({OneLine(machine.machine), OneLine(machine.device), last, verdict(machine.last_parity),
               verdict(machine.last_gate), fmt::format("{}", machine.runs)});
  }
  table.Print(stdout);
}

void PrintSeries(const History& history, const std::vector<TrendSeries>& series, std::size_t limit) {
  std::vector<const TrendSeries*> order;
  for (const TrendSeries& item : series)
    if (item.nights.size() > 1 && item.judged) order.push_back(&item);
  // The worst first; steady ones as they come, speeds before counts.
  std::stable_sort(order.begin(), order.end(), [](const TrendSeries* a, const TrendSeries* b) {
    return std::pair(-a->Loss(), a->metric != "time") < std::pair(-b->Loss(), b->metric != "time");
  });
  Table table("llrrrl", {"cell", "metric", "nights", "latest", "lost", ""});
  std::size_t shown = 0;
  for (const TrendSeries* item : order) {
    if (shown++ == limit) break;
    std::vector<double> values;
    for (const Night& night : item->nights) values.push_back(night.value);
    const double loss = item->Loss();
    table.Add({OneLine(history.cells[item->cell].id), item->metric, fmt::format("{}", values.size()),
               Printed(values.back(), item->unit), loss > 0 ? PrintedPercent(loss) : "-",
               SparkText(values, kSparkWidth)});
  }
  if (shown > 0) table.Print(stdout);
  if (order.size() > limit) Tell("and {} more series; --limit shows more\n", order.size() - limit);
  std::size_t changes = 0;
  for (const TrendSeries* item : order)
    for (const Change& change : item->changes) {
      if (changes++ == limit) continue;
      const ChangeFacts facts = FactsOf(history, *item, change);
      const double worse = item->Worsening(change.before, change.after);
      Tell("{} {} {}: {} to {}, {} {} in {}, p {:.1g}\n", facts.first_after->started.substr(0, 10),
           OneLine(history.cells[item->cell].id), item->metric, Printed(change.before, item->unit),
           Printed(change.after, item->unit), PrintedPercent(std::abs(worse)), worse > 0 ? "worse" : "better",
           facts.range, change.p);
    }
  if (changes > limit) Tell("and {} more changes\n", changes - limit);
}

void PrintFindings(const TrendJudgement& judgement) {
  constexpr std::size_t kMostOfGroup = 5;
  for (const auto& group : Grouped(judgement.findings)) {
    const TrendFinding& first = *group.front();
    if (first.what == "change") Tell("{}", Wrapped(fmt::format("change since {}:", OneLine(first.since)), 0));
    for (std::size_t i = 0; i < std::min(kMostOfGroup, group.size()); ++i)
      Tell("{}", first.what == "change" ? Wrapped(Cut(OneLine(group[i]->text), kLongestNote), 2)
                                        : Wrapped(first.what + ": " + Cut(OneLine(first.text), kLongestNote), 0));
    if (group.size() > kMostOfGroup) Tell("  and {} more series\n", group.size() - kMostOfGroup);
    if (!first.command.empty()) Tell("  $ {}\n", OneLine(first.command));
  }
}

}  // namespace

int TrendCommand(const TrendArguments& arguments) {
  const std::string path = arguments.db.empty() ? HistoryStore::DefaultPath() : arguments.db;
  const double now = SecondsOf(arguments.now.empty() ? Now() : arguments.now);
  HistoryStore store(path, HistoryStore::Access::kRead);
  const double newest = store.Newest();
  History history = store.Read({.since = newest - kDay * arguments.days});
  SelectCells(arguments.cells, &history);
  const TrendRule rule = RuleFrom(arguments);
  std::vector<TrendSeries> series = SeriesOf(history, rule);
  SelectMetrics(arguments.metrics, &series);
  const std::vector<MachineState> machines = MachinesOf(history, rule, now);
  const TrendJudgement judgement = Judge(history, series, rule, now);
  if (!arguments.out.empty()) {
    const BuildInfo build = ThisBuild();
    const std::string page = RenderTrendPage(
        {&history, &series, &judgement, &machines, SubjectsFrom(arguments.source), now, "assay " + build.version});
    WriteFileAtomically(arguments.out, page);
    Tell("{}: {} runs, {} series, {:.2f} MB\n", arguments.out, history.runs.size(), series.size(),
         1e-6 * static_cast<double>(page.size()));
  } else if (!arguments.check) {
    PrintMachines(machines, now);
    PrintSeries(history, series, arguments.limit);
  }
  if (arguments.check || arguments.out.empty()) PrintFindings(judgement);
  if (arguments.check || arguments.out.empty()) Tell("{}\n", Colorized(judgement.verdict, judgement.verdict, stdout));
  return arguments.check ? ExitCode(judgement.verdict) : kExitPass;
}

}  // namespace assay
