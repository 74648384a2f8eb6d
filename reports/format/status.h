// What became of a case or a benchmark row.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace assay {

// In order of severity.
enum class Status : std::uint8_t {
  kPass,
  kSkip,      // could not run here, and why
  kUnstable,  // a benchmark row that was timed under throttling or outside the clock band: it has no speed
  kFail,
  kError,  // broken off by an exception
};
inline constexpr Status kStatuses[] = {Status::kPass, Status::kSkip, Status::kUnstable, Status::kFail, Status::kError};
std::string_view Name(Status status);  // "pass", "skip", "unstable", "fail", "error"
std::optional<Status> StatusFromName(std::string_view name);
inline Status Worse(Status a, Status b) { return a < b ? b : a; }

}  // namespace assay
