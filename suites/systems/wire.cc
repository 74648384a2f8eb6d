#include "suites/systems/wire.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace assay {
namespace {

constexpr int kSocketBytes = 8 << 20;  // asked for; the kernel gives what it allows

}  // namespace

Wire::Wire(int descriptor) : descriptor_(descriptor) {
  ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK);
  for (const int option : {SO_SNDBUF, SO_RCVBUF})
    ::setsockopt(descriptor, SOL_SOCKET, option, &kSocketBytes, sizeof kSocketBytes);
}

Wire::~Wire() { ::close(descriptor_); }

void Wire::AlsoRead(int descriptor, std::function<void(std::string_view)> take) {
  other_ = descriptor;
  take_ = std::move(take);
  ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK);
}

void Wire::DrainOther() {
  char bytes[65536];
  while (other_ >= 0) {
    const ssize_t count = ::read(other_, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) other_ = -1;  // closed by whoever gave it
    if (count <= 0) return;
    take_({bytes, static_cast<std::size_t>(count)});
  }
}

void Wire::Wait(short events, Deadline deadline) {
  while (true) {
    int left = -1;
    if (deadline != kNever) {
      const auto ms = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
      Require<WireError>(ms > 0, "no answer in time");
      left = static_cast<int>(std::min<std::int64_t>(ms, 1 << 30));
    }
    pollfd waited[] = {{descriptor_, events, 0}, {other_, POLLIN, 0}};  // one below 0 is left out
    const int ready = ::poll(waited, 2, left);
    if (ready < 0 && errno != EINTR) Throw<WireError>("poll: {}", std::strerror(errno));
    if (ready > 0 && waited[1].revents != 0) DrainOther();
    if (ready > 0 && waited[0].revents != 0) return;
  }
}

void Wire::Write(std::span<const std::byte> bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      Wait(POLLOUT, deadline);
    } else if (errno != EINTR) {
      Throw<WireError>("it takes nothing more: {}", std::strerror(errno));
    }
  }
}

std::size_t Wire::Read(std::span<std::byte> into, Deadline deadline) {
  while (true) {
    const ssize_t count = ::recv(descriptor_, into.data(), into.size(), 0);
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno == ECONNRESET) return 0;
    if (errno == EAGAIN)
      Wait(POLLIN, deadline);
    else if (errno != EINTR)
      Throw<WireError>("nothing more can be read: {}", std::strerror(errno));
  }
}

void Wire::Send(std::string_view line, std::span<const float> rows, Deadline deadline) {
  const std::string text = std::string(line) + "\n";
  Write(std::as_bytes(std::span(text)), deadline);
  Write(std::as_bytes(rows), deadline);
}

std::optional<std::string> Wire::ReadLine(Deadline deadline) {
  std::size_t searched = 0;
  while (true) {
    if (const std::size_t end = buffer_.find('\n', searched); end != std::string::npos) {
      Require<WireError>(end <= kLongestLine, "a line of {} bytes: at most {} are allowed", end, kLongestLine);
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    searched = buffer_.size();
    Require<WireError>(searched <= kLongestLine, "a line of more than {} bytes", kLongestLine);
    std::byte bytes[4096];
    const std::size_t count = Read(bytes, deadline);
    if (count == 0 && buffer_.empty()) return {};
    Require<WireError>(count > 0, "the stream ended within a line");
    buffer_.append(reinterpret_cast<const char*>(bytes), count);
  }
}

void Wire::ReadFloats(std::span<float> into, Deadline deadline) {
  std::span<std::byte> left = std::as_writable_bytes(into);
  const std::size_t known = std::min(left.size(), buffer_.size());
  std::ranges::copy_n(reinterpret_cast<const std::byte*>(buffer_.data()), static_cast<std::ptrdiff_t>(known),
                      left.begin());
  buffer_.erase(0, known);
  left = left.subspan(known);
  while (!left.empty()) {
    const std::size_t count = Read(left, deadline);
    Require<WireError>(count > 0, "the stream ended {} bytes before the end of a message", left.size());
    left = left.subspan(count);
  }
}

}  // namespace assay
