// A run that is spread over worker processes: made, driven, merged and shown.
#pragma once

#include "ci/assay/commands.h"

namespace assay {

int SpreadCommand(const RunArguments& arguments, const SpreadArguments& spread, const Invocation& invocation,
                  const CaseLister& list);

}  // namespace assay
