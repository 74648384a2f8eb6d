#include "ci/assay/live_run.h"

#include <fmt/core.h>

#include <algorithm>

#include "ci/assay/environment.h"
#include "ci/assay/flips.h"
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
    fmt::print("{} {} case{}: {}\n", Colorized("skip", "skipped", stdout), ids.size(), ids.size() == 1 ? "" : "s",
               reason);
}

void PrintFlips(const Report& report) {
  const std::vector<std::vector<std::string>> rows = FlipTable(report);
  if (rows.size() == 1) return fmt::print("no case flipped between seeds\n");
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

}  // namespace

LiveRun::LiveRun(const CaseRun& run, Report report, double seconds)
    : control_(run.control),
      notes_(run.notes),
      seeds_(run.seeds),
      selected_(run.cases.size()),
      seconds_(seconds),
      report_(std::move(report)),
      sink_(run.report, run.exports, report_),
      progress_(!run.control.quiet) {}

// What remains is estimated from the cost of what has finished: suites differ by more than their numbers of cases.
std::string LiveRun::Progress() const {
  const double elapsed = Seconds(Clock::now() - start_);
  std::string text =
      fmt::format("[{}/{}] {}", std::min(report_.cases.size() + 1, selected_), selected_, Clocked(elapsed));
  if (done_seconds_ > 0 && elapsed > 2)
    text += fmt::format(", about {} left", Clocked(elapsed / done_seconds_ * std::max(0.0, seconds_ - done_seconds_)));
  if (failures_ > 0) text += fmt::format(", {} failed", failures_);
  return text + (running_.empty() ? "" : ": " + running_);
}

void LiveRun::Begin(const Case& item, double seconds) {
  const std::lock_guard lock(mutex_);
  running_ = item.id();
  running_seconds_ = seconds;
  case_start_ = Clock::now();
  progress_.Show(Progress());
}

void LiveRun::End(const ReportCase& item, const std::string& replay) {
  const std::lock_guard lock(mutex_);
  running_.clear();
  done_seconds_ += running_seconds_;
  const bool bad = item.status == Status::kFail || item.status == Status::kError;
  if (bad) {
    ++failures_;
    progress_.Clear();
    PrintFailure(item, replay);
    std::fflush(stdout);
  }
  report_.cases.push_back(item);
  const Clock::time_point now = Clock::now();
  if (now - written_ < kUpdateEvery) return;
  report_.duration_s = Seconds(now - start_);
  sink_.Update(report_);
  written_ = now;
}

bool LiveRun::Stopped() {
  const std::lock_guard lock(mutex_);
  if (control_.max_failures == 0 || failures_ < control_.max_failures) return false;
  if (report_.cases.size() < selected_)
    report_.problems.push_back(fmt::format("stopped after {} failure{}: {} of {} cases ran", failures_,
                                           failures_ == 1 ? "" : "s", report_.cases.size(), selected_));
  return true;
}

void LiveRun::Tick() {
  const std::lock_guard lock(mutex_);
  const Clock::time_point now = Clock::now();
  if (!running_.empty() && control_.timeout_s > 0 && Seconds(now - case_start_) > control_.timeout_s)
    Abandon(fmt::format("{} took more than {:g} s", running_, control_.timeout_s), -1);
  if (progress_.on_terminal()) {
    if (now - shown_ < kRedraw || running_.empty()) return;
    progress_.Show(Progress());
    shown_ = now;
  } else if (!control_.quiet && now - said_ >= kHeartbeat) {
    fmt::print(stderr, "{}\n", Progress());
    said_ = now;
  }
}

void LiveRun::Interrupted(int signal) {
  const std::lock_guard lock(mutex_);
  Abandon(InterruptedBy(signal) + (running_.empty() ? "" : " in " + running_), 128 + signal);
}

void LiveRun::Abandon(const std::string& problem, int code) {
  report_.problems.push_back(problem);
  int verdict = kExitInternal;
  try {
    verdict = FinishLocked(false);
  } catch (const std::exception& error) {
    fmt::print(stderr, "assay: {}\n", error.what());
  }
  EndAtOnce(code < 0 ? verdict : code);
}

void LiveRun::PrintAll(const ReportSummary& summary) {
  if (!control_.quiet) {
    PrintTable(report_);
    PrintSkips(summary);
    for (const std::string& note : notes_) fmt::print("{}\n", note);
    if (seeds_) PrintFlips(report_);
  }
  if (control_.durations > 0) PrintDurations(report_, control_.durations);
  for (const std::string& problem : report_.problems) fmt::print("not complete: {}\n", problem);
  const auto count = [&](Status status) { return summary.statuses.at(status); };
  fmt::print("{}: {} of {} cases passed, {} failed, {} errored, {} skipped in {:.1f} s\n",
             Colorized(summary.verdict, summary.verdict, stdout), count(Status::kPass), report_.cases.size(),
             count(Status::kFail), count(Status::kError), count(Status::kSkip), report_.duration_s);
  if (report_.selected == 0) fmt::print("no case was selected of {} listed\n", report_.listed);
}

int LiveRun::FinishLocked(bool whole) {
  progress_.Clear();
  if (whole) CountErrorsAfter(&report_.environment);
  report_.duration_s = Seconds(Clock::now() - start_);
  if (whole) report_.finished = Now();
  if (whole && !control_.require.empty()) {
    const std::string kind = Device::FromName(control_.require).kind_name();
    const bool ran = std::any_of(report_.cases.begin(), report_.cases.end(), [&](const ReportCase& item) {
      return item.status != Status::kSkip && item.axes.Text("device") == kind;
    });
    const std::string why = RequiredMissing(control_);
    if (!ran)
      report_.problems.push_back(
          fmt::format("no case ran on {}, which is required{}{}", control_.require, why.empty() ? "" : ": ", why));
  }
  report_.complete = report_.problems.empty();
  const ReportSummary summary = Summarise(report_);
  PrintAll(summary);
  return sink_.Finish(report_, summary);
}

int LiveRun::Finish() {
  const std::lock_guard lock(mutex_);
  return FinishLocked(true);
}

}  // namespace assay
