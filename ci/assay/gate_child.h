// A child process with a time limit, and the report that it leaves: what a gate sees of a build.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "reports/format/report.h"

namespace assay {

// Shared with a thread that wants the children to end.
struct ChildStop {
  std::atomic<int> signal = 0;     // once it is not 0, no child starts
  std::atomic<pid_t> running = 0;  // process group of the child that runs; 0: none does
  void Stop(int by);               // kills the group
};

struct ChildEnd {
  std::string failure;  // "did not start: ...", "was killed by signal 9", "took more than 60 s"; empty: it exited
  int code = 0;         // where it exited
};

// Runs `command` in a process group of its own with both outputs in `log`, and waits. Whatever is left of the group is
// killed when the child has ended or its time is over.
ChildEnd RunChild(const std::vector<std::string>& command, const std::string& log, double timeout_s, ChildStop* stop);

// What a program of the path printed, errors with it, which stays in `log`; `problem`, unless empty, is how it failed.
struct ToolOutput {
  std::string said, problem;  // "ended with 1", "took more than 60 s"
};
ToolOutput RunTool(std::vector<std::string> words, const std::string& log, double timeout_s, ChildStop* stop);

// What a child that was to write a report left.
struct ChildReport {
  std::optional<Report> report;
  std::string problem;          // why there is none that may be used
  std::string file;             // where it lies until the next child runs
  bool not_comparable = false;  // the problem is a report of another major version
};

// Runs `command` with --report FILE added. Used is a report that is whole, valid, of this kind, complete, and says what
// the exit code says. `problem` ends with the last line that the child wrote.
ChildReport RunForReport(std::vector<std::string> command, const std::string& kind, const std::string& folder,
                         double timeout_s, ChildStop* stop);

}  // namespace assay
