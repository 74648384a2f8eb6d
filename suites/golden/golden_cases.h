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

// A checkpoint with its recorded answers.
struct GoldenPair {
  std::string label;  // "hf_tiny_gemma4_e2b"
  std::string model;  // folder or .gguf file
  std::string trace;  // goldens.safetensors or .logits.json
};

// Every pair below `fixtures`: folders with model and goldens.safetensors, and .gguf files with a .logits.json; by
// label.
std::vector<GoldenPair> EmbeddedGoldens(const std::string& fixtures);

// The reference decoder (or a twin) as a subject. Keeps the weights in memory as long as the subject lives.
GoldenSubject ReferenceSubject(const WeightStore& store, const ReferenceOptions& options);

// Opens the pair's checkpoint and trace and judges the float64 reference.
CaseOutcome JudgeReference(const GoldenPair& pair);

// Golden.ReferenceMatches/<label> for every embedded pair.
std::vector<Case> GoldenReferenceCases(const std::string& fixtures);

}  // namespace assay
