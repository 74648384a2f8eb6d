// Cases that hold decoders against the embedded recorded traces.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "suites/golden/golden_judge.h"
#include "suites/support/case.h"
#include "suites/support/subject.h"

namespace assay {

// What `subject` may be from a trace that was recorded in float32.
GoldenTolerance GoldenToleranceOf(const Subject& subject);

// Golden.ReferenceMatches: the float64 reference against the trace. It runs where the reference of the model can be had
// when an engine on `device` is judged: on the host, or for a large model on a CUDA device there.
Case GoldenReferenceCase(const std::string& model, const std::string& trace, const std::string& device,
                         std::uint64_t seed);

// ... for every one of `models` (paths or embedded names) that has a recorded trace beside it.
std::vector<Case> GoldenReferenceCases(const std::vector<std::string>& models, const std::string& device = "host",
                                       std::uint64_t seed = 0);
// ... for all embedded models.
std::vector<Case> GoldenReferenceCases();

}  // namespace assay
