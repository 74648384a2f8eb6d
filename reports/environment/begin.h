// The beginning of a report: time, identity, and where and with what the run happens.
#pragma once

#include <string>

#include "reports/format/report.h"

namespace assay {

// Now, UTC, RFC 3339 with milliseconds: "2025-01-31T23:59:59.123Z".
std::string Now();

// A fresh random UUID (version 4).
std::string NewRunId();

// A report with run id, start time, argv, build, host and variables filled in.
Report BeginReport(std::string kind, int argc, const char* const* argv);

}  // namespace assay
