// assay fuzz: random schedules over random tiny models, judged like the Schedule suite; what fails is shrunk.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>

#include "ci/assay/case_run.h"
#include "ci/assay/commands.h"
#include "ci/assay/system.h"
#include "ci/assay/terminal.h"
#include "engine/ops/ops_factory.h"
#include "engine/text/shell.h"
#include "suites/faults/catalogue.h"
#include "suites/parity/player.h"
#include "suites/parity/random_schedule.h"
#include "suites/parity/shrink.h"
#include "suites/support/names.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

constexpr int kModels = 1000;  // that random-N stands for
constexpr int kMoves = 40;

std::unique_ptr<SystemProvider> PlantedProvider(const FuzzArguments& arguments) {
  if (arguments.fault.empty()) return nullptr;
  std::vector<std::string> ids;
  for (const FaultRow& row : Catalogue())
    if (row.plant) ids.push_back(row.id);
  const std::string id = MatchNames("fault", {arguments.fault}, ids).front();
  for (const FaultRow& row : Catalogue())
    if (row.id == id) return row.plant(std::make_shared<bool>(false));
  return nullptr;
}

// What a schedule on a model comes to; `rows` counts what was compared.
class Fuzzer {
 public:
  // `other`: the provider, where it is one of another process.
  Fuzzer(std::unique_ptr<SystemProvider> provider, ProcessProvider* other)
      : bench_(std::move(provider)), other_(other) {}

  CaseOutcome Run(const Target& target, const Schedule& schedule) {
    using enum Capability;
    Case item = MakeCase("Fuzz", "Schedule", target, {}, {kLogits, kChunk, kBatch, kMixed}, [&](CaseState& state) {
      const Played played = PlaySchedule(state, schedule);
      moves_ += played.moves;
      rows_ += played.rows;
    });
    return CaseRunner(bench_).Run(item);
  }
  // As a replay does it: by a process that did nothing before.
  CaseOutcome RunAfresh(const Target& target, const Schedule& schedule) {
    if (other_ != nullptr) other_->EndIdle();
    return Run(target, schedule);
  }
  Workbench& bench() { return bench_; }
  std::int64_t moves() const { return moves_; }
  std::int64_t rows() const { return rows_; }

 private:
  Workbench bench_;
  ProcessProvider* other_;
  std::int64_t moves_ = 0, rows_ = 0;
};

std::string Replay(const FuzzArguments& arguments, const Target& target, const Schedule& schedule) {
  const std::string replay =
      fmt::format("assay fuzz --model {} --seed {} --dtype {} --device {}{} --schedule {}", target.model, target.seed,
                  Name(target.precision), target.device.name(),
                  arguments.fault.empty() ? "" : " --fault " + arguments.fault, Quoted(ToText(schedule)));
  return WithSystem(arguments.system, replay);
}

int Sessions(const Schedule& schedule) {
  std::map<int, bool> seen;
  for (const Move& move : schedule.moves) {
    if (move.kind == Move::Kind::kOpen) seen[move.parts[0].session] = true;
    if (move.kind == Move::Kind::kFork) seen[move.other] = true;
  }
  return static_cast<int>(seen.size());
}

bool Failed(const CaseOutcome& outcome) { return outcome.status == Status::kFail || outcome.status == Status::kError; }

int TellFailure(const FuzzArguments& arguments, Fuzzer& fuzzer, const Target& target, const Schedule& schedule,
                const CaseOutcome& outcome) {
  Tell("fail {} seed {}: {}\n", target.model, target.seed, outcome.reason);
  // The same kind of failure: of what it says, what comes before the place, or the last request.
  const auto kind = [](const CaseOutcome& o) {
    return o.reason.substr(0, std::min(o.reason.find(" is "), o.reason.find(';')));
  };
  const std::string same = kind(outcome);
  const auto fails = [&](const Schedule& candidate) {
    const CaseOutcome now = fuzzer.RunAfresh(target, candidate);
    return Failed(now) && kind(now) == same;
  };
  const Schedule least = arguments.schedule.empty() ? Shrunk(schedule, fails) : schedule;
  const CaseOutcome again = fuzzer.RunAfresh(target, least);
  const std::string replay = Replay(arguments, target, least);
  Tell("  {}\n  {} sessions and {} moves; replay: {}\n",
       Failed(again) ? again.reason : "it passes when run again: what ran before it matters", Sessions(least),
       least.moves.size(), Uncut{replay});
  return kExitFailure;
}

int TellSkipped(const Target& target, const CaseOutcome& outcome) {
  Tell("skip {}: {}\n", target.model, outcome.reason);
  return kExitIncomplete;
}

}  // namespace

int FuzzCommand(const FuzzArguments& arguments) {
  using Clock = std::chrono::steady_clock;
  std::unique_ptr<ProcessProvider> other = ProviderOf(arguments.system);
  Target target{.model = arguments.model,
                .device = ResolveDevice(DeviceOf(other.get(), arguments.device)),
                .precision = PrecisionFromName(arguments.dtype),
                .seed = arguments.seed};
  target.loose = other && other->Loose();
  ProcessProvider* const process = other.get();
  Fuzzer fuzzer(process ? std::move(other) : PlantedProvider(arguments), process);
  if (!arguments.model.empty())
    RequireHostMemory(GroupCases(fuzzer.bench(), {MakeCase("Fuzz", "Schedule", target, {}, {}, nullptr)}));
  if (!arguments.schedule.empty()) {
    Require(!arguments.model.empty(), "--schedule needs the --model that it was found on");
    const Schedule schedule = ScheduleFromText(arguments.schedule);
    const CaseOutcome outcome = fuzzer.Run(target, schedule);
    if (Failed(outcome)) return TellFailure(arguments, fuzzer, target, schedule, outcome);
    if (outcome.status == Status::kSkip) return TellSkipped(target, outcome);
    Tell("PASS: {}\n", ToText(schedule));
    return kExitPass;
  }
  const auto start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  std::int64_t schedules = 0, skipped = 0;
  for (std::uint64_t number = arguments.seed; elapsed() < arguments.seconds; ++number, ++schedules) {
    target.seed = number;
    if (arguments.model.empty()) target.model = fmt::format("random-{}", number % kModels);
    const Schedule schedule = RandomSchedule(fuzzer.bench().Spec(target), number, kMoves);
    const CaseOutcome outcome = fuzzer.Run(target, schedule);
    if (Failed(outcome)) return TellFailure(arguments, fuzzer, target, schedule, outcome);
    if (outcome.status == Status::kSkip && skipped++ == 0) TellSkipped(target, outcome);
    fuzzer.bench().Forget();
  }
  Tell("{}: {} schedules{}, {} moves, {} rows compared in {:.1f} s: {:.0f} moves per second\n",
       fuzzer.rows() > 0 ? "PASS" : "INCOMPLETE", schedules - skipped,
       skipped > 0 ? fmt::format(" ({} more skipped)", skipped) : "", fuzzer.moves(), fuzzer.rows(), elapsed(),
       static_cast<double>(fuzzer.moves()) / elapsed());
  return fuzzer.rows() > 0 ? kExitPass : kExitIncomplete;
}

}  // namespace assay
