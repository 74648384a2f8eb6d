// The command as a function: what `main` calls, and programs of tests with cases of their own.
#pragma once

#include "ci/assay/commands.h"

namespace assay {

// The process's exit code. Never throws.
int RunProgram(int argc, char** argv, const CaseLister& list);

}  // namespace assay
