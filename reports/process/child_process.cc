#include "reports/process/child_process.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <string_view>
#include <thread>

#include "reports/format/report.h"

namespace assay {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kTick{5};

std::vector<std::string> EnvironmentWith(const std::map<std::string, std::string>& variables) {
  std::vector<std::string> entries;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view entry = *at;
    if (!variables.contains(std::string(entry.substr(0, entry.find('='))))) entries.emplace_back(entry);
  }
  for (const auto& [name, value] : variables)
    if (!value.empty()) entries.push_back(fmt::format("{}={}", name, value));
  return entries;
}

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

std::string SignalText(int signal) {
  const char* const name = ::sigabbrev_np(signal);
  return name == nullptr ? std::to_string(signal) : fmt::format("{} (SIG{})", signal, name);
}

ChildProcess::ChildProcess(const std::vector<std::string>& command, const std::map<std::string, std::string>& variables,
                           const std::vector<ChildDescriptor>& descriptors) {
  const std::vector<std::string> environment = EnvironmentWith(variables);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  for (const ChildDescriptor& descriptor : descriptors) {
    if (descriptor.from >= 0)
      ::posix_spawn_file_actions_adddup2(&actions, descriptor.from, descriptor.to);
    else
      ::posix_spawn_file_actions_addopen(&actions, descriptor.to, descriptor.file.c_str(), O_RDWR | O_CREAT | O_APPEND,
                                         0644);
  }
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t defaults;
  ::sigemptyset(&defaults);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGPIPE}) ::sigaddset(&defaults, signal);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  const int error = ::posix_spawn(&pid_, command.front().c_str(), &actions, &attributes, Pointers(command).data(),
                                  Pointers(environment).data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error == 0) return;
  ended_ = true;
  throw ReportError(fmt::format("{} did not start: {}", command.front(), std::strerror(error)));
}

ChildProcess::~ChildProcess() {
  if (!ended_) Finish(std::chrono::milliseconds(0));
}

bool ChildProcess::Exited() const {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_;
}

ChildProcess::End ChildProcess::Finish(std::chrono::milliseconds patience) {
  const Clock::time_point until = Clock::now() + patience;
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::waitpid(pid_, &status, WNOHANG)) == 0 && Clock::now() < until) std::this_thread::sleep_for(kTick);
  End end;
  end.killed = ended == 0;
  // Whoever is left of the group ends with the child. A zombie of it does not count: it was waited for above.
  end.left_over = ::kill(-pid_, SIGKILL) == 0 && !end.killed;
  if (end.killed) ::waitpid(pid_, &status, 0);
  ended_ = true;
  if (WIFSIGNALED(status)) {
    end.signal = WTERMSIG(status);
    end.how = "was killed by signal " + SignalText(end.signal);
  } else {
    end.code = WEXITSTATUS(status);
    end.how = fmt::format("ended with code {}", end.code);
  }
  return end;
}

}  // namespace assay
