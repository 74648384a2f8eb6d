#include "ci/spread/slurm.h"

#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "ci/assay/gate_child.h"
#include "ci/assay/terminal.h"
#include "ci/spread/local.h"
#include "ci/spread/shard_tail.h"
#include "engine/text/shell.h"
#include "reports/format/json.h"
#include "reports/format/writer.h"

namespace assay {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kMostElements = 256;
constexpr std::chrono::milliseconds kPoll{1000};
// A node's last file may be seen by others some time after its job has ended.
constexpr std::chrono::seconds kGrace{4};
constexpr double kToolSeconds = 60;

// Standard output of a tool of the path. Throws with its last words.
std::string Tool(const RunFolder& folder, std::vector<std::string> words) {
  const std::string log = folder.log("slurm-" + words.front() + ".log"), name = words.front();
  ChildStop none;
  const auto [said, problem] = RunTool(std::move(words), log, kToolSeconds, &none);
  if (!problem.empty())
    throw ReportError(fmt::format("{}: {}: {}", name, problem, said.substr(0, said.find_last_not_of('\n') + 1)));
  return said;
}

std::string GrantFile(const RunFolder& folder, std::int64_t generation, std::int64_t task, std::int64_t restart) {
  return fmt::format("{}/{}-{}-{}.json", folder.grants(), generation, task, restart);
}

void WriteGrant(const std::string& path, const std::vector<Lease>& leases) {
  Json json = Json::array();
  for (const Lease& lease : leases)
    json.push_back({{"group", lease.group}, {"attempt", lease.attempt}, {"token", lease.token}});
  WriteFileAtomically(path, json.dump() + "\n");
}

std::vector<Lease> ReadGrant(const std::string& path) {
  std::vector<Lease> leases;
  const Json grant = ParseText(ReadFile(path));
  for (const Json& lease : grant) leases.push_back({lease.at("group"), lease.at("attempt"), lease.at("token")});
  return leases;
}

// An array that was submitted: its bundles, and how each element is.
struct Array {
  std::int64_t generation = 0;
  std::string job;
  struct Element {
    std::vector<std::int64_t> groups;
    std::int64_t restart = 0;  // newest that has a grant
    std::optional<Clock::time_point> ended;
    bool settled = false;  // ended, and what it left open was seen to
  };
  std::vector<Element> elements;
};

// What `scontrol show job --oneliner` says of an element.
struct ElementState {
  std::string state;
  std::int64_t restarts = 0;
};

// "0-2,5%3" as indices.
std::vector<std::int64_t> Indices(const std::string& list) {
  std::vector<std::int64_t> indices;
  std::istringstream parts(list.substr(0, list.find('%')));
  for (std::string part; std::getline(parts, part, ',');) {
    long long from = 0, to = 0;
    const int count = std::sscanf(part.c_str(), "%lld-%lld", &from, &to);
    for (long long i = from; count > 0 && i <= (count == 2 ? to : from); ++i) indices.push_back(i);
  }
  return indices;
}

std::map<std::int64_t, ElementState> ElementStates(const std::string& shown) {
  std::map<std::int64_t, ElementState> states;
  std::istringstream lines(shown);
  for (std::string line; std::getline(lines, line);) {
    std::map<std::string, std::string> fields;
    std::istringstream words(line);
    for (std::string word; words >> word;)
      if (const std::size_t equals = word.find('='); equals != std::string::npos)
        fields.emplace(word.substr(0, equals), word.substr(equals + 1));
    const std::string restarts = fields["Restarts"];
    for (const std::int64_t index : Indices(fields["ArrayTaskId"]))
      states[index] = {fields["JobState"], restarts.empty() ? 0 : std::stoll(restarts)};
  }
  return states;
}

bool IsAlive(const std::string& state) {
  for (const char* alive : {"PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD",
                            "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED"})
    if (state == alive) return true;
  return false;
}

class Coordinator {
 public:
  Coordinator(const RunFolder& folder, LeaseBook& book, const SlurmOptions& options, RunEvents& events)
      : folder_(folder), book_(book), options_(options), events_(events), tail_(folder) {
    tail_.Poll(book_, [](const ShardNews&) {});  // was shown before
    for (const ScheduledJob& job : book_.Jobs()) Watch(Begun(job));
    Adopt();
  }

