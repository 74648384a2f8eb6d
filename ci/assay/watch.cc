#include "ci/assay/watch.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <utility>

namespace assay {
namespace {

constexpr std::chrono::milliseconds kRefresh{50};

std::atomic<int> caught_signal = 0;  // a handler reaches nothing but globals, and may run on any thread
static_assert(std::atomic<int>::is_always_lock_free);

extern "C" void Catch(int signal) {
  if (caught_signal.load() != 0) ::_exit(128 + signal);
  caught_signal = signal;
}

}  // namespace

std::string InterruptedBy(int signal) { return signal == SIGINT ? "interrupted by SIGINT" : "interrupted by SIGTERM"; }

void EndAtOnce(int code) {
  std::fflush(stdout);
  ::_exit(code);
}

RunWatch::RunWatch(std::function<void()> tick, std::function<void(int)> interrupted) {
  caught_signal = 0;
  std::signal(SIGINT, Catch);
  std::signal(SIGTERM, Catch);
  thread_ = std::thread([this, tick = std::move(tick), interrupted = std::move(interrupted)] {
    while (!done_) {
      if (caught_signal != 0) return interrupted(caught_signal);
      tick();
      std::this_thread::sleep_for(kRefresh);
    }
  });
}

RunWatch::~RunWatch() {
  done_ = true;
  thread_.join();
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

}  // namespace assay
