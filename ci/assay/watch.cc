#include "ci/assay/watch.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <utility>

namespace assay {
namespace {

constexpr std::chrono::milliseconds kTick{50};

std::atomic<int> caught = 0;  // a signal may come to any thread
static_assert(std::atomic<int>::is_always_lock_free);

extern "C" void Catch(int signal) {
  if (caught.load() != 0) ::_exit(128 + signal);
  caught = signal;
}

}  // namespace

RunWatch::RunWatch(std::function<void()> tick, std::function<void(int)> interrupted) {
  caught = 0;
  std::signal(SIGINT, Catch);
  std::signal(SIGTERM, Catch);
  thread_ = std::thread([this, tick = std::move(tick), interrupted = std::move(interrupted)] {
    while (!done_) {
      if (caught != 0) return interrupted(caught);
      tick();
      std::this_thread::sleep_for(kTick);
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
