// The Golden suite: reference and engine held against what other decoders recorded for a checkpoint.
#pragma once

#include <string>
#include <vector>

#include "oracles/golden/trace.h"
#include "suites/golden/golden_judge.h"
#include "suites/support/case.h"
#include "suites/support/references.h"
#include "suites/support/subject.h"

namespace assay {

// The engine as a subject: the requests of a trace run packed and chunked, 16 sessions at a time; greedy text comes
// from the recorded device-side steps. The engine is made here, sized for `trace`, and lives as long as the subject.
GoldenSubject EngineSubject(const Subject& subject, const GoldenTrace& trace);

// Golden.EngineMatches for every device and type; the trace is read when a case runs. In fp32 the stated figures hold,
// in other modes the calibrated twin's.
std::vector<Case> GoldenEngineCases(const std::string& model, const std::string& trace, const SuiteInputs& inputs);

// Reference and engine for every input model that has recorded answers beside it.
std::vector<Case> GoldenCases(const SuiteInputs& inputs);

}  // namespace assay
