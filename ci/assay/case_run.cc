#include "ci/assay/case_run.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "ci/assay/environment.h"
#include "ci/assay/report_sink.h"
#include "ci/assay/terminal.h"
#include "reports/environment/begin.h"
#include "reports/render/summary.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

using Clock = std::chrono::steady_clock;

// How much of a run may be lost when it dies.
constexpr std::chrono::seconds kUpdateEvery{5};

double Since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// A line for each suite and device.
void PrintTable(const Report& report) {
  const std::vector<std::vector<std::string>> rows = SuiteTable(report);
  Table table("<<>>>>><>>>", rows.front());
  for (std::size_t i = 1; i < rows.size(); ++i) table.Add(rows[i]);
  table.Print(stdout);
}

// Why cases were skipped, one line a reason: the report has the ledger case by case.
void PrintSkips(const ReportSummary& summary) {
  for (const auto& [reason, ids] : summary.skips)
    fmt::print("{} {} case{}: {}\n", Colorized("skip", "skipped", stdout), ids.size(), ids.size() == 1 ? "" : "s",
               reason);
}

}  // namespace

std::vector<std::string> Distinct(const std::vector<std::string>& names) {
  std::vector<std::string> distinct;
  for (const std::string& name : names)
    if (std::find(distinct.begin(), distinct.end(), name) == distinct.end()) distinct.push_back(name);
  return distinct;
}

std::vector<Precision> PrecisionsOf(const std::vector<std::string>& names) {
  std::vector<Precision> precisions;
  for (const std::string& name : Distinct(names)) precisions.push_back(PrecisionFromName(name));
  return precisions;
}

std::vector<ModelInfo> ModelsOf(Workbench& bench, const std::vector<Target>& targets) {
  std::vector<ModelInfo> models;
  std::set<std::string> seen;
  for (const Target& target : targets) {
    if (!seen.insert(target.model).second) continue;
    const WeightStore& store = bench.Store(target);
    models.push_back({target.axes().Text("model"), store.format(), store.Identity()});
  }
  return models;
}

void PrintFailure(const ReportCase& item) {
  if (item.status == Status::kPass || item.status == Status::kSkip) return;
  const std::string status(Name(item.status));
  fmt::print("{} {}\n  {}\n", Colorized(status, status, stdout), item.id(), item.reason);
  for (const Judgement& judgement : item.judgements) {
    if (judgement.verdict == Verdict::kMatch) continue;
    std::string first;
    if (judgement.first_outside && *judgement.first_outside != judgement.worst)
      first = fmt::format("; first at {}", judgement.first_outside->ToString());
    fmt::print("  {}{}; {} comparison{}; {}\n", Describe(judgement), first, judgement.comparisons,
               judgement.comparisons == 1 ? "" : "s", judgement.bound.from);
    if (!judgement.detail.empty()) fmt::print("    {}\n", judgement.detail);
  }
  fmt::print("  replay: {}\n", item.replay);
}

int RunAndReport(Workbench& bench, CaseRun run, const Invocation& invocation) {
  Report report = BeginReport(run.kind, invocation.argc, invocation.argv);
  report.seed = run.seed;
  report.listed = static_cast<std::int64_t>(run.listed);
  const std::size_t selected = run.cases.size();
  report.selected = static_cast<std::int64_t>(selected);
  std::vector<Target> targets;
  for (const Case& item : run.cases) targets.push_back(item.target);
  report.models = ModelsOf(bench, targets);
  DescribeDevice(run.device, bench, &report.environment);
  ReportSink sink(run.report, report);

  const auto start = Clock::now();
  ProgressLine progress;
  RunOptions options;
  options.replay = run.replay;
  options.before = [&](const Case& item) {
    progress.Show(fmt::format("[{}/{}] {}", report.cases.size() + 1, selected, item.id()));
  };
  auto written = start;
  options.after = [&](const ReportCase& item) {
    if (item.status >= Status::kFail) progress.Clear();
    PrintFailure(item);
    std::fflush(stdout);
    report.cases.push_back(item);
    if (Clock::now() - written < kUpdateEvery) return;
    report.duration_s = Since(start);
    sink.Update(report);
    written = Clock::now();
  };
  RunGroups(bench, GroupCases(bench, std::move(run.cases)), options);
  progress.Clear();
  CountErrorsAfter(&report.environment);
  report.duration_s = Since(start);
  report.finished = Now();
  report.complete = true;

  const ReportSummary summary = Summarise(report);
  PrintTable(report);
  PrintSkips(summary);
  const auto count = [&](Status status) { return summary.statuses.at(status); };
  fmt::print("{}: {} of {} cases passed, {} failed, {} errored, {} skipped in {:.1f} s\n",
             Colorized(summary.verdict, summary.verdict, stdout), count(Status::kPass), report.cases.size(),
             count(Status::kFail), count(Status::kError), count(Status::kSkip), report.duration_s);
  if (report.cases.empty()) fmt::print("no case was selected of {} listed\n", report.listed);
  return sink.Finish(report, summary);
}

}  // namespace assay
