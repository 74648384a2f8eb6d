// Errors of bad input and failed resources, and the checks that throw them.
//
// One message says what was wrong, where (file, tensor, key, layer, row), what was expected and what was found.
// Destructors never throw. Debug-only invariants inside loops use assert().
#pragma once

#include <fmt/core.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

namespace assay {

// Base of everything the project throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A file, argument or request that cannot be honoured. The caller's state is unchanged.
class InputError : public Error {
 public:
  using Error::Error;
};

// An allocation that did not fit. Whatever the failed call had taken is free again.
class OutOfMemory : public Error {
 public:
  OutOfMemory(const std::string& what, std::size_t needed_bytes, std::size_t free_bytes)
      : Error(what), needed(needed_bytes), free(free_bytes) {}
  std::size_t needed;  // bytes asked for
  std::size_t free;    // bytes free when asked; 0 = unknown
};

// A device call that failed. `lost` means that no later call on this device can succeed in this process.
class DeviceError : public Error {
 public:
  DeviceError(const std::string& what, bool device_lost) : Error(what), lost(device_lost) {}
  bool lost;
};

// Throws E with a formatted message.
template <class E = InputError, class... Args>
[[noreturn]] void Throw(fmt::format_string<Args...> text, Args&&... args) {
  throw E(fmt::format(text, std::forward<Args>(args)...));
}

// Throws E with a formatted message unless `ok`.
template <class E = InputError, class... Args>
void Require(bool ok, fmt::format_string<Args...> text, Args&&... args) {
  if (!ok) throw E(fmt::format(text, std::forward<Args>(args)...));
}

// Whether something can be done: yes, or no and why.
struct Support {
  bool ok = true;
  std::string reason;  // empty when ok
  explicit operator bool() const { return ok; }
  static Support Yes() { return {}; }
  template <class... Args>
  static Support No(fmt::format_string<Args...> text, Args&&... args) {
    return {false, fmt::format(text, std::forward<Args>(args)...)};
  }
};

}  // namespace assay
