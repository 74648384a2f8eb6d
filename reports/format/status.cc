#include "reports/format/status.h"

#include <algorithm>
#include <iterator>

namespace assay {

std::string_view Name(Status status) {
  switch (status) {
    case Status::kPass:
      return "pass";
    case Status::kSkip:
      return "skip";
    case Status::kUnstable:
      return "unstable";
    case Status::kFail:
      return "fail";
    case Status::kError:
      break;
  }
  return "error";
}

std::optional<Status> StatusFromName(std::string_view name) {
  const auto found =
      std::find_if(std::begin(kStatuses), std::end(kStatuses), [&](Status s) { return Name(s) == name; });
  return found == std::end(kStatuses) ? std::nullopt : std::optional(*found);
}

}  // namespace assay
