// The child process that owns a workbench and one device. It writes no file: its supervisor does.
#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <map>
#include <numeric>

#include "ci/assay/commands.h"
#include "ci/assay/environment.h"
#include "ci/assay/plan.h"
#include "ci/spread/worker_protocol.h"
#include "reports/environment/begin.h"
#include "reports/environment/gpu.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

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
    for (Case& item : CasesOf(plan.inputs, bench_, list)) cases_.emplace(item.id(), std::move(item));
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
    CaseRunner runner(bench_);
    for (const std::int64_t index : assignment.cases) {
      const std::string& id = group.cases.at(static_cast<std::size_t>(index));
      const auto known = cases_.find(id);
      Require(known != cases_.end(), "case {}: in the plan, but this build does not list it", id);
      const Case& item = known->second;
      const std::string replay = ReplayLine(item);
      CaseOutcome none;
      none.status = Status::kError;
      none.reason = "no outcome";
      records_.Write(CaseLine("running", index, ToReport(item, none, replay)));
      records_.Write(CaseLine("case", index, ToReport(item, runner.Run(item), replay)));
      if (runner.Lost(item.target.device)) return kWorkerLostDevice;
    }
    bench_.Forget();
    CountErrorsAfter(&environment_);
    Json ecc = Json::array();
    for (const GpuInfo& gpu : environment_.gpus)
      if (gpu.ecc_after) ecc.push_back({gpu.ecc_after->corrected, gpu.ecc_after->uncorrected});
    records_.Write({{"kind", "done"}, {"ecc_after", ecc}});
    return kExitPass;
  }

 private:
  const Plan& plan_;
  Records& records_;
  Workbench bench_;
  std::map<std::string, Case> cases_;  // by id
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
      all.cases.resize(plan.groups[static_cast<std::size_t>(arguments.group)].cases.size());
    std::iota(all.cases.begin(), all.cases.end(), 0);
    return worker.Run(all);
  }
  for (std::string line; std::getline(std::cin, line);)
    if (const int code = worker.Run(AssignmentFrom(line)); code != kExitPass) return code;
  return kExitPass;
}

}  // namespace assay
