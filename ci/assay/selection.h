// Which cases a command line selects.
#pragma once

#include <vector>

#include "ci/assay/commands.h"
#include "suites/support/case.h"

namespace assay {

SuiteInputs InputsOf(const RunArguments& arguments);

// The cases that the arguments' patterns name. An id that names none, unlike a pattern, is a mistake worth a hint on
// stderr.
std::vector<Case> Selected(std::vector<Case> all, const RunArguments& arguments);

}  // namespace assay
