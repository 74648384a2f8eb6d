#include "ci/assay/spread.h"

#include <fmt/core.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <thread>

#include "ci/assay/live_run.h"
#include "ci/assay/plan.h"
#include "ci/assay/temporary_folder.h"
#include "ci/assay/terminal.h"
#include "ci/assay/watch.h"
#include "ci/spread/local.h"
#include "ci/spread/run_folder.h"
#include "ci/spread/shard_tail.h"
#include "ci/spread/slurm.h"
#include "engine/memory/device_facts.h"
#include "engine/ops/ops_factory.h"
#include "engine/text/shell.h"
#include "reports/environment/begin.h"
#include "suites/suites.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

namespace fs = std::filesystem;

std::string ThisProgram() { return fs::read_symlink("/proc/self/exe").string(); }

// What CUDA numbers from 0 on in this process, by the names that its children must be given.
std::vector<std::string> VisibleDevices() {
  std::vector<std::string> names;
  const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
  const std::string list = visible == nullptr ? "" : visible;
  for (std::size_t at = 0; at < list.size();) {
    const std::size_t comma = std::min(list.find(',', at), list.size());
    names.push_back(list.substr(at, comma - at));
    at = comma + 1;
  }
  const auto count = static_cast<std::size_t>(CudaDeviceCount());
  for (std::size_t i = names.size(); i < count; ++i) names.push_back(std::to_string(i));
  names.resize(count);
  return names;
}

// A worker for each GPU, which nobody shares with it; on a host so many as are asked for. Each has its share of the
// cores.
std::vector<PlaceOptions> Places(const RunFolder& folder, const std::string& device, int jobs) {
  std::vector<std::map<std::string, std::string>> variables(static_cast<std::size_t>(std::max(1, jobs)));
  if (device != "host") {
    std::vector<std::string> gpus = VisibleDevices();
    if (const auto asked = static_cast<std::size_t>(Device::FromName(device).index); device.find(':') != device.npos)
      gpus = asked < gpus.size() ? std::vector{gpus[asked]} : std::vector<std::string>{};
    Require(jobs <= static_cast<int>(std::max<std::size_t>(gpus.size(), 1)),
            "--jobs {}: this process sees {} GPU(s), and a worker has one for itself", jobs, gpus.size());
    // Without any there is one worker, whose cases are skipped with the reason.
    variables.resize(std::max<std::size_t>(1, jobs > 0 ? static_cast<std::size_t>(jobs) : gpus.size()));
    for (std::size_t i = 0; i < gpus.size() && i < variables.size(); ++i)
      variables[i]["CUDA_VISIBLE_DEVICES"] = gpus[i];
  }
  const std::size_t cores = std::max(1u, std::thread::hardware_concurrency());
  if (std::getenv("OMP_NUM_THREADS") == nullptr)
    for (auto& own : variables)
      own["OMP_NUM_THREADS"] = std::to_string(std::max<std::size_t>(1, cores / variables.size()));
  std::vector<PlaceOptions> places;
  for (std::size_t i = 0; i < variables.size(); ++i) {
    PlaceOptions place;
    place.index = static_cast<int>(i);
    place.program = ThisProgram();
    place.plan_file = folder.plan_file();
    place.shard_folder = folder.shards();
    place.log = folder.log(fmt::format("worker-{}.log", i));
    place.variables = variables[i];
    places.push_back(std::move(place));
  }
  return places;
}

Plan PlanOf(const RunArguments& arguments, const SpreadArguments& spread, const Invocation& invocation,
            const CaseLister& list) {
  if (!spread.plan.empty()) {
    Plan plan = ReadPlan(spread.plan);
    RequireOwnPlan(plan, spread.plan);
    return plan;
  }
  PlanArguments options;
  options.workers = spread.jobs;
  if (ResolveDevice(arguments.device) != Device::Host() && spread.executor != "slurm")
    options.workers = std::max<std::int64_t>(spread.jobs, CudaDeviceCount());
  options.durations_from = spread.durations_from;
  return MakePlan(arguments, options, invocation, list);
}

