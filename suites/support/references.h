// The reference of a subject: who answers for it, its rows, and the tolerance that follows from its twin. Kept for the
// process: cases share them.
//
// The host answers for models that it can; on a CUDA device the single-user CUDA reference answers for larger ones.
// That one occupies the memory an engine may need, so what a case will ask is worked out before its engine exists:
// PrepareReference.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "oracles/compare/tolerance.h"
#include "oracles/reference/decoder.h"
#include "suites/support/subject.h"

namespace assay {

// Up to so many weights the host reference takes well below a second for a token on a few cores.
inline constexpr std::int64_t kMostHostWeights = 100'000'000;
std::int64_t WeightCount(const ModelSpec& spec);
inline bool IsLarge(const ModelSpec& spec) { return WeightCount(spec) > kMostHostWeights; }

// A fresh reference or twin of the subject's model where it can be had: on the subject's device if that is CUDA and the
// model is large, else on the host.
std::unique_ptr<ReferenceDecoder> MakeReferenceOf(const Subject& subject, const ReferenceOptions& options = {});

// The float64 reference's logits before the softcap after every token of a session from position `first` on.
struct ReferenceSession {
  Tokens tokens;
  int first = 0;
  std::vector<std::vector<double>> rows;
  const std::vector<double>& Raw(int position) const { return rows.at(static_cast<std::size_t>(position - first)); }
};
// Computed when first asked for. Neighbouring questions share their common prefix. Valid until the reference of another
// large model is asked.
const ReferenceSession& ReferenceRows(const Subject& subject, const Tokens& tokens, int first = 0);

// How much further from the reference the subject's twin is after token `position` of a session than ToleranceOf found
// it to be, at least 1 (LogitTolerance::At). 1 for models whose reference is on a device: it gave way to the engine.
double TwinErrorRatio(const Subject& subject, const Tokens& tokens, int position, int first = 0);

// Tolerance of the subject's mode: the twin of the mode against the reference over a calibration set of made-up
// sessions.
const LogitTolerance& ToleranceOf(const Subject& subject);

// Whether the reference's logits bound this subject's: not for experts in a 16-bit mode, where rounding alone changes
// which experts a row is sent to and the error of one row is then as large as the logits. Such subjects are held to
// equality between batched and alone, to the reference under their own routing (suites/parity/experts.h), and to the
// reference in fp32.
bool ReferenceBounds(const Subject& subject);

// A session of which rows from position `first` on will be asked.
struct ReferenceRequest {
  Tokens tokens;
  int first = 0;
};
// Computes the tolerance and these rows, then frees what the reference holds on a device. Rows and tolerance stay on
// the host.
void PrepareReference(const Subject& subject, const std::vector<ReferenceRequest>& requests);
// Frees what references hold on a device; a later question uploads again.
void ReleaseReferences();
// ... at the end of a scope, however it is left.
struct ReferencesInScope {
  ReferencesInScope() = default;
  ReferencesInScope(const ReferencesInScope&) = delete;
  ReferencesInScope& operator=(const ReferencesInScope&) = delete;
  ~ReferencesInScope() { ReleaseReferences(); }
};

}  // namespace assay
