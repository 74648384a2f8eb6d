#include "ci/assay/session.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "ci/assay/terminal.h"
#include "engine/base/check.h"
#include "engine/ops/ops_factory.h"
#include "engine/weights/store.h"
#include "reports/context.h"
#include "suites/support/embedded.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

// How much of a run may be lost when it dies.
constexpr std::chrono::seconds kUpdateEvery{5};

struct SuiteTotals {
  std::map<std::string, int> statuses;
  const ReportJudgement* worst = nullptr;  // of the cases that ran
  std::optional<double> headroom;          // the largest of any comparison
  double seconds = 0;
};

void PrintTable(const Report& report) {
  ReportJudgement nothing;  // of a case that compared nothing
  nothing.verdict = "VOID";
  std::vector<std::string> order;
  std::map<std::string, SuiteTotals> totals;
  for (const ReportCase& item : report.cases) {
    const std::string key = fmt::format("{} {}", item.suite, item.device);
    if (totals.find(key) == totals.end()) order.push_back(key);
    SuiteTotals& total = totals[key];
    ++total.statuses[item.status];
    total.seconds += item.duration_s;
    if (item.status == "skip") continue;
    const ReportJudgement* const judged = Worst(item);
    const ReportJudgement* const found = judged != nullptr ? judged : &nothing;
    if (total.worst == nullptr || IsWorse(*found, *total.worst)) total.worst = found;
    for (const ReportJudgement& judgement : item.judgements) {
      const double headroom = HeadroomRank(judgement.headroom);
      total.headroom = std::max(total.headroom.value_or(headroom), headroom);
    }
  }
  Table table("<<>>>>><>>",
              {"suite", "device", "cases", "pass", "fail", "error", "skip", "verdict", "headroom", "time"});
  for (const std::string& key : order) {
    SuiteTotals& total = totals[key];
    const std::size_t space = key.find(' ');
    const int count =
        total.statuses["pass"] + total.statuses["fail"] + total.statuses["error"] + total.statuses["skip"];
    table.Add({key.substr(0, space), key.substr(space + 1), fmt::format("{}", count),
               fmt::format("{}", total.statuses["pass"]), fmt::format("{}", total.statuses["fail"]),
               fmt::format("{}", total.statuses["error"]), fmt::format("{}", total.statuses["skip"]),
               (total.worst == nullptr ? nothing : *total.worst).verdict,
               total.headroom ? fmt::format("{:.3g}", *total.headroom) : "-", fmt::format("{:.1f} s", total.seconds)});
  }
  table.Print(stdout);
}

// Why cases were skipped, one line a reason: the report has the ledger case by case.
void PrintSkips(const ReportSummary& summary) {
  std::map<std::string, int> reasons;
  for (const auto& [id, reason] : summary.skips) ++reasons[reason];
  for (const auto& [reason, count] : reasons) {
    fmt::print("{} {} case{}: {}\n", Painted("skip", "skipped", stdout), count, count == 1 ? "" : "s", reason);
  }
}

}  // namespace

std::vector<ModelInfo> ModelsOf(const std::vector<std::string>& names, std::uint64_t seed) {
  std::vector<ModelInfo> models;
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (name.empty() || !seen.insert(name).second) continue;
    const std::unique_ptr<WeightStore> store = OpenModel(ResolveModel(name), seed);
    models.push_back({name, store->format(), store->Identity()});
  }
  return models;
}

std::vector<DeviceInfo> DevicesOf(const std::vector<std::string>& kinds) {
  std::vector<DeviceInfo> devices;
  for (const std::string& kind : kinds) {
    const Support support = DeviceAvailable(kind);
    if (support.ok) {
      devices.push_back({kind, MakeOps(kind, Precision::kFp32)->device(), {}});
    } else {
      devices.push_back({kind, "none", {{"unavailable", support.reason}}});
    }
  }
  return devices;
}

void PrintFailure(const ReportCase& item) {
  if (item.status == "pass" || item.status == "skip") return;
  fmt::print("{} {}\n  {}\n  replay: {}\n", Painted(item.status, item.status, stdout), item.id, item.reason,
             item.replay);
}

KeptReport::KeptReport(const std::string& path, const Report& begun) : path_(path) {
  if (!path.empty()) file_.emplace(path, begun);
}

void KeptReport::Update(const Report& so_far) {
  try {
    if (file_) file_->Update(so_far);
  } catch (const ReportError& error) {
    if (!complained_) fmt::print(stderr, "assay: {}\n", error.what());
    complained_ = true;
  }
}

int KeptReport::Finish(const Report& report, const ReportSummary& summary) {
  const int code = ExitCode(summary.verdict);
  try {
    if (!file_) return code;
    file_->Finish(report);
    fmt::print("report: {}\n", path_);
  } catch (const ReportError& error) {
    if (code != kExitFailure) throw;
    fmt::print(stderr, "assay: {}\n", error.what());
  }
  return code;
}

namespace {

// Ids tell cases apart, in reports and replay lines.
void RequireDistinct(const std::vector<Case>& cases) {
  std::map<std::string, std::string> models;
  for (const Case& item : cases) {
    const auto [known, fresh] = models.emplace(item.id(), item.model);
    Require(fresh, "case {} is there twice, of models '{}' and '{}': expected names that differ in their last part",
            item.id(), known->second, item.model);
  }
}

}  // namespace

std::vector<std::string> Distinct(const std::vector<std::string>& names) {
  std::vector<std::string> distinct;
  for (const std::string& name : names)
    if (std::find(distinct.begin(), distinct.end(), name) == distinct.end()) distinct.push_back(name);
  return distinct;
}

int RunAndReport(const CaseRun& run, const Invocation& invocation) {
  RequireDistinct(run.cases);
  Report report = BeginReport(run.kind, invocation.argc, invocation.argv);
  report.seed = run.seed;
  report.listed = static_cast<std::int64_t>(run.listed);
  report.selected = static_cast<std::int64_t>(run.cases.size());
  std::vector<std::string> models;
  for (const Case& item : run.cases) models.push_back(item.model);
  report.models = ModelsOf(models, run.seed);
  report.devices = DevicesOf(run.devices);
  KeptReport file(run.report, report);

  const auto start = std::chrono::steady_clock::now();
  ProgressLine progress;
  RunOptions options;
  options.replay = run.replay;
  options.before = [&](std::size_t index, const Case& item) {
    progress.Show(fmt::format("[{}/{}] {}", index + 1, run.cases.size(), item.id()));
  };
  auto written = start;
  options.after = [&](const ReportCase& item) {
    if (item.status == "fail" || item.status == "error") progress.Clear();
    PrintFailure(item);
    std::fflush(stdout);
    report.cases.push_back(item);
    const auto now = std::chrono::steady_clock::now();
    if (now - written < kUpdateEvery) return;
    report.duration_s = std::chrono::duration<double>(now - start).count();
    file.Update(report);
    written = now;
  };
  RunCases(run.cases, options);
  progress.Clear();
  report.duration_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.finished = Now();
  report.complete = true;

  const ReportSummary summary = Summarise(report);
  PrintTable(report);
  PrintSkips(summary);
  fmt::print("{}: {} of {} cases passed, {} failed, {} broke, {} skipped in {:.1f} s\n",
             Painted(summary.verdict, summary.verdict, stdout), summary.statuses.at("pass"), report.cases.size(),
             summary.statuses.at("fail"), summary.statuses.at("error"), summary.statuses.at("skip"), report.duration_s);
  if (report.cases.empty()) fmt::print("no case was selected of {} listed\n", report.listed);
  return file.Finish(report, summary);
}

}  // namespace assay