  // Groups that no element of an earlier coordinator is about to run are submitted.
  void Begin(const std::vector<std::int64_t>& groups) {
    std::vector<std::int64_t> fresh;
    std::copy_if(groups.begin(), groups.end(), std::back_inserter(fresh),
                 [&](std::int64_t group) { return options_.again || !owners_.contains(group); });
    Submit(fresh);
  }

  // False: nothing is left to wait for.
  bool Poll() {
    Show();
    const std::vector<std::int64_t> all = OpenGroups(folder_, book_);
    const std::set<std::int64_t> open(all.begin(), all.end());
    if (open.empty()) return false;
    std::vector<std::int64_t> again;
    bool waiting = false;
    for (Array& array : arrays_) waiting = Follow(&array, open, &again) || waiting;
    Resubmit(again);
    return waiting || !again.empty();
  }

  void Cancel() {
    for (const Array& array : arrays_)
      if (std::any_of(array.elements.begin(), array.elements.end(), [](const auto& element) { return !element.ended; }))
        Tool(folder_, {"scancel", array.job});
  }

  const std::vector<std::string>& problems() const { return problems_; }

 private:
  std::string BundlesFile(std::int64_t generation) const {
    return fmt::format("{}/{}.json", folder_.grants(), generation);
  }

  std::string JobName(std::int64_t generation) const {
    return fmt::format("assay-{:.8}-{}", folder_.plan().nonce, generation);
  }

  Array Begun(const ScheduledJob& job) const {
    Array array{job.generation, job.id, {}};
    const Json bundles = ParseText(ReadFile(BundlesFile(job.generation)));
    for (const Json& groups : bundles) {
      Array::Element element{groups.get<std::vector<std::int64_t>>(), 0, {}, false};
      const auto task = static_cast<std::int64_t>(array.elements.size());
      while (fs::exists(GrantFile(folder_, job.generation, task, element.restart + 1))) ++element.restart;
      array.elements.push_back(std::move(element));
    }
    return array;
  }

  // A coordinator may have been killed between writing grants, submitting and writing down the job.
  void Adopt() {
    const auto generation = static_cast<std::int64_t>(arrays_.size());
    if (!fs::exists(BundlesFile(generation))) return;
    std::istringstream known(
        Tool(folder_, {"squeue", "--noheader", "--states=all", "--name=" + JobName(generation), "--format=%F"}));
    std::string job;
    if (known >> job)
      Remember({job, generation});
    else
      Launch(generation);
  }

  void Remember(const ScheduledJob& job) {
    book_.AddJob(job);
    Watch(Begun(job));
  }

  // The newest array that has a group answers for it.
  void Watch(Array array) {
    for (const Array::Element& element : array.elements)
      for (const std::int64_t group : element.groups) owners_[group] = array.generation;
    arrays_.push_back(std::move(array));
  }

  void Submit(const std::vector<std::int64_t>& groups) {
    if (groups.empty()) return;
    const auto generation = static_cast<std::int64_t>(arrays_.size());
    std::vector<PlanGroup> chosen;
    for (const std::int64_t group : groups) chosen.push_back({"", "", 0, folder_.plan().groups[group].seconds, 0, {}});
    const std::int64_t most = options_.bundles > 0 ? options_.bundles : kMostElements;
    std::vector<std::vector<std::int64_t>> bundles = Bundled(chosen, static_cast<std::size_t>(most));
    for (auto& bundle : bundles)
      for (std::int64_t& group : bundle) group = groups[static_cast<std::size_t>(group)];
    for (std::size_t task = 0; task < bundles.size(); ++task)
      WriteGrant(GrantFile(folder_, generation, static_cast<std::int64_t>(task), 0), book_.Grant(bundles[task]));
    WriteFileAtomically(BundlesFile(generation), Json(bundles).dump() + "\n");
    Launch(generation);
  }

