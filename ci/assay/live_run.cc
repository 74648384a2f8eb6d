#include "ci/assay/live_run.h"

#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "ci/assay/bench_table.h"
#include "ci/assay/environment.h"
#include "ci/assay/flips.h"
#include "ci/assay/terminal.h"
#include "ci/assay/watch.h"
#include "reports/environment/begin.h"
#include "reports/render/summary.h"

namespace assay {
namespace {

// How much of a run may be lost when it dies.
constexpr std::chrono::seconds kUpdateEvery{5};
constexpr std::chrono::milliseconds kRedraw{500};

double Seconds(std::chrono::steady_clock::duration time) { return std::chrono::duration<double>(time).count(); }

// "0:07", "12:03", "1:02:03".
std::string Clocked(double seconds) {
  const auto all = static_cast<long>(seconds);
  if (all >= 3600) return fmt::format("{}:{:02}:{:02}", all / 3600, all / 60 % 60, all % 60);
  return fmt::format("{}:{:02}", all / 60, all % 60);
}

// A line for each suite and device. Counts have a colour where they count something.
void PrintTable(const Report& report) {
  const std::vector<std::vector<std::string>> rows = SuiteTable(report);
  Table table("<<>>>>><>>>", rows.front());
  for (std::size_t i = 1; i < rows.size(); ++i) {
    std::vector<std::string> colours(rows[i].size());
    for (std::size_t at = 0; at < colours.size(); ++at) {
      const std::string& column = rows.front()[at];
      const bool bad = column == "fail" || column == "error" || column == "skip";
      colours[at] = bad ? (rows[i][at] == "0" ? "" : column) : rows[i][at];
    }
    table.Add(rows[i], std::move(colours));
  }
  table.Print(stdout);
}

// Why cases were skipped, one line a reason: the report has the ledger case by case.
void PrintSkips(const ReportSummary& summary) {
  for (const auto& [reason, ids] : summary.skips)
    Tell("{} {} case{}: {}\n", Colorized("skip", "skipped", stdout), ids.size(), ids.size() == 1 ? "" : "s", reason);
}

void PrintFlips(const Report& report) {
  const std::vector<std::vector<std::string>> rows = FlipTable(report);
  if (rows.size() == 1) return Tell("no case flipped between seeds\n");
  Table table("<>><", rows.front());
  for (std::size_t i = 1; i < rows.size(); ++i) table.Add(rows[i]);
  table.Print(stdout);
}

void PrintDurations(const Report& report, int most) {
  std::vector<const ReportCase*> cases;
  for (const ReportCase& item : report.cases) cases.push_back(&item);
  std::stable_sort(cases.begin(), cases.end(), [](auto a, auto b) { return a->duration_s > b->duration_s; });
  cases.resize(std::min<std::size_t>(cases.size(), most));
  Table table("><", {"time", "slowest cases"});
  for (const ReportCase* item : cases) table.Add({fmt::format("{:.2f} s", item->duration_s), item->id()});
  table.Print(stdout);
}

// Who ran how much of it.
void PrintPlaces(const Report& report) {
  struct Share {
    std::int64_t groups = 0, cases = 0, restarts = 0, others = 0;
  };
  std::map<std::pair<std::string, std::string>, Share> shares;  // by host and GPU
  for (const ShardGroup& group : report.distribution->groups)
    for (const ShardAttempt& attempt : group.attempts) {
      Share& share = shares[{attempt.host, attempt.gpu}];
      const bool merged = attempt.state == "merged";
      share.groups += merged ? 1 : 0;
      share.cases += merged ? group.cases : 0;
      share.others += merged ? 0 : 1;
      share.restarts += std::max<std::int64_t>(0, attempt.workers - 1);
    }
  Table table("<<>>>>", {"host", "GPU", "groups", "cases", "restarts", "not merged"});
  for (const auto& [place, share] : shares)
    table.Add({place.first, place.second.empty() ? "none" : place.second, fmt::format("{}", share.groups),
               fmt::format("{}", share.cases), fmt::format("{}", share.restarts), fmt::format("{}", share.others)});
  table.Print(stdout);
  for (const RetriedCase& item : report.distribution->retried)
    Tell("ran again: {}: its worker {}\n", item.id, fmt::format("{}", fmt::join(item.deaths, "; then ")));
}

}  // namespace

LiveRun::LiveRun(LiveSettings settings, Report report)
    : settings_(std::move(settings)),
      report_(std::move(report)),
      sink_(settings_.report, settings_.exports, report_),
      progress_(!settings_.control.quiet) {}

std::string LiveRun::Oldest() const {
  const auto oldest = std::min_element(running_.begin(), running_.end(),
                                       [](const auto& a, const auto& b) { return a.second.since < b.second.since; });
  return oldest == running_.end() ? "" : oldest->second.id;
}

// What remains is estimated from the cost of what has finished: suites differ by more than their numbers of cases.
std::string LiveRun::Progress() const {
  const double elapsed = Seconds(Clock::now() - start_);
  std::string text = fmt::format("[{}/{}] {}", std::min(report_.cases.size() + 1, settings_.selected),
                                 settings_.selected, Clocked(elapsed));
  if (done_seconds_ > 0 && elapsed > 2)
    text += fmt::format(", about {} left",
                        Clocked(elapsed / done_seconds_ * std::max(0.0, settings_.seconds - done_seconds_)));
  if (failures_ > 0) text += fmt::format(", {} failed", failures_);
  if (running_.size() > 1)
    text += fmt::format(", {} running, {:.1f} a second", running_.size(),
                        static_cast<double>(report_.cases.size()) / std::max(elapsed, 0.1));
  const std::string oldest = Oldest();
  return text + (oldest.empty() ? "" : ": " + oldest);
}

void LiveRun::Begin(int place, const std::string& id, double seconds) {
  const std::lock_guard lock(mutex_);
  running_[place] = {id, seconds, Clock::now()};
  progress_.Show(Progress());
}

void LiveRun::End(int place, const ReportCase& item) {
  const std::lock_guard lock(mutex_);
  if (const auto running = running_.find(place); running != running_.end()) {
    done_seconds_ += running->second.seconds;
    running_.erase(running);
  }
  const bool bad = item.status == Status::kFail || item.status == Status::kError;
  if (bad) {
    ++failures_;
    progress_.Clear();
    PrintFailure(item, settings_.pasted(item));
    std::fflush(stdout);
  }
  Count(item);
  const Clock::time_point now = Clock::now();
  if (now - written_ < kUpdateEvery) return;
  report_.duration_s = Seconds(now - start_);
  sink_.Update(report_);
  written_ = now;
}

void LiveRun::Idle(int place) {
  const std::lock_guard lock(mutex_);
  running_.erase(place);
}

void LiveRun::Say(const std::string& line) {
  const std::lock_guard lock(mutex_);
  progress_.Clear();
  Tell(stderr, "{}\n", line);
}

void LiveRun::Known(const ReportCase& result) {
  const std::lock_guard lock(mutex_);
  if (result.status == Status::kFail || result.status == Status::kError) ++failures_;
  Count(result);
}

void LiveRun::Count(const ReportCase& item) {
  if (item.suite != "bench") report_.cases.push_back(item);
}

bool LiveRun::Stopped() {
  const std::lock_guard lock(mutex_);
  const int most = settings_.control.max_failures;
  if (most == 0 || failures_ < most) return false;
  if (report_.cases.size() < settings_.selected)
    report_.problems.push_back(fmt::format("stopped after {} failure{}: {} of {} cases ran", failures_,
                                           failures_ == 1 ? "" : "s", report_.cases.size(), settings_.selected));
  return true;
}

void LiveRun::Tick() {
  const std::lock_guard lock(mutex_);
  const Clock::time_point now = Clock::now();
  for (const auto& [place, running] : running_)
    if (settings_.control.timeout_s > 0 && Seconds(now - running.since) > settings_.control.timeout_s)
      Abandon(fmt::format("{} took more than {:g} s", running.id, settings_.control.timeout_s), -1);
  if (progress_.on_terminal()) {
    if (now - shown_ < kRedraw || running_.empty()) return;
    progress_.Show(Progress());
    shown_ = now;
  } else if (!settings_.control.quiet && now - said_ >= kHeartbeat) {
    Tell(stderr, "{}\n", Progress());
    said_ = now;
  }
}

void LiveRun::Interrupted(int signal) {
  const std::lock_guard lock(mutex_);
  const std::string oldest = Oldest();
  if (!settings_.how_to_resume.empty()) Tell("to go on: {}\n", Uncut{settings_.how_to_resume});
  Abandon(InterruptedBy(signal) + (oldest.empty() ? "" : " in " + oldest), 128 + signal);
}

void LiveRun::Abandon(const std::string& problem, int code) {
  report_.problems.push_back(problem);
  int verdict = kExitInternal;
  try {
    verdict = FinishLocked(false);
  } catch (const std::exception& error) {
    Complain(error.what());
  }
  EndAtOnce(code < 0 ? verdict : code);
}

void LiveRun::PrintAll(const ReportSummary& summary) {
  if (!settings_.control.quiet) {
    PrintTable(report_);
    PrintRows(report_);
    if (report_.distribution) PrintPlaces(report_);
    PrintSkips(summary);
    for (const std::string& note : settings_.notes) Tell("{}\n", note);
    if (settings_.seeds) PrintFlips(report_);
  }
  if (settings_.control.durations > 0) PrintDurations(report_, settings_.control.durations);
  for (const std::string& problem : report_.problems) Tell("not complete: {}\n", problem);
  const auto count = [&](Status status) { return summary.statuses.at(status); };
  Tell("{}: {} of {} cases passed, {} failed, {} errored, {} skipped in {:.1f} s\n",
       Colorized(summary.verdict, summary.verdict, stdout), count(Status::kPass), report_.cases.size(),
       count(Status::kFail), count(Status::kError), count(Status::kSkip), report_.duration_s);
  if (report_.selected == 0) Tell("no case was selected of {} listed\n", report_.listed);
}

int LiveRun::FinishLocked(bool whole) {
  if (whole) CountErrorsAfter(&report_.environment);
  report_.duration_s = Seconds(Clock::now() - start_);
  if (whole) report_.finished = FinishedAt(report_);
  if (whole) CheckRequired();
  return Judge();
}

void LiveRun::CheckRequired() {
  if (!settings_.control.require.empty()) {
    const std::string kind = Device::FromName(settings_.control.require).kind_name();
    const bool ran = std::any_of(report_.cases.begin(), report_.cases.end(), [&](const ReportCase& item) {
      return item.status != Status::kSkip && item.axes.Text("device") == kind;
    });
    const std::string why = RequiredMissing(settings_.control);
    if (!ran)
      report_.problems.push_back(fmt::format("no case ran on {}, which is required{}{}", settings_.control.require,
                                             why.empty() ? "" : ": ", why));
  }
}

int LiveRun::Judge() {
  progress_.Clear();
  report_.complete = report_.problems.empty();
  const ReportSummary summary = Summarise(report_);
  PrintAll(summary);
  return sink_.Finish(report_, summary);
}

int LiveRun::Finish() {
  const std::lock_guard lock(mutex_);
  return FinishLocked(true);
}

int LiveRun::Finish(Report merged) {
  const std::lock_guard lock(mutex_);
  // What ended the run early is no fault of a shard.
  merged.problems.insert(merged.problems.begin(), report_.problems.begin(), report_.problems.end());
  // What was seen and is in no shard file is kept all the same: such a report is not complete.
  if (!merged.problems.empty()) {
    std::set<std::string> known;
    for (const ReportCase& item : merged.cases) known.insert(item.id());
    for (ReportCase& item : report_.cases)
      if (known.insert(item.id()).second) merged.cases.push_back(std::move(item));
  }
  report_ = std::move(merged);
  CheckRequired();
  return Judge();
}

}  // namespace assay
