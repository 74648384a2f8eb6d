#include "ci/spread/worker_process.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>

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

// Both ends are closed in other children: one that held the end of another's pipe would keep it open.
struct Pipe {
  Pipe() {
    if (::pipe2(ends, O_CLOEXEC) != 0) throw ReportError(fmt::format("no pipe: {}", std::strerror(errno)));
  }
  int ends[2] = {-1, -1};
};

}  // namespace

std::string SignalText(int signal) {
  const char* const name = ::sigabbrev_np(signal);
  return name == nullptr ? std::to_string(signal) : fmt::format("{} (SIG{})", signal, name);
}

WorkerProcess::WorkerProcess(const std::vector<std::string>& command,
                             const std::map<std::string, std::string>& variables, const std::string& log) {
  const Pipe in, out;
  const std::vector<std::string> environment = EnvironmentWith(variables);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in.ends[0], STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, out.ends[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
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
  ::close(in.ends[0]);
  ::close(out.ends[1]);
  in_ = in.ends[1];
  out_ = out.ends[0];
  if (error == 0) return;
  ended_ = true;
  ::close(in_);
  ::close(out_);
  throw ReportError(
      fmt::format("worker did not start: {} with log {}: {}", command.front(), log, std::strerror(error)));
}

WorkerProcess::~WorkerProcess() {
  if (ended_) return;
  Finish(std::chrono::milliseconds(0));
}

bool WorkerProcess::Send(const std::string& text) {
  // A worker that died would end this process by SIGPIPE, which the commands that have workers ignore.
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t written = ::write(in_, text.data() + at, text.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    at += static_cast<std::size_t>(written);
  }
  return true;
}

bool WorkerProcess::Exited() const {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_;
}

WorkerProcess::Heard WorkerProcess::Read(std::string* line, std::chrono::milliseconds wait) {
  const Clock::time_point until = Clock::now() + wait;
  while (true) {
    if (const std::size_t newline = buffer_.find('\n'); newline != std::string::npos) {
      *line = buffer_.substr(0, newline);
      buffer_.erase(0, newline + 1);
      return Heard::kLine;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    pollfd waited{out_, POLLIN, 0};
    // What the worker had written before it died is there before its death is seen.
    const bool exited = Exited();
    const int ready = ::poll(&waited, 1, left > 0 && !exited ? static_cast<int>(left) : 0);
    // A child of the worker may hold the pipe open after it.
    if (ready == 0) return exited ? Heard::kEnd : Heard::kNothing;
    if (ready < 0 && errno == EINTR) return Heard::kNothing;
    char bytes[65536];
    const ssize_t count = ::read(out_, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return Heard::kEnd;
    buffer_.append(bytes, static_cast<std::size_t>(count));
  }
}

WorkerProcess::End WorkerProcess::Finish(std::chrono::milliseconds patience) {
  ::close(std::exchange(in_, -1));
  const Clock::time_point until = Clock::now() + patience;
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::waitpid(pid_, &status, WNOHANG)) == 0 && Clock::now() < until) std::this_thread::sleep_for(kTick);
  const bool killed = ended == 0;
  // Whoever is left of the group ends with the worker. A zombie of it does not count: it was waited for above.
  const bool left_over = ::kill(-pid_, SIGKILL) == 0;
  if (killed) ::waitpid(pid_, &status, 0);
  ::close(std::exchange(out_, -1));
  ended_ = true;
  End end;
  end.left_over = left_over && !killed;
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
