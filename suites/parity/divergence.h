// Where a failure begins. The case runs again over ops that are each held against float64 from their own inputs: a
// wrong op is named by step, layer, row and element. If every op is right by its inputs, what ops are told is wrong:
// then the residual stream after each layer is held against the reference's, and the first layer that leaves the
// tolerance of the mode's twin is named.
#pragma once

#include <string>

#include "suites/support/case.h"

namespace assay {

// One line, for engines of this tree on the host and models that its reference can; else why there is none.
std::string FirstDivergence(const Case& item);

}  // namespace assay
