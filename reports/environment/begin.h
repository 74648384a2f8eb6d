// The beginning of a report: time, identity, and where and with what the run happens.
#pragma once

#include <chrono>
#include <string>

#include "reports/format/report.h"

namespace assay {

// Now, UTC, RFC 3339 with milliseconds: "2025-01-31T23:59:59.123Z".
std::string Now();
std::string TimeText(std::chrono::system_clock::time_point time);  // from the years 1 to 9999
// Now, or when the report began where the clock was set back since: a report does not end before it begins.
std::string FinishedAt(const Report& report);

// A fresh random UUID (version 4).
std::string NewRunId();

// A report with run id, start time, argv, build, host and variables filled in.
Report BeginReport(std::string kind, int argc, const char* const* argv);

}  // namespace assay
