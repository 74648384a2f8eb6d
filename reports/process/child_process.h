// A child process in a process group of its own: started, ended, and how it ended.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace assay {

// A descriptor of the child: a copy of `from`, or where `from` is below 0 `file`, appended to.
struct ChildDescriptor {
  int to = -1;
  int from = -1;
  std::string file{};
};

class ChildProcess {
 public:
  // Starts `command`, a program and its arguments, with these variables added to the environment (an empty value takes
  // one away). Other descriptors are inherited unless they close on exec. Signals have their default actions. Throws
  // ReportError when it cannot be started.
  ChildProcess(const std::vector<std::string>& command, const std::map<std::string, std::string>& variables,
               const std::vector<ChildDescriptor>& descriptors);
  ~ChildProcess();  // kills what is left
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  bool Exited() const;  // and was not waited for

  // How it ended: "ended with code 1", "was killed by signal 11 (SIGSEGV)".
  struct End {
    std::string how;
    int code = -1;           // where it exited
    int signal = 0;          // that killed it
    bool killed = false;     // by Finish, because its patience was over
    bool left_over = false;  // it had ended, and something of its group was still there
  };
  // Lets it end by itself for so long, then kills its group, and waits. Once.
  End Finish(std::chrono::milliseconds patience);

 private:
  pid_t pid_ = -1;
  bool ended_ = false;
};

// "11 (SIGSEGV)".
std::string SignalText(int signal);

}  // namespace assay
