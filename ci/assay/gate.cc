// The paired gate of two builds. Of the builds it sees processes and their reports, nothing else.
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <random>

#include "ci/assay/commands.h"
#include "ci/assay/gate_build.h"
#include "ci/assay/gate_rounds.h"
#include "ci/assay/gate_table.h"
#include "ci/assay/report_sink.h"
#include "ci/assay/temporary_folder.h"
#include "ci/assay/terminal.h"
#include "ci/assay/watch.h"
#include "reports/environment/begin.h"
#include "reports/format/writer.h"
#include "reports/policy/policy.h"

namespace assay {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// Another name of a program, in `folder`. Both sides run under names of one length: the length of argv moves the stack,
// which was seen to make the same build 2 % faster or slower.
std::string Linked(const TemporaryFolder& folder, const char* name, const std::string& program) {
  fs::create_symlink(program, fs::path(folder.path()) / name);
  return folder.path() + "/" + name;
}

double Percent(const std::string& text) {
  char* end = nullptr;
  const double percent = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(percent >= 1 && percent <= 100))
    throw ReportError(fmt::format("--threshold '{}': expected 1 to 100 percent, or auto", text));
  return percent / 100;
}

std::optional<Policy> PolicyOf(const GateArguments& arguments) {
  if (arguments.policy.empty()) return std::nullopt;
  return PolicyFrom(ReadFile(arguments.policy), arguments.policy, Now().substr(0, 10));
}

template <class Value>
void TakeUnlessSaid(std::vector<Value>* said, const std::vector<Value>& by_policy) {
  if (said->empty()) *said = by_policy;
}

// What the command line leaves open is the policy's.
GateArguments Completed(GateArguments arguments, const std::optional<Policy>& policy) {
  if (!policy) return arguments;
  TakeUnlessSaid(&arguments.models, policy->models);
  TakeUnlessSaid(&arguments.what, policy->what);
  TakeUnlessSaid(&arguments.dtypes, policy->dtypes);
  TakeUnlessSaid(&arguments.prompts, policy->prompts);
  TakeUnlessSaid(&arguments.sessions, policy->sessions);
  TakeUnlessSaid(&arguments.contexts, policy->contexts);
  if (arguments.device.empty() && policy->devices.size() == 1) arguments.device = policy->devices.front();
  return arguments;
}

GateRule RuleFrom(const GateArguments& arguments, const std::optional<Policy>& policy) {
  GateRule rule = policy ? policy->rule : GateRule{};
  if (arguments.threshold == "auto")
    rule.automatic = true, rule.threshold = GateRule{}.threshold;
  else if (!arguments.threshold.empty())
    rule.automatic = false, rule.threshold = Percent(arguments.threshold);
  if (arguments.rounds > 0) LimitRounds(arguments.rounds, &rule);
  return rule;
}

GateSelection SelectionFrom(const GateArguments& arguments) {
  GateSelection selection{
      arguments.models,  arguments.suites,   arguments.dtypes,   arguments.what,
      arguments.prompts, arguments.sessions, arguments.contexts, arguments.device.empty() ? "auto" : arguments.device,
      arguments.seconds, arguments.timeout_s};
  if (selection.models.empty()) selection.models = {"gemma4-nano"};
  if (selection.dtypes.empty()) selection.dtypes = {"bf16"};
  if (selection.what.empty()) selection.what = {"decode"};
  return selection;
}

// In a report, a build does not tell where it lies.
std::string WithoutFolders(const std::string& argument) {
  const fs::path path(argument);
  return fs::exists(path) && path.has_filename() ? path.filename().string() : argument;
}

std::string Argument(const std::string& build, const std::string& system) {
  if (system.empty()) return WithoutFolders(build);
  return (build.empty() ? "" : WithoutFolders(build) + " ") + "--system " + system;
}