  void Launch(std::int64_t generation) {
    const std::string script = fmt::format("{}/{}.sh", folder_.grants(), generation);
    WriteFileAtomically(script, fmt::format("#!/bin/sh\nexec {} element --run {} --generation {}\n",
                                            Quoted(options_.program), Quoted(folder_.path()), generation));
    const auto elements = ParseText(ReadFile(BundlesFile(generation))).size();
    std::vector<std::string> words{"sbatch",
                                   "--parsable",
                                   fmt::format("--array=0-{}", elements - 1),
                                   "--requeue",
                                   "--job-name=" + JobName(generation),
                                   "--output=" + folder_.log("job-%A_%a.log"),
                                   "--open-mode=append",
                                   "--signal=B:USR1@60"};
    if (folder_.plan().inputs.device != "host")
      words.push_back(folder_.plan().gpu.empty() ? "--gres=gpu:1" : fmt::format("--gres=gpu:{}:1", folder_.plan().gpu));
    words.insert(words.end(), options_.sbatch.begin(), options_.sbatch.end());
    words.push_back(script);
    const std::string said = Tool(folder_, words);
    const std::string job = said.substr(0, said.find_first_of(";\n"));
    Remember({job, generation});
    events_.Say(fmt::format("Slurm job {}: {} elements", job, elements));
  }

  void Show() {
    tail_.Poll(book_, [&](const ShardNews& news) {
      const auto place = static_cast<int>(news.group);
      const PlanGroup& group = folder_.plan().groups[static_cast<std::size_t>(news.group)];
      if (news.result) events_.End(place, *news.result);
      if (!news.ended)
        events_.Begin(place, fmt::format("group {} ({}) on {}", news.group, group.model, news.host),
                      group.seconds / static_cast<double>(ItemsOf(group)));
      else
        events_.Idle(place);
    });
  }

  // Whether something of the array may still bring an answer. Groups that it left open are added to `again`.
  bool Follow(Array* array, const std::set<std::int64_t>& open, std::vector<std::int64_t>* again) {
    if (std::all_of(array->elements.begin(), array->elements.end(),
                    [](const auto& element) { return element.settled; }))
      return false;
    std::map<std::int64_t, ElementState> states;
    try {
      states = ElementStates(Tool(folder_, {"scontrol", "--oneliner", "show", "job", array->job}));
      unreachable_ = false;
    } catch (const ReportError& error) {
      const std::string why = error.what();
      // Slurm forgets jobs some minutes after they have ended.
      if (why.find("Invalid job id") == std::string::npos) {
        if (!std::exchange(unreachable_, true)) events_.Say("Slurm does not answer: " + why);
        return true;
      }
    }
    bool waiting = false;
    for (std::size_t task = 0; task < array->elements.size(); ++task)
      waiting = FollowElement(*array, static_cast<std::int64_t>(task), states, open, again) || waiting;
    return waiting;
  }

  bool FollowElement(Array& array, std::int64_t task, const std::map<std::int64_t, ElementState>& states,
                     const std::set<std::int64_t>& open, std::vector<std::int64_t>* again) {
    Array::Element& element = array.elements[static_cast<std::size_t>(task)];
    if (element.settled) return false;
    const auto state = states.find(task);
    if (state != states.end() && IsAlive(state->second.state)) {
      element.ended.reset();
      if (state->second.restarts > element.restart) Regrant(array, task, state->second, open);
      return true;
    }
    if (!element.ended) element.ended = Clock::now();
    if (Clock::now() - *element.ended < kGrace) return true;
    element.settled = true;
    std::copy_if(element.groups.begin(), element.groups.end(), std::back_inserter(*again),
                 [&](std::int64_t group) { return Answers(array, group) && open.contains(group); });
    return false;
  }

  bool Answers(const Array& array, std::int64_t group) const { return owners_.at(group) == array.generation; }

  // Slurm put the element back into its queue. What it had finished stays; for the rest a new lease holds, and the old
  // node, should it live, speaks for nobody. Since that is settled, there is no need to wait out its death.
  void Regrant(Array& array, std::int64_t task, const ElementState& state, const std::set<std::int64_t>& open) {
    Array::Element& element = array.elements[static_cast<std::size_t>(task)];
    std::vector<std::int64_t> left;
    std::copy_if(element.groups.begin(), element.groups.end(), std::back_inserter(left),
                 [&](std::int64_t group) { return Answers(array, group) && open.contains(group); });
    element.restart = state.restarts;
    WriteGrant(GrantFile(folder_, array.generation, task, element.restart), book_.Grant(left));
    events_.Say(fmt::format("Slurm job {}_{}: requeued, restart {}: {} of {} groups again under new leases", array.job,
                            task, element.restart, left.size(), element.groups.size()));
    if (state.state != "PENDING") return;
    try {
      Tool(folder_, {"scontrol", "update", fmt::format("JobId={}_{}", array.job, task), "StartTime=now"});
    } catch (const ReportError&) {
      // Not everyone may: then it begins when Slurm says so.
    }
  }

