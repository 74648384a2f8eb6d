// The Golden suite: reference and system under test held against what other decoders recorded for a checkpoint.
#pragma once

#include <string>
#include <vector>

#include "oracles/golden/trace.h"
#include "suites/golden/golden_judge.h"
#include "suites/support/case.h"

namespace assay {

// Throws InputError naming both when the trace is of another vocabulary than the model: its rows would be compared with
// others'.
void RequireSameVocabulary(const GoldenTrace& trace, const ModelSpec& spec);

// What `target` may be from a trace. Recorded in float32: in fp32 the stated figures hold, in other modes the
// calibrated twin's.
// A recording made in a 16-bit mode is as far from exact as that mode's twin, and its logits are rounded besides: both
// are added to what the target may be off by.
GoldenTolerance GoldenToleranceOf(Workbench& bench, const Target& target, const GoldenTrace& trace);

// Golden.ReferenceMatches: the float64 reference against the trace. It runs where the reference of the model can be had
// when a system on the target's device is judged: on the host, or for a large model on a CUDA device there. Once a
// model: the target's dtype does not matter.
Case GoldenReferenceCase(Workbench& bench, const Target& target, const std::string& trace,
                         const GoldenOptions& options = {});
// Golden.SystemMatches, as far as the reference bounds the target; the trace is read when the case runs. Requests run
// packed and chunked, 16 sessions at a time; greedy text comes from the recorded device-side steps.
std::vector<Case> GoldenSystemCases(Workbench& bench, const Target& target, const std::string& trace,
                                    const GoldenOptions& options = {});

// Both, for a model that has a recorded trace beside it. The reference's case comes with the first of `targets`.
std::vector<Case> GoldenCases(Workbench& bench, const std::vector<Target>& targets);

}  // namespace assay
