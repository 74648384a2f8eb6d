// The child process that owns a workbench and one device. It writes no file: its supervisor does.
#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <numeric>

#include "bench/support/coverage.h"
#include "bench/support/hardware_limits.h"
#include "ci/assay/commands.h"
#include "ci/assay/environment.h"
#include "ci/assay/plan.h"
#include "ci/spread/worker_protocol.h"
#include "engine/ops/ops_factory.h"
#include "reports/environment/begin.h"
#include "reports/environment/gpu.h"
#include "reports/merge/shard.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

using Clock = std::chrono::steady_clock;

// Standard output as it was, for records; whatever else is printed goes to standard error.
class Records {
 public:
  explicit Records(std::string lease)
      : lease_(std::move(lease)), out_(::fdopen(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), "w")) {
    Require<Error>(out_ != nullptr, "standard output is closed: a worker answers there");
    std::fflush(stdout);
    ::dup2(STDERR_FILENO, STDOUT_FILENO);
  }
  ~Records() { std::fclose(out_); }
  Records(const Records&) = delete;
  Records& operator=(const Records&) = delete;

  // Throws when nobody reads any more.
  void Write(Json record) {
    if (!lease_.empty()) record["lease"] = lease_;
    const std::string line = record.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
    Require<Error>(std::fwrite(line.data(), 1, line.size(), out_) == line.size() && std::fflush(out_) == 0,
                   "the supervisor is gone");
  }

 private:
  const std::string lease_;
  std::FILE* const out_;
};

Json CaseLine(const char* kind, std::int64_t index, const ReportCase& item) {
  Json json = {{"kind", kind}, {"index", index}};
  json.update(CaseRecordJson(item));
  return json;
}

class Worker {
 public:
  Worker(const Plan& plan, const CaseLister& list, Records& records) : plan_(plan), records_(records) {
    Listing listing = ListingOf(plan.inputs, bench_, list);
    for (Case& item : listing.cases) cases_.emplace(item.id(), std::move(item));
    for (TimingGroup& group : listing.timing) {
      for (Case& item : CoveringCases(bench_, group)) cases_.emplace(item.id(), std::move(item));
      for (BenchCase& row : group.rows) rows_.emplace(row.id(), std::move(row));
    }
    environment_ = BeginReport("run", 0, nullptr).environment;
    DescribeDevice(Device::FromName(plan.inputs.device), bench_, &environment_);
    Json hello = {{"kind", "hello"}, {"environment", EnvironmentJson(environment_)}};
    if (!environment_.gpus.empty()) hello["free_bytes"] = FreeMemory(environment_.gpus.front().bus_id).value_or(0);
    records_.Write(std::move(hello));
  }

  // 0, or what the process must end with.
  int Run(const Assignment& assignment) {
    Require(assignment.group >= 0 && assignment.group < static_cast<std::int64_t>(plan_.groups.size()),
            "group {}: the plan has {}", assignment.group, plan_.groups.size());
    const PlanGroup& group = plan_.groups[static_cast<std::size_t>(assignment.group)];
    // A model is read once for groups of it that follow each other, of one seed; what is timed has all memory.
    if (group.model != held_ || !group.rows.empty() || plan_.inputs.seeds > 1) bench_.Forget();
    held_ = group.model;
    const bool whole = group.rows.empty() ? RunCases(group, assignment) : RunTiming(group, assignment);
    if (!whole) return kWorkerLostDevice;
    bench_.ReleaseDevice();
    CountErrorsAfter(&environment_);
    Json ecc = Json::array();
    for (const GpuInfo& gpu : environment_.gpus)
      if (gpu.ecc_after) ecc.push_back({gpu.ecc_after->corrected, gpu.ecc_after->uncorrected});
    records_.Write({{"kind", "done"}, {"ecc_after", ecc}});
    return kExitPass;
  }

 private:
  template <class Item>
  static const Item& Known(const std::map<std::string, Item>& items, const std::string& id) {
    const auto known = items.find(id);
    Require(known != items.end(), "{}: in the plan, but this build does not list it", id);
    return known->second;
  }

  void Begin(std::int64_t index, ReportCase item) {
    item.status = Status::kError;
    item.reason = "no outcome";
    records_.Write(CaseLine("running", index, item));
  }
  void Begin(std::int64_t index, const Case& item) { Begin(index, ToReport(item, {}, ReplayLine(item))); }

