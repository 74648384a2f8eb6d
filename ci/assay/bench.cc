#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>

#include "bench/cases/cases.h"
#include "ci/assay/bench_parity.h"
#include "ci/assay/bench_table.h"
#include "ci/assay/commands.h"
#include "ci/assay/session.h"
#include "ci/assay/terminal.h"
#include "engine/ops/ops_factory.h"
#include "reports/context.h"
#include "suites/parity/parity.h"
#include "suites/suites.h"
#include "suites/support/references.h"

namespace assay {
namespace {

using Clock = std::chrono::steady_clock;

// The benchmarks of one subject.
struct Group {
  Subject subject;
  std::vector<BenchCase> cases;
};

std::vector<Group> GroupsOf(const BenchArguments& arguments, const std::string& device) {
  BenchInputs inputs{arguments.sessions, arguments.contexts, {}};
  for (const std::string& prompt : arguments.prompts) inputs.prompts.push_back(PromptShapeFrom(prompt));
  std::vector<Group> groups;
  for (const std::string& model : MatchModels(arguments.models)) {
    for (const std::string& dtype : Distinct(arguments.dtypes)) {
      const Subject subject{model, device, PrecisionFromName(dtype), arguments.seed, arguments.batch_invariant};
      const BenchSubject bench{model,        &StoreOf(subject),      device, subject.precision,
                               subject.seed, subject.batch_invariant};
      groups.push_back({subject, ListBenchmarks(bench, inputs, arguments.what)});
    }
  }
  return groups;
}

BenchTable TableFor(const std::vector<Group>& groups) {
  std::size_t model = 5, name = 4;
  for (const Group& group : groups) {
    model = std::max(model, group.subject.model.size());
    for (const BenchCase& item : group.cases) name = std::max(name, item.what == "ops" ? 44 : item.name.size());
  }
  return {model, name};
}

// Verifies and times group after group; prints and reports as it goes.
class BenchRun {
 public:
  BenchRun(Report report, const std::string& device, const std::string& file, double seconds, BenchTable table)
      : report_(std::move(report)), seconds_(seconds), table_(table), start_(Clock::now()) {
    report_.devices = DevicesOf({device});
    if (DeviceAvailable(device).ok) log_.emplace(device);
    file_.emplace(file, report_);
  }

  void Run(const Group& group) {
    BenchSetting setting;
    setting.seconds = seconds_;
    const std::vector<Parity> parities = Verify(group, &setting);
    for (std::size_t i = 0; i < group.cases.size(); ++i) {
      const BenchCase& item = group.cases[i];
      progress_.Show(fmt::format("timing {} {} {}", item.subject.model, Name(item.subject.precision), item.name));
      for (ReportBenchmark& row : TimeIfRight(item, parities[i], setting)) {
        progress_.Clear();
        table_.Row(row);
        report_.benchmarks.push_back(std::move(row));
      }
      Update();
    }
  }

  int Finish() {
    Update();
    report_.finished = Now();
    report_.complete = true;
    const ReportSummary summary = Summarise(report_);
    const auto timed = std::count_if(report_.benchmarks.begin(), report_.benchmarks.end(),
                                     [](const ReportBenchmark& row) { return row.status == "pass"; });
    fmt::print("{}: {} of {} rows timed, {} of {} parity cases passed in {:.1f} s\n",
               Painted(summary.verdict, summary.verdict, stdout), timed, report_.benchmarks.size(),
               summary.statuses.at("pass"), report_.cases.size(), report_.duration_s);
    return file_->Finish(report_, summary);
  }

 private:
  // Runs the suites' cases that vouch for the group, then frees what they hold on a device: engines need the room.
  std::vector<Parity> Verify(const Group& group, BenchSetting* setting) {
    // First of all: where large models have come and gone, what is left of a device's memory was seen to copy 14 %
    // slower.
    if (DeviceAvailable(group.subject.device).ok) setting->roofs = RoofsOf(group.subject);
    ParityGate gate(group.subject, [&](const ReportCase& outcome) {
      progress_.Clear();
      PrintFailure(outcome);
      report_.cases.push_back(outcome);
      Update();
    });
    report_.listed += static_cast<std::int64_t>(gate.listed());
    std::vector<Parity> parities;
    for (const BenchCase& item : group.cases) {
      progress_.Show(fmt::format("verifying {} {} {}", item.subject.model, Name(item.subject.precision), item.name));
      parities.push_back(gate.Judge(item));
    }
    const auto passes = [](const Parity& parity) { return parity.status == "pass"; };
    if (std::none_of(parities.begin(), parities.end(), passes)) return parities;
    try {
      gate.FillTolerance(setting);
      ReleaseReferences();
      ReleaseRealGeometry();
      setting->log = log_ ? &*log_ : nullptr;
    } catch (const std::exception& error) {
      for (Parity& parity : parities)
        if (passes(parity)) parity = {"error", error.what(), parity.verdict};
    }
    return parities;
  }

  // Measured once for each mode.
  Roofs RoofsOf(const Subject& subject) {
    const auto known = roofs_.find(subject.precision);
    if (known != roofs_.end()) return known->second;
    const Roofs roofs = MeasureRoofs(subject.device, subject.precision);
    const std::string dtype = Name(subject.precision);
    progress_.Clear();
    table_.Print(dtype, roofs);
    if (roofs_.empty()) table_.Header();
    report_.devices.front().facts["roofs_" + dtype] = fmt::format(
        "copy {:.4g} B/s, read {:.4g} B/s, gemm {:.4g} FLOP/s; {}", roofs.copy, roofs.read, roofs.gemm, roofs.how);
    return roofs_.emplace(subject.precision, roofs).first->second;
  }

  void Update() {
    report_.selected = static_cast<std::int64_t>(report_.cases.size());
    report_.duration_s = std::chrono::duration<double>(Clock::now() - start_).count();
    if (log_)
      for (auto& [name, fact] : log_->Facts()) report_.devices.front().facts[name] = fact;
    file_->Update(report_);
  }

  Report report_;
  double seconds_;
  BenchTable table_;
  Clock::time_point start_;
  std::optional<DeviceLog> log_;
  std::optional<KeptReport> file_;
  std::map<Precision, Roofs> roofs_;
  ProgressLine progress_;
};

}  // namespace

int BenchCommand(const BenchArguments& arguments, const Invocation& invocation) {
  const std::string device = ResolveDevice(arguments.device);
  const std::vector<Group> groups = GroupsOf(arguments, device);
  std::vector<std::string> models;
  for (const Group& group : groups) models.push_back(group.subject.model);
  Report report = BeginReport("bench", invocation.argc, invocation.argv);
  report.seed = arguments.seed;
  report.models = ModelsOf(models, arguments.seed);
  BenchRun run(std::move(report), device, arguments.report, arguments.seconds, TableFor(groups));
  for (const Group& group : groups) run.Run(group);
  return run.Finish();
}

}  // namespace assay
