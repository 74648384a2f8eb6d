// A thread beside a run: it notices interrupts and gives the run a chance to look at the clock while a case computes.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace assay {

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
