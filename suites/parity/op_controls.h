// That ops which are slightly off are called so: a control of what judges every op.
#pragma once

#include "suites/support/case.h"

namespace assay {

// Each output of each op in turn is moved by a few times what rounding explains, in one element of the last row, under
// ops that check every call: the op must be named, and right ops must not be.
void OpsThatAreOff(CaseState& state);

}  // namespace assay
