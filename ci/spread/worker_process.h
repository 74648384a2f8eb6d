// A worker as a child process in a process group of its own, with pipes to it and from it.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "reports/process/child_process.h"

namespace assay {

class WorkerProcess {
 public:
  // Starts `command` with these variables added to the environment (an empty value takes one away) and its standard
  // error appended to `log`. Throws ReportError when it cannot be started. It ends when the thread that started it
  // does.
  WorkerProcess(const std::vector<std::string>& command, const std::map<std::string, std::string>& variables,
                const std::string& log);
  ~WorkerProcess();  // kills what is left
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  // False: it takes nothing more.
  bool Send(const std::string& text);

  enum class Heard { kLine, kNothing, kEnd };
  // The next line without its end; kNothing when none came in time, kEnd when none will.
  Heard Read(std::string* line, std::chrono::milliseconds wait);

  // Lets it end by itself for so long, then kills its group, and waits. How it ended: "ended with code 1", "was killed
  // by signal 11 (SIGSEGV)". `left_over`: something of its group was still there.
  using End = ChildProcess::End;
  End Finish(std::chrono::milliseconds patience);

 private:
  std::optional<ChildProcess> child_;
  int in_ = -1, out_ = -1;
  std::string buffer_;
};

}  // namespace assay
