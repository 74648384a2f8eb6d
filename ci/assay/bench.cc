#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "bench/support/coverage.h"
#include "bench/support/evidence.h"
#include "bench/support/hardware_limits.h"
#include "ci/assay/bench_table.h"
#include "ci/assay/case_run.h"
#include "ci/assay/checked_report.h"
#include "ci/assay/commands.h"
#include "ci/assay/environment.h"
#include "ci/assay/report_sink.h"
#include "ci/assay/system.h"
#include "ci/assay/terminal.h"
#include "ci/assay/timing.h"
#include "ci/assay/watch.h"
#include "engine/ops/ops_factory.h"
#include "reports/environment/begin.h"
#include "suites/suites.h"

namespace assay {
namespace {

using Clock = std::chrono::steady_clock;

std::vector<TimingGroup> GroupsOf(Workbench& bench, const BenchArguments& arguments, const Device& device) {
  return TimingGroupsOf(bench,
                        {MatchModels(arguments.models),
                         PrecisionsOf(arguments.dtypes),
                         {device},
                         arguments.seed,
                         arguments.batch_invariant},
                        arguments.timing);
}

BenchTable TableFor(const std::vector<TimingGroup>& groups) {
  std::size_t width = 4;
  for (const TimingGroup& group : groups)
    for (const BenchCase& item : group.rows)
      width = std::max(width, item.id().size() + (item.name == "ops" || item.name == "ablation" ? 40 : 0));
  return BenchTable(width);
}

// Covers and times group after group; prints and reports as it goes. Tick and Interrupted come from another thread.
class BenchRun {
 public:
  // `evidence` is null, or what takes the place of covering cases and of measured limits.
  BenchRun(Workbench& bench, Report report, const Device& device, const BenchArguments& arguments, BenchTable table,
           const Evidence* evidence)
      : bench_(bench),
        evidence_(evidence),
        report_(std::move(report)),
        available_(DeviceAvailable(device).ok),
        seconds_(arguments.timing.seconds),
        table_(table),
        start_(Clock::now()),
        activity_(available_ ? device : Device::Host()),
        sink_(arguments.report, arguments.exports, report_) {}

  void Run(const TimingGroup& group) {
    BenchSetting setting;
    setting.seconds = seconds_;
    // First of all: where large models have come and gone, what is left of a device's memory was seen to copy 14 %
    // slower.
    if (available_) setting.limits = LimitsOf(group.target);
    const std::vector<Coverage> coverages =
        evidence_ == nullptr ? Cover(group, &setting) : CoveredBefore(group, &setting);
    BenchState state{bench_, group.target, setting, activity_};
    for (std::size_t i = 0; i < group.rows.size(); ++i) {
      Show(fmt::format("timing {}", group.rows[i].id()));
      std::vector<ReportBenchmark> rows = TimeIfRight(group.rows[i], coverages[i], state);
      const std::lock_guard lock(mutex_);
      for (ReportBenchmark& row : rows) {
        progress_.Clear();
        table_.Row(row, report_.limits);
      }
      table_.Costs(rows, report_.limits);
      std::move(rows.begin(), rows.end(), std::back_inserter(report_.benchmarks));
      Update();
    }
    bench_.Forget();
  }

  void Tick() {
    const std::lock_guard lock(mutex_);
    const Clock::time_point now = Clock::now();
    if (progress_.on_terminal() || now - said_ < kHeartbeat) return;
    Tell(stderr, "{} rows in {:.0f} s, {}\n", report_.benchmarks.size(),
         std::chrono::duration<double>(now - start_).count(), doing_);
    said_ = now;
  }

  // Rows so far, their report, then the end of the process: another thread is busy with a case or a row.
  [[noreturn]] void Interrupted(int signal) {
    const std::lock_guard lock(mutex_);
    report_.problems.push_back(InterruptedBy(signal) + ", " + doing_);
    try {
      FinishLocked(false);
    } catch (const std::exception& error) {
      Complain(error.what());
    }
    EndAtOnce(128 + signal);
  }

  int Finish() {
    const std::lock_guard lock(mutex_);
    return FinishLocked(true);
  }

 private:
  int FinishLocked(bool whole) {
    progress_.Clear();
    if (whole) CountErrorsAfter(&report_.environment);
    Update();
    if (whole) report_.finished = FinishedAt(report_);
    report_.complete = whole;
    for (const std::string& problem : report_.problems) Tell("not complete: {}\n", problem);
    const ReportSummary summary = Summarise(report_);
    const auto timed = std::count_if(report_.benchmarks.begin(), report_.benchmarks.end(),
                                     [](const ReportBenchmark& row) { return row.status == Status::kPass; });
    Tell("{}: {} of {} rows timed, {} of {} covering cases passed in {:.1f} s\n",
         Colorized(summary.verdict, summary.verdict, stdout), timed, report_.benchmarks.size(),
         summary.statuses.at(Status::kPass), report_.cases.size(), report_.duration_s);
    return sink_.Finish(report_, summary);
  }

