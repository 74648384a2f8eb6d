// The failed cases of a report as a selection.
#pragma once

#include <string>

#include "ci/assay/commands.h"

namespace assay {

// The arguments that run the failed and errored cases of `file` again, read from their replay lines: models that the
// user named are kept. Empty patterns: nothing failed. Throws ReportError, and InputError for a report of another kind.
RunArguments FailedCases(const std::string& file, RunArguments arguments);

}  // namespace assay
