// Things that take long to make, made on a thread of their own, one ahead of who takes them.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <semaphore>
#include <thread>
#include <utility>

namespace assay {

// Calls make(0), ..., make(count - 1) in this order on one thread. Next() returns the results in the same order; what
// make throws, the Next that would have returned its result throws, and nothing more is made. `make` must be safe
// beside what is done between calls of Next.
template <class T>
class ReadAhead {
 public:
  ReadAhead(std::size_t count, std::function<T(std::size_t)> make)
      : thread_([this, count, make = std::move(make)](const std::stop_token& stop) {
          for (std::size_t i = 0; i < count && error_ == nullptr; ++i) {
            free_.acquire();
            if (stop.stop_requested()) return;
            try {
              slot_ = make(i);
            } catch (...) {
              error_ = std::current_exception();
            }
            ready_.release();
          }
        }) {}
  ~ReadAhead() {
    thread_.request_stop();
    free_.release();
  }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // At most `count` times.
  T Next() {
    ready_.acquire();
    if (error_ != nullptr) std::rethrow_exception(error_);
    T made = std::move(slot_);
    free_.release();
    return made;
  }

 private:
  T slot_{};
  std::exception_ptr error_;
  std::counting_semaphore<2> free_{1}, ready_{0};
  std::jthread thread_;  // last: it ends before what it uses
};

}  // namespace assay