  void Resubmit(const std::vector<std::int64_t>& groups) {
    std::map<std::int64_t, Lease> newest = NewestLeases(book_);
    std::vector<std::int64_t> again;
    for (const std::int64_t group : groups) {
      if (newest[group].attempt < kMostAttempts)
        again.push_back(group);
      else
        problems_.push_back(fmt::format("group {}: given up after {} attempts", group, newest[group].attempt));
    }
    if (!again.empty())
      events_.Say(
          fmt::format("groups {} were left open by elements that ended: submitted again", fmt::join(again, ", ")));
    Submit(again);
  }

  const RunFolder& folder_;
  LeaseBook& book_;
  const SlurmOptions& options_;
  RunEvents& events_;
  ShardTail tail_;
  std::vector<Array> arrays_;                    // by generation
  std::map<std::int64_t, std::int64_t> owners_;  // of groups: generations
  std::vector<std::string> problems_;
  bool unreachable_ = false;
};

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The time limit is near: what runs is left to the next attempt.
std::atomic<bool> time_is_up = false;
extern "C" void TimeIsUp(int) { time_is_up = true; }

// An element's log is its job's output.
class ElementLog : public RunEvents {
 public:
  void Begin(int, const std::string&, double) override {}
  void End(int, const ReportCase& result) override {
    Tell("{} {}\n", Name(result.status), result.id());
    Flush();
  }
  void Say(const std::string& line) override {
    Tell("{}\n", line);
    Flush();
  }

 private:
  static void Flush() { std::fflush(stdout); }
};

}  // namespace

std::vector<std::string> RunOnSlurm(const RunFolder& folder, LeaseBook& book, const std::vector<std::int64_t>& groups,
                                    const SlurmOptions& options, RunEvents& events, const std::atomic<bool>& stop) {
  Coordinator coordinator(folder, book, options, events);
  coordinator.Begin(groups);
  while (!stop && coordinator.Poll()) std::this_thread::sleep_for(kPoll);
  if (stop) coordinator.Cancel();
  return coordinator.problems();
}

int RunElement(const RunFolder& folder, std::int64_t generation, PlaceOptions place) {
  const std::string task = Variable("SLURM_ARRAY_TASK_ID"), restart = Variable("SLURM_RESTART_COUNT");
  if (task.empty()) throw ReportError("element: SLURM_ARRAY_TASK_ID is not set: this is no element of a Slurm array");
  place.scheduler = {{"job", Variable("SLURM_ARRAY_JOB_ID")},
                     {"task", task},
                     {"restart", restart.empty() ? "0" : restart},
                     {"node", Variable("SLURMD_NODENAME")}};
  place.variables.erase("CUDA_VISIBLE_DEVICES");  // Slurm's own holds
  place.log = folder.log(fmt::format("worker-{}-{}.{}.log", generation, task, place.scheduler["restart"]));
  for (const int signal : {SIGUSR1, SIGTERM}) std::signal(signal, TimeIsUp);
  const std::string grant = GrantFile(folder, generation, std::stoll(task), std::stoll(place.scheduler["restart"]));
  while (!fs::exists(grant) && !time_is_up) std::this_thread::sleep_for(kPoll);
  ElementLog log;
  Supervisor supervisor(folder.plan(), place, log, time_is_up);
  const std::vector<Lease> leases = time_is_up ? std::vector<Lease>{} : ReadGrant(grant);
  std::size_t written = 0;
  for (const Lease& lease : leases)
    if (supervisor.Run(lease) == Supervisor::Outcome::kWritten) ++written;
  if (time_is_up) log.Say(fmt::format("told to end: {} of {} groups are written", written, leases.size()));
  return written == leases.size() && !time_is_up ? 0 : 4;
}

}  // namespace assay
