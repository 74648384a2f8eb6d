// Where and with what a run happened: build, host, time, identity.
#pragma once

#include <string>

#include "reports/report.h"

namespace assay {

// What this binary was built from and with. The commit is that of the sources at the last build; build_id is the
// linker's note in the running program, so two different binaries never share it.
BuildInfo ThisBuild();

HostInfo ThisHost();

// Now, UTC, RFC 3339 with milliseconds: "2025-01-31T23:59:59.123Z".
std::string Now();

// A fresh random UUID (version 4).
std::string NewRunId();

// A report with run id, start time, argv, build and host filled in.
Report BeginReport(std::string kind, int argc, const char* const* argv);

}  // namespace assay
