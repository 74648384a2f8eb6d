#include "suites/systems/system_process.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "reports/format/report.h"
#include "suites/support/system.h"

namespace assay {
namespace {

constexpr std::size_t kKept = 64 << 10;                     // of what it printed
constexpr std::size_t kQuoted = 600, kQuotedRequest = 160;  // characters in an error
constexpr std::chrono::milliseconds kPatience{500};         // for a process whose stream is closed
constexpr double kLoadFactor = 10;

std::string Shortened(const std::string& text, std::size_t most) {
  return text.size() <= most ? text : text.substr(0, most) + " ...";
}

// A shell that waits for its command ends with 128 and the signal that killed it.
std::string HowItEnded(const ChildProcess::End& end) {
  constexpr int kBySignal = 128, kMostSignals = 64;
  const int signal = end.code - kBySignal;
  if (signal <= 0 || signal > kMostSignals) return end.how;
  return fmt::format("was killed by signal {}", SignalText(signal));
}

// What is no text as text.
std::string Visible(const std::string& bytes) {
  std::string text;
  for (const char c : bytes)
    text += c >= ' ' && c < 0x7f ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return text;
}

// The last characters as one line.
std::string Tail(const std::string& text) {
  std::string tail = text.substr(text.size() - std::min(text.size(), kQuoted));
  while (!tail.empty() && tail.back() == '\n') tail.pop_back();
  for (char& c : tail)
    if (c == '\n') c = '|';
  return Visible(tail);
}

[[noreturn]] void ThrowAnswered(const std::string& what, const Json& error) {
  const std::string kind = error.at("kind").get<std::string>();
  const std::string text = fmt::format("{}: {}", what, error.at("message").get<std::string>());
  if (kind == "input" || kind == "capacity") throw InputError(text);
  if (kind == "memory") throw OutOfMemory(text, 0, 0);
  if (kind == "device") throw DeviceError(text, false);
  if (kind == "unsupported") throw Unsupported(error.at("message").get<std::string>());
  throw Error(text);
}

}  // namespace

SystemProcess::SystemProcess(const SystemCommand& command) : command_(command) {
  if (command.shares_rows) shared_ = std::make_unique<SharedRows>();
  int sockets[2], output[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
    Throw<Error>("no socket: {}", std::strerror(errno));
  if (::pipe2(output, O_CLOEXEC) != 0) Throw<Error>("no pipe: {}", std::strerror(errno));
  output_ = output[0];
  wire_ = std::make_unique<Wire>(sockets[0]);
  wire_->AlsoRead(output_, [this](std::string_view text) { Heard(text); });
  try {
    // A descriptor that stays where it is would close on exec.
    const std::vector<std::string> words{"/bin/sh", "-c", command.command};
    const auto high = [](int descriptor) { return ::fcntl(descriptor, F_DUPFD_CLOEXEC, kRowsDescriptor + 1); };
    const int high_socket = high(sockets[1]), high_output = high(output[1]);
    std::vector<ChildDescriptor> inherited{{STDIN_FILENO, -1, "/dev/null"},
                                           {STDOUT_FILENO, high_output},
                                           {STDERR_FILENO, high_output},
                                           {kWireDescriptor, high_socket}};
    if (shared_) inherited.push_back({kRowsDescriptor, high(shared_->descriptor())});
    child_ = std::make_unique<ChildProcess>(words, std::map<std::string, std::string>{}, inherited);
    for (const int end : {sockets[1], output[1], high_socket, high_output}) ::close(end);
    if (shared_) ::close(inherited.back().from);
  } catch (const ReportError& error) {
    throw SystemFailure(error.what());
  }
  Json hello{{"protocol", kProtocol}};
  if (shared_) hello["shared_rows"] = kRowsDescriptor;
  hello_ = Ask("hello", std::move(hello));
  if (!hello_.contains("protocol") || hello_["protocol"] != kProtocol)
    Fail(fmt::format("speaks protocol {}, expected {}", hello_.value("protocol", Json()).dump(), kProtocol));
}

SystemProcess::~SystemProcess() {
  wire_.reset();
  if (child_) child_->Finish(kPatience);
  ::close(output_);
}

void SystemProcess::Heard(std::string_view text) {
  said_ += text;
  if (said_.size() > 2 * kKept) said_.erase(0, said_.size() - kKept);
}

void SystemProcess::Fail(const std::string& how) {
  std::string end;
  if (wire_) {
    // A process that died has written why; one that still runs is ended.
    const bool over = how.empty();
    if (child_) {
      const ChildProcess::End ended = child_->Finish(over ? kPatience : std::chrono::milliseconds(50));
      end = ended.killed ? (over ? "closed the stream and did not end" : "") : HowItEnded(ended);
      child_.reset();
    }
    wire_->DrainOther();
    wire_.reset();
  }
  if (said_.size() > kKept) said_.erase(0, said_.size() - kKept);
  std::string text = "the system under test " + (how.empty() ? end : how + (end.empty() ? "" : " and " + end));
  text += "; last request: " + Shortened(last_, kQuotedRequest);
  if (const std::string tail = Tail(said_); !tail.empty()) text += "; it said: " + tail;
  throw SystemFailure(text);
}

Json SystemProcess::Read(const std::string& what, Wire::Deadline deadline) {
  const std::optional<std::string> line = wire_->ReadLine(deadline);
  if (!line) Fail("");
  Json answer = Json::parse(*line, nullptr, false);
  if (!answer.is_object())
    Fail(fmt::format("answered {} with what is no JSON object: {}", what, Visible(line->substr(0, 40))));
  if (answer.value("id", Json()) != Json(id_))
    Fail(fmt::format("answered {} with id {}, expected {}", what, answer.value("id", Json()).dump(), id_));
  return answer;
}

void SystemProcess::ReadRows(const std::string& what, const Json& answer, const Expect& expect,
                             Wire::Deadline deadline) {
  const bool shared = answer.value("shared", false);
  std::vector<RowsPart> parts;
  try {
    parts = expect(answer);
    std::size_t bytes = 0;
    for (const RowsPart& part : parts) bytes += part.count * sizeof(float);
    if (answer.value("bytes", Json(0)) != Json(bytes))
      Fail(fmt::format("announced {} bytes behind its answer to {}, expected {}", answer.value("bytes", Json(0)).dump(),
                       what, bytes));
    Require<WireError>(!shared || shared_ != nullptr, "shared rows, for which it was given no memory");
    if (shared) shared_->Read(parts, id_);
  } catch (const WireError& error) {
    Fail(fmt::format("answered {} with {}", what, error.what()));
  }
  if (shared) return;
  for (const RowsPart& part : parts) {
    part.to->resize(part.count);
    wire_->ReadFloats(*part.to, deadline);
    if (part.also != nullptr) *part.also = *part.to;
  }
}

Json SystemProcess::Ask(const std::string& what, Json request) {
  return Ask(what, std::move(request), [](const Json&) { return std::vector<RowsPart>(); });
}

Json SystemProcess::Ask(const std::string& what, Json request, const Expect& expect) {
  if (!wire_) Throw<SystemFailure>("the system under test has ended: nothing more can be asked of it");
  request["id"] = ++id_;
  request["request"] = what;
  last_ = request.dump();
  const double patience = command_.timeout_s * (what == "load" ? kLoadFactor : 1);
  const auto deadline =
      Wire::Clock::now() + std::chrono::duration_cast<Wire::Clock::duration>(std::chrono::duration<double>(patience));
  Json answer;
  try {
    wire_->Send(last_, {}, deadline);
    answer = Read(what, deadline);
    if (answer.contains("error")) {
      const Json& error = answer["error"];
      if (!error.is_object() || !error.value("kind", Json()).is_string() || !error.value("message", Json()).is_string())
        Fail(fmt::format("answered {} with an error that has no kind and message: {}", what,
                         Shortened(error.dump(), 80)));
    } else {
      ReadRows(what, answer, expect, deadline);
    }
  } catch (const WireError& error) {
    const std::string how = error.what();
    if (how == "no answer in time") Fail(fmt::format("gave no answer to {} within {:g} s", what, patience));
    // What went wrong on the stream is the end of the process, where it ended.
    if (child_ && child_->Exited() && !how.starts_with("the stream ended")) Fail("");
    Fail(fmt::format("broke off its answer to {}: {}", what, how));
  } catch (const Json::exception& error) {
    Fail(fmt::format("answered {} with something else than it promised: {}", what, error.what()));
  }
  if (answer.contains("error")) ThrowAnswered(what, answer["error"]);
  return answer;
}

std::optional<ChildProcess::End> SystemProcess::Close(std::chrono::milliseconds patience) {
  wire_.reset();
  if (!child_) return {};
  const ChildProcess::End end = child_->Finish(patience);
  child_.reset();
  return end;
}

std::string SystemProcess::Exchange(const std::string& line, double timeout_s) {
  const auto deadline =
      Wire::Clock::now() + std::chrono::duration_cast<Wire::Clock::duration>(std::chrono::duration<double>(timeout_s));
  last_ = Shortened(line, kQuotedRequest);
  try {
    wire_->Send(line, {}, deadline);
    const std::optional<std::string> answer = wire_->ReadLine(deadline);
    if (!answer) Fail("");
    return *answer;
  } catch (const WireError& error) {
    Fail(error.what());
  }
}

}  // namespace assay
