// One reference program held against another: the host's, which recorded traces have judged, against one that will
// answer where the host's cannot.
#pragma once

#include <functional>
#include <memory>

#include "oracles/reference/decoder.h"
#include "suites/support/case.h"

namespace assay {

using ReferenceMaker = std::function<std::unique_ptr<ReferenceDecoder>(const WeightStore&, const ReferenceOptions&)>;

// The float64 programs: logits and hidden states of straight sessions that pass every window, of a fork that goes its
// own way, after a truncate and after skipped logits. Two float64 programs differ by the order of their sums: by some
// units of 2^-53 times the model's amplification, which the float32 twin shows to be below 2^6 on all models here. The
// bound is 2^-36 of an array's largest value: 2^17 such units, and still 2^-12 of what rounding anything to float32
// would do.
void JudgeReferenceProgram(CaseState& state, const ReferenceMaker& make);

// Twins of an arithmetic. They round at the same places but not always to the same side, so rows are not
// compared with each other; each is compared with the float64 reference. Their median errors must agree within a factor
// of 1.5 (two orders of summation on the host agree within 1.25 on all models here), and the larger error must be
// within the tolerance that the host's twin would set.
void JudgeTwinProgram(CaseState& state, const ReferenceMaker& make, const TwinArithmetic& arithmetic);

}  // namespace assay