RunFolder FolderOf(const RunArguments& arguments, const SpreadArguments& spread, const std::string& path,
                   const Invocation& invocation, const CaseLister& list) {
  if (spread.resume) {
    RunFolder folder = RunFolder::Open(path);
    RequireOwnPlan(folder.plan(), folder.plan_file());
    return folder;
  }
  return RunFolder::Make(path, PlanOf(arguments, spread, invocation, list));
}

LiveSettings SettingsOf(const RunArguments& arguments, const Plan& plan, const std::string& folder,
                        const std::string& executor) {
  LiveSettings settings;
  settings.control = arguments.control;
  settings.control.timeout_s = 0;  // supervisors see to it, case by case
  settings.seeds = plan.inputs.seeds > 1;
  settings.selected = static_cast<std::size_t>(CasesOf(plan));
  for (const PlanGroup& group : plan.groups) settings.seconds += group.seconds;
  settings.report = arguments.report;
  settings.exports = arguments.exports;
  settings.pasted = [](const ReportCase& item) {
    std::string line = item.replay;
    if (line.starts_with("assay ")) line.replace(0, 5, Quoted(ThisProgram()));
    return line;
  };
  if (!folder.empty())
    settings.how_to_resume = fmt::format("{} run --run {}{} --resume", Quoted(ThisProgram()), Quoted(folder),
                                         executor == "slurm" ? " --executor slurm" : "");
  return settings;
}

Report BegunReport(const Plan& plan) {
  Report report = BeginReport("run", 0, nullptr);
  TakeFrom(plan, &report);
  return report;
}

// What is timed comes last, and each of its groups has its device for itself: a GPU, of which a place is one, or all of
// the host.
std::vector<std::string> RunHere(const RunFolder& folder, LeaseBook& book, std::vector<std::int64_t> groups,
                                 const std::string& device, int jobs, LiveRun& live, const std::atomic<bool>& stop) {
  const auto timed = std::stable_partition(groups.begin(), groups.end(), [&](std::int64_t group) {
    return folder.plan().groups[static_cast<std::size_t>(group)].rows.empty();
  });
  const auto run = [&](auto begin, auto end, int places) {
    return begin == end ? std::vector<std::string>{}
                        : RunLocally(folder, book, {begin, end}, Places(folder, device, places), live, stop);
  };
  std::vector<std::string> problems = run(groups.begin(), timed, jobs);
  const std::vector<std::string> later = run(timed, groups.end(), device == "host" ? 1 : jobs);
  problems.insert(problems.end(), later.begin(), later.end());
  return problems;
}

// One job of a CI matrix: it runs a bundle, or a group, and leaves shard files for `assay merge`.
int RunFiles(const RunFolder& folder, const SpreadArguments& spread, const std::string& device, LiveRun& live,
             const std::atomic<bool>& stop) {
  const Plan& plan = folder.plan();
  std::vector<std::int64_t> groups{spread.group};
  if (spread.group < 0) {
    Require(!plan.bundles.empty(), "--bundle {}: the plan has no bundles; make it with --bundles N", spread.bundle);
    Require(spread.bundle >= 0 && spread.bundle < static_cast<std::int64_t>(plan.bundles.size()),
            "--bundle {}: the plan has {}, counted from 0", spread.bundle, plan.bundles.size());
    groups = plan.bundles[static_cast<std::size_t>(spread.bundle)];
  }
  Require(groups.front() < static_cast<std::int64_t>(plan.groups.size()), "--group {}: the plan has {}, counted from 0",
          spread.group, plan.groups.size());
  Supervisor supervisor(plan, Places(folder, device, 1).front(), live, stop);
  bool whole = true;
  for (const std::int64_t group : groups)
    whole =
        supervisor.Run(DerivedLease(PlanHash(plan), group, spread.attempt)) == Supervisor::Outcome::kWritten && whole;
  Tell("{} groups in {}: assay merge makes the report of them\n", groups.size(), folder.shards());
  return whole ? kExitPass : kExitIncomplete;
}

}  // namespace

