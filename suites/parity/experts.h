// Models with experts in 16-bit modes. Rounding alone sends rows to other experts, and then their logits differ by as
// much as logits do; so routing is judged as the decision it is, and logits under the engine's own decisions. The
// engine's choices are recorded, the reference decodes under them, and
//   - an expert may displace another only where the reference's router prefers that one by at most twice the router's
//   error,
//   - there may be no more such swaps than that error explains,
//   - logits under the engine's choices keep the ordinary tolerance.
// Both errors are those of a twin that decodes the same sessions under the same choices: a row may be ill-conditioned
// (on the tiny checkpoint of transformers some are 5 times as much as the median), and then it is so for the twin too.
#pragma once

#include "suites/parity/parity.h"

namespace assay {

// Sessions, one of them longer than the ring, decoded together; three are watched. The engine is freed before the
// reference answers.
void JudgeExperts(CaseState& state);

}  // namespace assay
