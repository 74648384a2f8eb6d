// Messages of the protocol between Assay and a system under test (suites/adapters/README.md): a line of JSON of at most
// 1 MiB, then as many raw bytes as its key `bytes` says.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/check.h"
#include "reports/format/json.h"

namespace assay {

inline constexpr int kProtocol = 1;
inline constexpr int kWireDescriptor = 3;  // of the system's process
inline constexpr std::size_t kLongestLine = std::size_t{1} << 20;

// The other side broke the protocol, took too long or went away: no later message can be trusted.
class WireError : public Error {
 public:
  using Error::Error;
};

// One end of the stream. Owns its descriptor.
class Wire {
 public:
  using Clock = std::chrono::steady_clock;
  using Deadline = Clock::time_point;
  static constexpr Deadline kNever = Deadline::max();

  explicit Wire(int descriptor);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // While it waits for the other side it reads what comes from `descriptor`, which may end, and hands it on.
  void AlsoRead(int descriptor, std::function<void(std::string_view)> take);
  void DrainOther();  // what is there now

  // All of these throw WireError.
  void Send(std::string_view line, std::span<const float> rows, Deadline deadline);
  // A line without its end; nothing where the other side has closed the stream between two messages.
  std::optional<std::string> ReadLine(Deadline deadline);
  void ReadFloats(std::span<float> into, Deadline deadline);

 private:
  void Wait(short events, Deadline deadline);
  void Write(std::span<const std::byte> bytes, Deadline deadline);
  std::size_t Read(std::span<std::byte> into, Deadline deadline);  // some; 0: the stream has ended

  int descriptor_, other_ = -1;
  std::function<void(std::string_view)> take_;
  std::string buffer_;  // read, and not asked for yet
};

}  // namespace assay
