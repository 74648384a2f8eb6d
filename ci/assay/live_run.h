// A run as it happens: what is on the screen, what is in the report so far, and what ends it early.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "ci/assay/case_run.h"
#include "ci/assay/report_sink.h"
#include "ci/assay/terminal.h"
#include "ci/spread/supervisor.h"

namespace assay {

// What a run shows, whoever runs its cases.
struct LiveSettings {
  RunControl control{};
  std::vector<std::string> notes{};  // for people, behind the table
  bool seeds = false;                // they are an axis: what flipped between them is said
  std::size_t selected = 0;          // cases
  double seconds = 0;                // rough, of all cases
  std::string report{};              // file; empty: none
  ExportArguments exports{};
  std::function<std::string(const ReportCase&)> pasted;  // the replay line as it runs here
  std::string how_to_resume{};                           // of a run that was interrupted; empty: it cannot be
};

// Begin, End and Say come from the threads that run cases, a place each; Tick and Interrupted from another one.
class LiveRun : public RunEvents {
 public:
  LiveRun(LiveSettings settings, Report report);

  void Begin(int place, const std::string& id, double seconds) override;  // rough
  void End(int place, const ReportCase& result) override;
  void Idle(int place) override;
  void Say(const std::string& line) override;
  // What an earlier coordinator of the run saw end: counted, and not shown again.
  void Known(const ReportCase& result);
  bool Stopped();  // so many failures end the run

  void Tick();
  void Interrupted(int signal);  // does not return
  // Table, report, exit code.
  int Finish();
  // The same of a report that was made of what workers wrote.
  int Finish(Report merged);

 private:
  using Clock = std::chrono::steady_clock;
  struct Running {
    std::string id;
    double seconds = 0;  // rough
    Clock::time_point since;
  };

  void Count(const ReportCase& item);  // of a row, which is no case, the merged report tells
  std::string Progress() const;
  std::string Oldest() const;  // id of the case that has run longest; empty: none runs
  void PrintAll(const ReportSummary& summary);
  int FinishLocked(bool whole);
  void CheckRequired();  // a device that was asked for was used
  int Judge();
  // Table and report of what has finished, then the end of the process: another thread is busy with a case.
  [[noreturn]] void Abandon(const std::string& problem, int code);

  const LiveSettings settings_;
  std::mutex mutex_;
  Report report_;
  ReportSink sink_;
  ProgressLine progress_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point written_ = start_, said_ = start_, shown_ = start_;
  std::map<int, Running> running_;  // by place
  double done_seconds_ = 0;
  int failures_ = 0;
};

}  // namespace assay
