#include "ci/spread/supervisor.h"

#include <fmt/core.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <numeric>
#include <thread>
#include <utility>

#include "reports/environment/begin.h"
#include "reports/environment/gpu.h"

namespace assay {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::milliseconds kEnding{5000};  // a worker that said it is done may take so long to be gone
constexpr int kMostDeaths = 2;                      // of workers of one case
constexpr int kMostIdleDeaths = 3;                  // of workers that died without running a case
constexpr double kMemoryBack = 0.99;                // of what was free before

double Seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

// Signals that a process earns by what it does itself. Others come from outside: an operator, the kernel's hunt for
// memory.
bool IsOwnFault(const std::string& death) {
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP})
    if (death.find("signal " + SignalText(signal)) != std::string::npos) return true;
  return false;
}

}  // namespace

std::string LastWords(const std::string& log) {
  std::ifstream in(log);
  std::string line, last;
  while (std::getline(in, line))
    if (!line.empty()) last = line;
  return last.substr(0, 300);
}

// A shard file on its way.
struct Supervisor::Shard {
  const Lease& lease;
  const PlanGroup& group;
  std::vector<std::int64_t> pending{};  // indices of cases without an outcome, in order
  std::optional<std::int64_t> running{};
  ReportCase begun{};  // the running case, without an outcome
  Clock::time_point since{};
  std::map<std::int64_t, std::vector<std::string>> deaths{};
  int idle_deaths = 0;
  bool assigned_done = false;
  std::string gone{};  // how the last worker went
  std::int64_t cases = 0;
  std::vector<EccCounts> ecc_after{};
  std::optional<ShardWriter> writer{};
  const Clock::time_point start = Clock::now();
};

Supervisor::Supervisor(const Plan& plan, PlaceOptions options, RunEvents& events, const std::atomic<bool>& stop)
    : plan_(plan), plan_hash_(PlanHash(plan)), options_(std::move(options)), events_(events), stop_(stop) {}

Supervisor::~Supervisor() {
  if (worker_) worker_->Finish(stop_ ? std::chrono::milliseconds(0) : kEnding);
}

bool Supervisor::StartWorker(std::string* why) {
  WaitForMemory();
  worker_ = std::make_unique<WorkerProcess>(
      std::vector<std::string>{options_.program, "worker", "--plan", options_.plan_file}, options_.variables,
      options_.log);
  ++workers_;
  const Clock::time_point start = Clock::now();
  std::string line;
  WorkerProcess::Heard heard{};
  while ((heard = worker_->Read(&line, kTick)) == WorkerProcess::Heard::kNothing && !stop_ &&
         Seconds(Clock::now() - start) < options_.start_timeout_s) {
  }
  if (heard == WorkerProcess::Heard::kLine) {
    const Json hello = JsonOrNothing(line);
    if (hello.is_object() && hello.value("kind", "") == "hello") {
      environment_ = EnvironmentFrom(hello.at("environment"));
      if (const std::int64_t free = hello.value("free_bytes", std::int64_t{0}); free > 0) free_at_start_ = free;
      return true;
    }
  }
  const bool silent = heard == WorkerProcess::Heard::kNothing;
  const WorkerProcess::End end = worker_->Finish(silent ? std::chrono::milliseconds(0) : kEnding);
  worker_.reset();
  *why = silent ? fmt::format("said nothing for {:g} s", options_.start_timeout_s) : end.how;
  return false;
}

void Supervisor::WaitForMemory() const {
  if (!free_at_start_ || environment_.gpus.empty()) return;
  const std::string& device = environment_.gpus.front().bus_id;
  const auto wanted = static_cast<std::int64_t>(kMemoryBack * static_cast<double>(*free_at_start_));
  const Clock::time_point start = Clock::now();
  while (!stop_) {
    const std::optional<std::int64_t> free = FreeMemory(device);
    if (!free || *free >= wanted) return;
    if (Seconds(Clock::now() - start) > options_.memory_timeout_s)
      return events_.Say(fmt::format("GPU {}: {} of {} bytes are free again {:g} s after its worker ended", device,
                                     *free, *free_at_start_, options_.memory_timeout_s));
    std::this_thread::sleep_for(kTick);
  }
}

Supervisor::Outcome Supervisor::Run(const Lease& lease) {
  const PlanGroup& group = plan_.groups.at(static_cast<std::size_t>(lease.group));
  Shard shard{.lease = lease, .group = group};
  shard.pending.resize(static_cast<std::size_t>(ItemsOf(group)));
  std::iota(shard.pending.begin(), shard.pending.end(), 0);
  workers_ = worker_ ? 1 : 0;
  leftovers_ = 0;
  while (!shard.pending.empty()) {
    std::string why;
    if (!worker_ && !StartWorker(&why)) {
      if (stop_) return Outcome::kStopped;
      shard.gone = why;
      ++shard.idle_deaths;
    } else {
      if (!shard.writer) {
        shard.writer.emplace(options_.shard_folder,
                             ShardBegin{plan_hash_, plan_.run_id, plan_.nonce, lease.group, lease.attempt, lease.token,
                                        Now(), environment_, options_.scheduler});
      }
      if (!Follow({lease.group, shard.pending}, &shard)) return Outcome::kStopped;
    }
    if (shard.idle_deaths < kMostIdleDeaths) continue;
    const std::string words = LastWords(options_.log);
    events_.Say(fmt::format("group {} ({}): {} workers in turn did not get to a case; the last one {}{}", lease.group,
                            group.model, kMostIdleDeaths, shard.gone, words.empty() ? "" : "; it said: " + words));
    return Outcome::kNoWorker;
  }
  shard.writer->Close({shard.cases, Now(), Seconds(Clock::now() - shard.start), workers_, leftovers_, shard.ecc_after});
  return Outcome::kWritten;
}