  void Show(const std::string& doing) {
    const std::lock_guard lock(mutex_);
    doing_ = doing;
    progress_.Show(doing);
  }

  // Runs the cases that cover the group.
  std::vector<Coverage> Cover(const TimingGroup& group, BenchSetting* setting) {
    CoverageRunner runner(bench_, [&](const ReportCase& outcome) {
      const std::lock_guard lock(mutex_);
      progress_.Clear();
      PrintFailure(outcome, outcome.replay);
      report_.cases.push_back(outcome);
      Update();
    });
    std::vector<Coverage> coverages;
    for (const BenchCase& item : group.rows) {
      Show(fmt::format("covering {}", item.id()));
      coverages.push_back(runner.Run(item));
    }
    std::vector<Coverage*> all;
    for (Coverage& coverage : coverages) all.push_back(&coverage);
    runner.Ready(group.target, setting, all);
    return coverages;
  }

  std::vector<Coverage> CoveredBefore(const TimingGroup& group, BenchSetting* setting) const {
    std::vector<Coverage> coverages;
    for (const BenchCase& item : group.rows) coverages.push_back(evidence_->Of(item, setting));
    return coverages;
  }

  // Measured once for each mode, unless an earlier process did.
  HardwareLimits LimitsOf(const Target& target) {
    const auto known = limits_.find(target.precision);
    if (known != limits_.end()) return known->second;
    Show("measuring the device's limits");
    const HardwareLimits limits = evidence_ == nullptr ? MeasureHardwareLimits(target.device, target.precision)
                                                       : evidence_->Limits(std::string(Name(target.precision)));
    const std::lock_guard lock(mutex_);
    progress_.Clear();
    table_.Print(limits);
    if (limits_.empty()) table_.Header();
    report_.limits.push_back(limits);
    return limits_.emplace(target.precision, limits).first->second;
  }

  void Update() {
    report_.listed = report_.selected = static_cast<std::int64_t>(report_.cases.size());
    report_.duration_s = std::chrono::duration<double>(Clock::now() - start_).count();
    sink_.Update(report_);
  }

  Workbench& bench_;
  const Evidence* const evidence_;
  Report report_;
  bool available_;
  double seconds_;
  BenchTable table_;
  std::mutex mutex_;   // of what follows
  std::string doing_;  // "timing bench.decode/..."
  Clock::time_point start_, said_ = Clock::now();
  ActivitySampler activity_;
  ReportSink sink_;
  std::map<Precision, HardwareLimits> limits_;
  ProgressLine progress_;
};

// Fills in what the report of an earlier process gives to this one's.
std::optional<Evidence> EvidenceFrom(const std::string& file, Report* report) {
  if (file.empty()) return std::nullopt;
  CheckedReport checked = ReadChecked(file);
  Require<InputError>(checked.problems.empty(), "evidence {}: {}", file,
                      checked.problems.empty() ? "" : checked.problems.front());
  Evidence evidence(std::move(checked.report), file, *report);
  report->evidence = evidence.report().run_id;
  report->cases = evidence.report().cases;
  return evidence;
}

}  // namespace

int BenchCommand(const BenchArguments& asked, const Invocation& invocation) {
  std::unique_ptr<ProcessProvider> provider = ProviderOf(asked.system);
  BenchArguments arguments = asked;
  arguments.device = DeviceOf(provider.get(), asked.device);
  const Device device = ResolveDevice(arguments.device);
  Workbench bench(std::move(provider));
  const std::vector<TimingGroup> groups = GroupsOf(bench, arguments, device);
  std::vector<Target> targets;
  for (const TimingGroup& group : groups) targets.push_back(group.target);
  Report report = BeginReport("bench", invocation.argc, invocation.argv);
  report.seed = arguments.seed;
  report.models = ModelsOf(bench, targets);
  report.measures = arguments.measures;
  DescribeDevice(device, bench, &report.environment);
  DescribeArithmetic(bench, targets, &report.environment.system);
  const std::optional<Evidence> evidence = EvidenceFrom(arguments.evidence, &report);
  BenchRun run(bench, std::move(report), device, arguments, TableFor(groups), evidence ? &*evidence : nullptr);
  {
    const RunWatch watch([&] { run.Tick(); }, [&](int signal) { run.Interrupted(signal); });
    for (const TimingGroup& group : groups) run.Run(group);
  }
  return run.Finish();
}

}  // namespace assay
