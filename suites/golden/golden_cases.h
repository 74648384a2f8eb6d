// Cases that hold decoders against the embedded recorded traces.
#pragma once

#include <string>
#include <vector>

#include "engine/weights/store.h"
#include "oracles/golden/trace.h"
#include "oracles/reference/decoder.h"
#include "suites/golden/golden_judge.h"
#include "suites/support/case.h"

namespace assay {

// The reference decoder (or a twin) as a subject. Keeps the weights in memory as long as the subject lives.
GoldenSubject ReferenceSubject(const WeightStore& store, const ReferenceOptions& options);

// Opens checkpoint and trace and judges the float64 reference. `model` is a path or an embedded name.
CaseOutcome JudgeReference(const std::string& model, const std::string& trace);

// Golden.ReferenceMatches/<model> for every one of `models` (paths or embedded names) that has a recorded trace beside
// it.
std::vector<Case> GoldenReferenceCases(const std::vector<std::string>& models);
// ... for all embedded models.
std::vector<Case> GoldenReferenceCases();

}  // namespace assay
