#include "ci/spread/worker_process.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "reports/format/report.h"

namespace assay {
namespace {

using Clock = std::chrono::steady_clock;

// Both ends are closed in other children: one that held the end of another's pipe would keep it open.
struct Pipe {
  Pipe() {
    if (::pipe2(ends, O_CLOEXEC) != 0) throw ReportError(fmt::format("no pipe: {}", std::strerror(errno)));
  }
  int ends[2] = {-1, -1};
};

}  // namespace

WorkerProcess::WorkerProcess(const std::vector<std::string>& command,
                             const std::map<std::string, std::string>& variables, const std::string& log) {
  const Pipe in, out;
  try {
    child_.emplace(command, variables,
                   std::vector<ChildDescriptor>{
                       {STDIN_FILENO, in.ends[0]}, {STDOUT_FILENO, out.ends[1]}, {STDERR_FILENO, -1, log}});
  } catch (const ReportError& error) {
    for (const int end : {in.ends[0], in.ends[1], out.ends[0], out.ends[1]}) ::close(end);
    throw ReportError(fmt::format("worker: {} (log {})", error.what(), log));
  }
  ::close(in.ends[0]);
  ::close(out.ends[1]);
  in_ = in.ends[1];
  out_ = out.ends[0];
}

WorkerProcess::~WorkerProcess() {
  if (in_ >= 0) Finish(std::chrono::milliseconds(0));
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
    const bool exited = child_->Exited();
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
  End end = child_->Finish(patience);
  ::close(std::exchange(out_, -1));
  return end;
}

}  // namespace assay
