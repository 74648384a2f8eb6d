// Parity suites: does batched serving compute what one user alone would get? Each function lists the cases of one suite
// for one subject; listing opens the model's header only, running does the work.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "oracles/compare/stream.h"
#include "suites/support/case.h"
#include "suites/support/judge.h"
#include "suites/support/references.h"
#include "suites/support/subject.h"

namespace assay {

// Prefill whole, chunked, packed and with the tail skipped, against the reference and each other.
std::vector<Case> PrefillCases(const Subject& subject);
// One token at a time against prefill, recorded greedy steps against steps with the host in between.
std::vector<Case> DecodeCases(const Subject& subject);
// N sessions of ragged lengths, teacher-forced for at least 16 steps, against the reference and against one user alone.
std::vector<Case> BatchedDecodeCases(const Subject& subject);
// Donor maps, writers, poisoned unused places, neighbours untouched.
std::vector<Case> CacheAliasingCases(const Subject& subject);
// Lengths around the window and the ring.
std::vector<Case> RingWrapCases(const Subject& subject);
// Sessions that join, leave, fork, go back; places used again.
std::vector<Case> ScheduleCases(const Subject& subject);
// Zero-tolerance relations: permutation, filler, duplicates, window locality, run to run.
std::vector<Case> InvarianceCases(const Subject& subject);
// Recorded text whose answers follow from earlier text: right or wrong whatever another decoder says. Empty for models
// without recorded answers.
std::vector<Case> KnownAnswerCases(const Subject& subject);
// Steps that fail half-way, allocations that are refused.
std::vector<Case> FailureCases(const Subject& subject);

// Experts in 16-bit modes: each choice within the router's error, logits under the engine's own choices.
std::vector<Case> ExpertsCases(const Subject& subject);
// The single-user CUDA reference and its twins against the host's, on models both can run.
std::vector<Case> CudaReferenceCases(const Subject& subject);
// Models too large for the host's reference, on a device: prefill, batches and batch-invariant mode at their real
// geometry.
std::vector<Case> RealGeometryCases(const Subject& subject);
// Frees the engine that those cases share, for whoever needs the device next.
void ReleaseRealGeometry();

// Shared by the suites.

Case MakeCase(const char* suite, const std::string& name, const Subject& subject, const std::string& rest,
              std::function<void(Judge&)> body);

CaseOutcome Skipped(std::string reason);

// Engine sizes that make rings wrap within a few dozen tokens on small models and fit real ones.
EngineOptions SmallOptions(const Subject& subject, int sessions, int capacity);

// Feeds `tokens` to a fresh session, the first `prompt` of them as a prompt and the others one step at a time: row i
// holds the logits after token prompt + i.
StepResult AloneRows(Stage& stage, const Tokens& tokens, int prompt = 0);

// Compares rows of results with the reference at the row's position of `tokens`.
class StreamChecker {
 public:
  StreamChecker(const Subject& subject) : subject_(subject), stream_(ToleranceOf(subject)) {}
  // `first`: of the reference's rows of this session none before this position is asked.
  void Add(const StepResult& result, int row, const Tokens& tokens, const std::string& where, int first = 0);
  // Adds nothing for subjects the reference does not bound.
  void Finish(Judge& judge) const {
    if (ReferenceBounds(subject_)) judge.Add(stream_.Finish());
  }

 private:
  const Subject& subject_;
  StreamJudge stream_;
};

// Rows that two runs of the engine computed for the same inputs: bit for bit where the arithmetic is the same, else
// within the sum of both sides' tolerance. The same is the host's always, and that of batch-invariant mode when both
// runs took the session in the same pieces (`same_pieces`), whatever ran beside it.
void SameRows(Judge& judge, const Subject& subject, std::span<const float> expected, std::span<const float> found,
              bool same_pieces, const std::string& where);

}  // namespace assay