bool Supervisor::Follow(const Assignment& assignment, Shard* shard) {
  shard->assigned_done = false;
  worker_->Send(ToLine(assignment));
  while (!shard->assigned_done) {
    if (stop_) return false;
    std::string line;
    const WorkerProcess::Heard heard = worker_->Read(&line, kTick);
    if (heard == WorkerProcess::Heard::kLine) {
      try {
        Take(ParseText(line), shard->group, shard);
      } catch (const Json::exception& error) {
        Bury(fmt::format("said what is no record: {}", error.what()), shard);
        return true;
      } catch (const NotJson& error) {
        Bury(fmt::format("said what is no record: {}", error.what()), shard);
        return true;
      }
    } else if (heard == WorkerProcess::Heard::kEnd) {
      Bury("", shard);
      return true;
    } else if (shard->running && Seconds(Clock::now() - shard->since) > shard->group.case_timeout_s) {
      Bury(fmt::format("took more than {:g} s", shard->group.case_timeout_s), shard);
      return true;
    }
  }
  return true;
}

void Supervisor::Take(const Json& said, const PlanGroup& group, Shard* shard) {
  const std::string kind = said.at("kind");
  if (kind == "done") {
    for (const Json& counts : said.at("ecc_after")) shard->ecc_after.push_back({counts.at(0), counts.at(1)});
    shard->assigned_done = true;
    return;
  }
  shard->idle_deaths = 0;
  shard->running = said.at("index").get<std::int64_t>();
  ReportCase item = CaseRecordFrom(said);
  std::optional<TimedRows> timed;
  if (said.contains("timed")) timed = TimedFrom(said.at("timed"));
  if (kind == "case") return Record(std::move(item), std::move(timed), shard);
  shard->begun = std::move(item);
  shard->since = Clock::now();
  events_.Begin(options_.index, shard->begun.id(),
                group.seconds / static_cast<double>(std::max<std::int64_t>(1, ItemsOf(group))));
}

// Takes the running case off the list with its outcome. One that ran through after its own fault had killed a worker is
// no pass: the next user may not be so lucky.
void Supervisor::Record(ReportCase result, std::optional<TimedRows> timed, Shard* shard) {
  const std::int64_t index = *std::exchange(shard->running, std::nullopt);
  const std::vector<std::string> deaths = shard->deaths[index];
  const auto fault = std::find_if(deaths.begin(), deaths.end(), IsOwnFault);
  if (fault != deaths.end() && result.status == Status::kPass) {
    result.status = Status::kError;
    result.reason = fmt::format("flaky: its worker {}, and it passed when it ran again", *fault);
    result.replay = shard->begun.replay;
    timed.reset();
  }
  std::erase(shard->pending, index);
  ++shard->cases;
  shard->writer->Add({index, deaths, result, std::move(timed)});
  events_.End(options_.index, result);
}

// The worker is gone, or is made to go because of `cause`. The case that it ran gets another, once.
void Supervisor::Bury(const std::string& cause, Shard* shard) {
  const WorkerProcess::End end = worker_->Finish(cause.empty() ? kEnding : std::chrono::milliseconds(0));
  worker_.reset();
  if (end.left_over) ++leftovers_;
  shard->gone = cause.empty() ? end.how : cause;
  if (!shard->running) {
    // What lost its device has answered for the case that did it: that is progress.
    if (end.code != kWorkerLostDevice) ++shard->idle_deaths;
    return;
  }
  std::vector<std::string>& deaths = shard->deaths[*shard->running];
  deaths.push_back(shard->gone);
  events_.Say(fmt::format("{}: its worker {}", shard->begun.id(), shard->gone));
  if (static_cast<int>(deaths.size()) < kMostDeaths) return shard->running.reset();
  ReportCase result = shard->begun;
  result.status = Status::kError;
  result.reason = fmt::format("{}: its worker {}{}", cause.empty() ? "crash" : "timeout", deaths.back(),
                              deaths.front() == deaths.back() ? ", twice" : "; before that it " + deaths.front());
  const std::string words = LastWords(options_.log);
  if (cause.empty() && !words.empty()) result.reason += "; the worker's log ends: " + words;
  result.duration_s = Seconds(Clock::now() - shard->since);
  Record(std::move(result), std::nullopt, shard);
}

}  // namespace assay