int SpreadCommand(const RunArguments& arguments, const SpreadArguments& spread, const Invocation& invocation,
                  const CaseLister& list) {
  std::signal(SIGPIPE, SIG_IGN);  // a worker that died must not end the run
  const bool files = spread.executor == "files";
  Require(!files || !spread.plan.empty(), "--executor files: every job needs the same plan: --plan FILE");
  Require(!files || spread.group >= 0 || spread.bundle >= 0,
          "--executor files: --bundle I or --group G says which part");
  Require(!files || !spread.folder.empty(), "--executor files: --run FOLDER says where shard files go");
  Require(!files || arguments.report.empty(), "--executor files: 'assay merge' writes the report of all parts");
  Require(files || spread.group < 0 || spread.resume, "--group: of --executor files, or of a run that is resumed");
  Require(!spread.resume || !spread.folder.empty(), "--resume: --run FOLDER says which run");
  Require(spread.executor != "slurm" || !spread.folder.empty(),
          "--executor slurm: --run FOLDER, which all nodes see, is where they leave what they find");
  std::optional<TemporaryFolder> temporary;
  if (spread.folder.empty()) temporary.emplace();
  const std::string path = temporary ? temporary->path() : spread.folder;
  const RunFolder folder = files && fs::exists(path + "/plan.json")
                               ? RunFolder::Open(path)
                               : FolderOf(arguments, spread, path, invocation, list);
  const Plan& plan = folder.plan();
  if (plan.groups.empty()) {
    Tell("no case was selected of {} listed\n", plan.listed);
    return kExitIncomplete;
  }
  const std::string device =
      plan.inputs.device == "host" || arguments.device == "auto" ? plan.inputs.device : arguments.device;
  LiveRun live(SettingsOf(arguments, plan, temporary || files ? "" : folder.path(), spread.executor),
               BegunReport(plan));
  std::atomic<bool> stop = false;
  std::vector<std::string> problems;
  std::optional<LeaseBook> book;
  {
    const RunWatch watch(
        [&] {
          live.Tick();
          if (!stop && live.Stopped()) stop = true;
        },
        [&](int signal) { live.Interrupted(signal); });
    if (files) return RunFiles(folder, spread, device, live, stop);
    const CoordinatorLock lock(folder.path());
    book.emplace(folder.leases_file(), PlanHash(plan));
    std::vector<std::int64_t> groups{spread.group};
    if (spread.group < 0) groups = OpenGroups(folder, *book);
    Require(groups.empty() || groups.front() < static_cast<std::int64_t>(plan.groups.size()),
            "--group {}: the plan has {}, counted from 0", spread.group, plan.groups.size());
    ShardTail(folder).Poll(*book, [&](const ShardNews& news) {
      if (news.result) live.Known(*news.result);
    });
    if (spread.executor == "slurm")
      problems = RunOnSlurm(folder, *book, groups, {ThisProgram(), spread.sbatch, spread.bundles, spread.group >= 0},
                            live, stop);
    else if (RequiredMissing(arguments.control).empty())
      problems = RunHere(folder, *book, groups, device, spread.jobs, live, stop);
  }
  const MergeInput input =
      MergeInputOf(plan, folder.plan_file(), folder.path(), PopulationOf(plan.inputs, list), Quoted(ThisProgram()));
  const MergeResult merged = Merge(input);
  Report report = WholeReport(merged);
  report.problems.insert(report.problems.begin(), problems.begin(), problems.end());
  if (temporary && !merged.problems.empty()) {
    temporary->Keep();
    Tell("what workers left is in {}\n", folder.path());
  }
  return live.Finish(std::move(report));
}

int ElementCommand(const std::string& path, std::int64_t generation) {
  std::signal(SIGPIPE, SIG_IGN);
  const RunFolder folder = RunFolder::Open(path);
  RequireOwnPlan(folder.plan(), folder.plan_file());
  return RunElement(folder, generation, Places(folder, folder.plan().inputs.device, 1).front());
}

}  // namespace assay
