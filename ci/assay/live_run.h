// A run as it happens: what is on the screen, what is in the report so far, and what ends it early.
#pragma once

#include <chrono>
#include <mutex>
#include <string>

#include "ci/assay/case_run.h"
#include "ci/assay/report_sink.h"
#include "ci/assay/terminal.h"

namespace assay {

// Begin and End come from the thread that runs cases, Tick and Interrupted from another one.
class LiveRun {
 public:
  LiveRun(const CaseRun& run, Report report, double seconds);  // rough, of all cases

  void Begin(const Case& item, double seconds);  // rough
  void End(const ReportCase& item, const std::string& replay);
  bool Stopped();  // so many failures end the run

  void Tick();
  void Interrupted(int signal);  // does not return
  // Table, report, exit code.
  int Finish();

 private:
  using Clock = std::chrono::steady_clock;

  std::string Progress() const;
  void PrintAll(const ReportSummary& summary);
  int FinishLocked(bool whole);
  // Table and report of what has finished, then the end of the process: another thread is busy with a case.
  [[noreturn]] void Abandon(const std::string& problem, int code);

  const RunControl control_;
  const std::vector<std::string> notes_;
  const bool seeds_;
  const std::size_t selected_;
  const double seconds_;
  std::mutex mutex_;
  Report report_;
  ReportSink sink_;
  ProgressLine progress_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point written_ = start_, said_ = start_, shown_ = start_, case_start_ = start_;
  std::string running_;  // id; empty between cases
  double running_seconds_ = 0, done_seconds_ = 0;
  int failures_ = 0;
};

}  // namespace assay
