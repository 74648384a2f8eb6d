#include "ci/assay/case_run.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "ci/assay/environment.h"
#include "ci/assay/live_run.h"
#include "ci/assay/system.h"
#include "ci/assay/terminal.h"
#include "ci/assay/watch.h"
#include "engine/ops/ops_factory.h"
#include "engine/text/shell.h"
#include "engine/weights/requantised.h"
#include "reports/environment/begin.h"
#include "reports/environment/host.h"
#include "suites/support/embedded.h"
#include "suites/support/names.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

constexpr int kMostBegins = 3;        // of so many failures it is said where they begin: each runs again
constexpr std::size_t kDetail = 300;  // characters of a comparison's detail: the report has it whole

// What the replay line of a report keeps portable made to run as pasted: this very program, and a path for the model.
std::string PastedReplay(const Case& item, const std::function<std::string(const Case&)>& replay) {
  Case here = item;
  const QuantisedName name = SplitQuantisedName(item.target.model);
  std::error_code error;
  if (ResolveModel(item.target.model) == item.target.model && std::filesystem::exists(name.base, error))
    here.target.model = std::filesystem::absolute(name.base, error).string() + name.suffix;
  std::string line = replay(here);
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error && line.starts_with("assay ")) line.replace(0, 5, Quoted(program.string()));
  return line;
}

}  // namespace

void RequireHostMemory(const std::vector<CaseGroup>& groups) {
  const auto memory = static_cast<double>(UsableMemory());
  for (const CaseGroup& group : groups) {
    const auto needed = static_cast<double>(group.memory_bytes);
    Require(group.device != "host" || memory <= 0 || needed <= memory,
            "model '{}': an engine on the host needs {}, this process may have {}; a smaller --dtype or --device cuda "
            "may do",
            group.model, HumanBytes(needed), HumanBytes(memory));
  }
}

std::vector<Precision> PrecisionsOf(const std::vector<std::string>& names) {
  std::vector<Precision> precisions;
  for (const std::string& name : MatchNames("dtype", names, PrecisionNames()))
    precisions.push_back(PrecisionFromName(name));
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

void PrintFailure(const ReportCase& item, const std::string& replay) {
  if (item.status == Status::kPass || item.status == Status::kSkip) return;
  const std::string status(Name(item.status));
  Tell("{} {}\n{}", Colorized(status, status, stdout), item.id(), Wrapped(item.reason, 2));
  for (const Judgement& judgement : item.judgements) {
    if (judgement.verdict == Verdict::kMatch) continue;
    std::string first;
    if (judgement.first_outside && *judgement.first_outside != judgement.worst)
      first = fmt::format("; first at {}", judgement.first_outside->ToString());
    Tell("{}", Wrapped(fmt::format("{}{}; {} comparison{}; {}", Describe(judgement), first, judgement.comparisons,
                                   judgement.comparisons == 1 ? "" : "s", judgement.bound.from.str()),
                       2));
    const std::string& detail = judgement.detail;
    if (!detail.empty()) Tell("{}", Wrapped(detail.size() <= kDetail ? detail : detail.substr(0, kDetail) + " ...", 4));
  }
  if (!replay.empty()) Tell("  replay: {}\n", Uncut{replay});
}

std::string RequiredMissing(const RunControl& control) {
  return control.require.empty() ? "" : DeviceAvailable(Device::FromName(control.require)).reason;
}

int RunAndReport(Workbench& bench, CaseRun run, const Invocation& invocation) {
  Report report = BeginReport(run.kind, invocation.argc, invocation.argv);
  report.seed = run.seed;
  report.listed = static_cast<std::int64_t>(run.listed);
  report.selected = static_cast<std::int64_t>(run.cases.size());
  std::vector<Target> targets;
  double seconds = 0;
  for (const Case& item : run.cases) {
    targets.push_back(item.target);
    seconds += RoughSeconds(bench, item);
  }
  report.models = ModelsOf(bench, targets);
  report.measures = run.measures;
  DescribeDevice(run.device, bench, &report.environment);
  DescribeArithmetic(bench, targets, &report.environment.system);

  LiveSettings settings{run.control, run.notes, run.seeds, run.cases.size(), seconds, run.report, run.exports, {}};
  const Case* running = nullptr;
  settings.pasted = [&](const ReportCase&) { return PastedReplay(*running, run.replay); };
  LiveRun live(std::move(settings), std::move(report));
  const std::vector<CaseGroup> groups = GroupCases(bench, std::move(run.cases));
  RequireHostMemory(groups);
  {
    const RunWatch watch([&] { live.Tick(); }, [&](int signal) { live.Interrupted(signal); });
    RunOptions options;
    options.replay = run.replay;
    options.before = [&](const Case& item) {
      running = &item;
      live.Begin(0, item.id(), RoughSeconds(bench, item));
    };
    int told = 0;
    options.after = [&](const ReportCase& item) {
      live.End(0, item);
      if (!run.begins || item.status != Status::kFail || told++ >= kMostBegins) return;
      if (const std::string line = run.begins(*running); !line.empty()) Tell("{}", Wrapped("begins: " + line, 2));
    };
    options.stop = [&] { return live.Stopped(); };
    // Where a promised device is not there, hours on another prove nothing: Finish says so.
    if (RequiredMissing(run.control).empty()) RunGroups(bench, groups, options);
  }
  return live.Finish();
}

}  // namespace assay
