// What people read when they are refused.
#pragma once

#include <functional>
#include <string>

#include "engine/base/check.h"

namespace assay {

// The message of the InputError that `action` throws; empty when it throws none.
inline std::string Complaint(const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

inline bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace assay