  // False: the device was lost.
  bool RunCases(const PlanGroup& group, const Assignment& assignment) {
    CaseRunner runner(bench_);
    for (const std::int64_t index : assignment.cases) {
      const Case& item = Known(cases_, ItemOf(group, index));
      Begin(index, item);
      records_.Write(CaseLine("case", index, ToReport(item, runner.Run(item), ReplayLine(item))));
      if (runner.Lost(item.target.device)) return false;
    }
    return true;
  }

  // As `assay bench` does it: limits first, then what covers the rows, then the rows with the device to themselves.
  // What covers a row runs again without a word where an earlier worker had run it.
  bool RunTiming(const PlanGroup& group, const Assignment& assignment) {
    const auto cases = static_cast<std::int64_t>(group.cases.size());
    const Target& target = Known(rows_, group.rows.front()).target;
    const bool available = DeviceAvailable(target.device).ok;
    BenchSetting setting;
    setting.seconds = plan_.inputs.timing.seconds;
    if (available) setting.limits = MeasureHardwareLimits(target.device, target.precision);
    ActivitySampler activity(available ? target.device : Device::Host());
    CoverageRunner runner(bench_);
    BenchState state{bench_, target, setting, activity};
    std::map<std::string, Coverage> covered;
    for (const std::int64_t index : assignment.cases) {
      if (index < cases) {
        const Case& item = Known(cases_, ItemOf(group, index));
        Begin(index, item);
        records_.Write(CaseLine("case", index, runner.Run(item)));
      } else {
        const BenchCase& row = Known(rows_, ItemOf(group, index));
        // Before the row begins, whose time is limited: a worker that takes over covers the rows anew.
        if (covered.empty()) covered = Cover(group, target, &runner, &setting);
        Begin(index, StandIn(RowOf(row)));
        const Clock::time_point start = Clock::now();
        TimedRows timed{TimeIfRight(row, covered.at(row.id()), state), std::nullopt};
        if (available) timed.limits = setting.limits;
        ReportCase outcome = StandIn(*std::max_element(
            timed.rows.begin(), timed.rows.end(), [](const auto& a, const auto& b) { return a.status < b.status; }));
        outcome.name = row.name, outcome.axes = row.axes;  // a benchmark may have rows of its own names
        outcome.duration_s = std::chrono::duration<double>(Clock::now() - start).count();
        Json line = CaseLine("case", index, outcome);
        line["timed"] = TimedJson(timed);
        records_.Write(std::move(line));
      }
      if (runner.Lost(target.device)) return false;
    }
    return true;
  }

  // What covers all rows of the group, so that nothing else is on the device when the first is timed.
  std::map<std::string, Coverage> Cover(const PlanGroup& group, const Target& target, CoverageRunner* runner,
                                        BenchSetting* setting) {
    std::map<std::string, Coverage> covered;
    for (const std::string& id : group.rows) covered[id] = runner->Run(Known(rows_, id));
    std::vector<Coverage*> all;
    for (auto& [id, coverage] : covered) all.push_back(&coverage);
    runner->Ready(target, setting, all);
    return covered;
  }

  const Plan& plan_;
  Records& records_;
  Workbench bench_;
  std::map<std::string, Case> cases_;      // by id
  std::map<std::string, BenchCase> rows_;  // by id
  std::string held_;                       // the model that bench_ has read
  Environment environment_;
};

}  // namespace

int WorkerCommand(const WorkerArguments& arguments, const CaseLister& list) {
  const bool supervised = arguments.group < 0;
  // A worker that hangs would outlive a supervisor that was killed.
  if (supervised) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const Plan plan = ReadPlan(arguments.plan);
  RequireOwnPlan(plan, arguments.plan);
  Records records(arguments.lease);
  Worker worker(plan, list, records);
  if (!supervised) {
    Assignment all{arguments.group, {}};
    if (arguments.group < static_cast<std::int64_t>(plan.groups.size()))
      all.cases.resize(static_cast<std::size_t>(ItemsOf(plan.groups[static_cast<std::size_t>(arguments.group)])));
    std::iota(all.cases.begin(), all.cases.end(), 0);
    return worker.Run(all);
  }
  for (std::string line; std::getline(std::cin, line);)
    if (const int code = worker.Run(AssignmentFrom(line)); code != kExitPass) return code;
  return kExitPass;
}

}  // namespace assay
