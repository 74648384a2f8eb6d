// A thread beside a run: it notices interrupts and gives the run a chance to look at the clock while a case computes.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

namespace assay {

// How often a run says that it lives where no progress line can be rewritten: CI systems end jobs that say nothing for
// some minutes.
inline constexpr std::chrono::seconds kHeartbeat{30};

// "interrupted by SIGINT": what a report of the run says.
std::string InterruptedBy(int signal);

// Ends the process without destructors, which would wait for what another thread still computes.
[[noreturn]] void EndAtOnce(int code);

class RunWatch {
 public:
  // Calls `tick` some times a second, and `interrupted` with the signal after the first SIGINT or SIGTERM; a second one
  // ends the process at once.
  RunWatch(std::function<void()> tick, std::function<void(int signal)> interrupted);
  // Signals do what they did before.
  ~RunWatch();
  RunWatch(const RunWatch&) = delete;
  RunWatch& operator=(const RunWatch&) = delete;

 private:
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

}  // namespace assay