// For a script, which nobody reads: every byte stays.
std::string SingleQuoted(const std::string& word) {
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

class Gate {
 public:
  Gate(const GateArguments& arguments, const Invocation& invocation)
      : policy_(PolicyOf(arguments)),
        arguments_(Completed(arguments, policy_)),
        report_(Begun(arguments_, policy_, invocation)),
        sink_(arguments.report, arguments.exports, report_) {}

  int Run() {
    RunWatch watch([] {}, [this](int signal) { stop_.Stop(signal); });
    const std::string preset = report_.environment.build.cuda.empty() ? "host" : "cuda";
    const GateBuilds builds{Built("a", arguments_.baseline, arguments_.baseline_system, preset),
                            Built("b", arguments_.candidate, arguments_.candidate_system, preset)};
    GateRounds rounds(SelectionFrom(arguments_), builds, folder_.path(), &stop_, &report_, [this] { Changed(); });
    report_.complete = Measure(rounds);
    if (policy_ && report_.complete) {
      report_.problems = Unmet(*policy_, report_);
      report_.complete = report_.problems.empty();
    }
    report_.finished = FinishedAt(report_);
    report_.duration_s = Seconds();
    progress_.Clear();
    PrintGate(report_);
    const ReportSummary summary = Summarise(report_);
    const int code = sink_.Finish(report_, summary);
    return stop_.signal != 0 ? 128 + stop_.signal : code;
  }

 private:
  // A build, this program where none is named; with a system a program that hands it on.
  std::string Built(const char* name, const std::string& named, const std::string& system, const std::string& preset) {
    const std::string program =
        named.empty() ? fs::read_symlink("/proc/self/exe").string() : FindBuild(named, preset, &stop_);
    if (system.empty()) return Linked(folder_, name, program);
    const fs::path script = fs::path(folder_.path()) / name;
    WriteFileAtomically(script.string(), fmt::format("#!/bin/sh\nexec {} \"$@\" --system {}\n", SingleQuoted(program),
                                                     SingleQuoted(system)));
    fs::permissions(script, fs::perms::owner_all);
    return script.string();
  }

  static Report Begun(const GateArguments& arguments, const std::optional<Policy>& policy,
                      const Invocation& invocation) {
    Report report = BeginReport("gate", invocation.argc, invocation.argv);
    GateRecord& record = report.gate.emplace();
    record.rule = RuleFrom(arguments, policy);
    record.coin_seed = arguments.seed ? *arguments.seed : std::random_device()() & 0x7fffffff;
    record.baseline.argument = Argument(arguments.baseline, arguments.baseline_system);
    record.candidate.argument = Argument(arguments.candidate, arguments.candidate_system);
    // Until their own reports say so.
    record.baseline.build.commit = record.candidate.build.commit = "unknown";
    report.seed = record.coin_seed;
    return report;
  }

  bool Measure(GateRounds& rounds) {
    progress_.Show("parity of the candidate");
    if (!rounds.Parity()) return report_.problems.empty();
    const ReportSummary parity = Summarise(report_);
    Tell("parity of the candidate: {} of {} cases pass\n", parity.statuses.at(Status::kPass), report_.cases.size());
    std::fflush(stdout);
    const auto begun = Clock::now();
    auto deadline = Clock::time_point::max();
    const bool screened = rounds.Screen();
    if (!screened) return report_.problems.empty();
    if (arguments_.budget_s > 0) {
      deadline =
          begun + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(arguments_.budget_s));
      FitBudget(rounds.seconds_of_round(), std::chrono::duration<double>(deadline - Clock::now()).count());
    }
    PrintScreen(*report_.gate, rounds.seconds_of_round());
    return rounds.Confirm(deadline) || report_.problems.empty();
  }

  // Looks are chosen before any fresh round is seen, so that the test's level stays what it says.
  void FitBudget(double seconds_of_round, double left) {
    GateRule& rule = report_.gate->rule;
    const int affordable = static_cast<int>(left / seconds_of_round);
    if (affordable < rule.looks.back()) LimitRounds(std::max(affordable, rule.looks.front()), &rule);
    Tell("budget: {:.0f} s are left, {} rounds of {:.1f} s; the last look is at {}\n", left, std::max(affordable, 0),
         seconds_of_round, rule.looks.back());
  }

  void Changed() {
    report_.duration_s = Seconds();
    sink_.Update(report_);
    progress_.Show(ProgressOf(*report_.gate));
  }

  double Seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  const std::optional<Policy> policy_;
  const GateArguments arguments_;
  Report report_;
  ReportSink sink_;
  TemporaryFolder folder_;
  ChildStop stop_;
  ProgressLine progress_;
  Clock::time_point start_ = Clock::now();
};

}  // namespace

int GateCommand(const GateArguments& arguments, const Invocation& invocation) {
  return Gate(arguments, invocation).Run();
}

}  // namespace assay
