// Parity of the very steps that a benchmark times: the same engine sizes, the same recorded step, the same chunk regime
// of attention. A case's outcome names the kernels that ran; a timed row may have no others.
#pragma once

#include "suites/parity/parity.h"
#include "suites/support/shapes.h"

namespace assay {

// Teacher-forced steps at the context against the reference (some sessions, contexts within its reach), against the
// sessions alone and against the same tokens as one piece of a prompt, then the recorded steps that a benchmark
// replays, each token held against a step that reads its logits back.
Case DecodeShapeCase(Workbench& bench, const Target& target, const DecodeShape& shape);
// The step itself: last rows against the reference (some prompts) and against the same prompt alone in pieces.
Case PrefillShapeCase(Workbench& bench, const Target& target, const PrefillShape& shape);

}  // namespace assay
