#include "ci/assay/gate_child.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "reports/format/check.h"
#include "reports/format/writer.h"

namespace assay {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kTick{5};

std::string LastLine(const std::string& file) {
  std::ifstream in(file);
  std::string line, last;
  while (std::getline(in, line))
    if (!line.empty()) last = line;
  return last.substr(0, 300);
}

// The error number; 0: it runs.
int Spawn(const std::vector<std::string>& command, const std::string& log, pid_t* child) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  ::posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  const int error = ::posix_spawn(child, argv[0], &actions, &attributes, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  return error;
}

std::string UsableProblem(const std::string& text, Report report, const std::string& kind, int code) {
  const std::vector<std::string> problems = ReportProblems(text, &report);
  if (!problems.empty()) return "its report contradicts itself: " + problems.front();
  if (report.kind != kind) return fmt::format("its report is of kind {}, not {}", report.kind, kind);
  if (!report.complete) return "its report is not complete";
  const std::string verdict = Summarise(report).verdict;
  if (code != ExitCode(verdict)) return fmt::format("it ended with {}, but its report says {}", code, verdict);
  return "";
}

}  // namespace

void ChildStop::Stop(int by) {
  signal = by;
  if (const pid_t group = running; group > 0) ::kill(-group, SIGKILL);
}

ChildEnd RunChild(const std::vector<std::string>& command, const std::string& log, double timeout_s, ChildStop* stop) {
  if (stop->signal != 0) return {"was not started: the gate was interrupted", 0};
  pid_t child = 0;
  if (const int error = Spawn(command, log, &child); error != 0)
    return {fmt::format("did not start: {}: {}", std::filesystem::weakly_canonical(command.front()).string(),
                        std::strerror(error)),
            0};
  stop->running = child;
  if (stop->signal != 0) ::kill(-child, SIGKILL);
  const auto end = Clock::now() + std::chrono::duration<double>(timeout_s);
  ChildEnd result;
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::waitpid(child, &status, WNOHANG)) == 0 || (ended < 0 && errno == EINTR)) {
    if (Clock::now() > end && result.failure.empty()) {
      result.failure = fmt::format("took more than {:g} s", timeout_s);
      ::kill(-child, SIGKILL);
    }
    std::this_thread::sleep_for(kTick);
  }
  stop->running = 0;
  ::kill(-child, SIGKILL);  // what the child itself started
  if (!result.failure.empty()) return result;
  if (stop->signal != 0)
    result.failure = "was ended: the gate was interrupted";
  else if (WIFSIGNALED(status))
    result.failure = fmt::format("was killed by signal {}", WTERMSIG(status));
  else
    result.code = WEXITSTATUS(status);
  return result;
}

ToolOutput RunTool(std::vector<std::string> words, const std::string& log, double timeout_s, ChildStop* stop) {
  words.insert(words.begin(), "/usr/bin/env");
  const ChildEnd end = RunChild(words, log, timeout_s, stop);
  ToolOutput output{std::filesystem::exists(log) ? ReadFile(log) : "", end.failure};
  if (output.problem.empty() && end.code != 0) output.problem = fmt::format("ended with {}", end.code);
  return output;
}

ChildReport RunForReport(std::vector<std::string> command, const std::string& kind, const std::string& folder,
                         double timeout_s, ChildStop* stop) {
  namespace fs = std::filesystem;
  const std::string file = folder + "/child.json", log = folder + "/child.log";
  fs::remove(file);  // what an earlier child left is not this one's
  command.insert(command.end(), {"--report", file});
  const ChildEnd end = RunChild(command, log, timeout_s, stop);
  ChildReport result;
  result.file = file;
  if (!end.failure.empty()) {
    result.problem = end.failure;
  } else if (!fs::exists(file)) {
    result.problem = fmt::format("left no report and ended with {}", end.code);
  } else {
    try {
      const std::string text = ReadFile(file);
      result.report = FromJson(text);
      result.problem = UsableProblem(text, *result.report, kind, end.code);
    } catch (const ReportVersionError& error) {
      result.problem = error.what();
      result.not_comparable = true;
    } catch (const ReportError& error) {
      result.problem = error.what();
    }
  }
  if (result.problem.empty()) return result;
  result.report.reset();
  if (const std::string said = LastLine(log); !said.empty()) result.problem += "; it said: " + said;
  return result;
}

}  // namespace assay
