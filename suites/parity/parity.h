// Parity suites: does batched serving compute what one user alone would get? Each function lists the cases of one suite
// for one target; listing opens the model's header only, running does the work.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "oracles/compare/logits.h"
#include "suites/support/case.h"
#include "suites/support/routing.h"

namespace assay {

// Prefill whole, chunked, packed and with the tail skipped, against the reference and each other.
std::vector<Case> DeclarationCases(Workbench& bench, const Target& target);
std::vector<Case> PrefillCases(Workbench& bench, const Target& target);
// One token at a time against prefill, recorded greedy steps against steps with the host in between.
std::vector<Case> DecodeCases(Workbench& bench, const Target& target);
// N sessions of ragged lengths, teacher-forced for at least 16 steps, against the reference and against one user alone.
std::vector<Case> BatchedDecodeCases(Workbench& bench, const Target& target);
// Donor maps, writers, poisoned unused places, neighbours untouched.
std::vector<Case> CacheAliasingCases(Workbench& bench, const Target& target);
// Lengths around the window and the ring.
std::vector<Case> RingWrapCases(Workbench& bench, const Target& target);
// Sessions that join, leave, fork, go back; places used again.
std::vector<Case> ScheduleCases(Workbench& bench, const Target& target);
// Random schedules on made-up geometries in which every mechanism is on somewhere, once a device.
std::vector<Case> GeometryCases(Workbench& bench, const std::vector<Target>& targets);
// Zero-tolerance relations: permutation, filler, duplicates, window locality, run to run.
std::vector<Case> InvarianceCases(Workbench& bench, const Target& target);
// Recorded text whose answers follow from earlier text: right or wrong whatever another decoder says. Empty for models
// without recorded answers.
std::vector<Case> KnownAnswerCases(Workbench& bench, const Target& target);
// Steps that fail half-way, allocations that are refused.
std::vector<Case> FailureCases(Workbench& bench, const Target& target);
// Experts in 16-bit modes: each choice within the router's error, logits under the engine's own choices.
std::vector<Case> ExpertsCases(Workbench& bench, const Target& target);
// The single-user CUDA reference and its twins against the host's, on models both can run.
std::vector<Case> CudaReferenceCases(Workbench& bench, const Target& target);
// Models too large for the host's reference, on a device: prefill, batches and batch-invariant mode at their real
// geometry.
std::vector<Case> RealGeometryCases(Workbench& bench, const Target& target);
// Steps of the shapes that benchmarks time: suites/parity/shapes.h.
std::vector<Case> ShapeCases(Workbench& bench, const Target& target);

// Every op against its formula in float64: within steps of each model, and alone on shapes and edges, once a device.
std::vector<Case> OpsCases(Workbench& bench, const std::vector<Target>& targets);

// Settings of configurations against transformers, every key against the field it must change, once a device.
std::vector<Case> LoaderCases(Workbench& bench, const std::vector<Target>& targets);

// The rules of judging themselves, on what they must call wrong, once a device.
std::vector<Case> ControlCases(Workbench& bench, const std::vector<Target>& targets);

// Shared by the suites.

// Engine sizes that make rings wrap within a few dozen tokens on small models and fit real ones.
EngineOptions SmallOptions(const ModelSpec& spec, int sessions, int capacity);
// The same with rings as long as the capacity: nothing wraps, and a prompt runs whole.
EngineOptions StraightOptions(const ModelSpec& spec, int sessions, int capacity);

// `count` tokens of a session from position `first` on.
inline std::span<const std::int32_t> Slice(const Tokens& tokens, int first, int count) {
  return std::span(tokens).subspan(first, count);
}

// Feeds `tokens` to a fresh session, the first `prompt` of them as a prompt and the others one step at a time: row i
// holds the logits after token prompt + i.
StepResult AloneRows(SystemUnderTest& system, const Tokens& tokens, int prompt = 0);

// Whether at least so many pieces of prompts shared one launch of the packed kernel, where the inside of the system can
// be seen. Not in batch-invariant mode, which takes all rows as in decode.
void CheckPackedKernel(CaseState& state, SystemUnderTest& system, std::int64_t least, const Place& where);

// For relations that a change must show: throws CannotBeSeen when `row`, which the system computed after `tokens`, is
// one number throughout and the reference says so too. Where the reference has another opinion, or none can be asked,
// a row that shows nothing is the system's own.
void RequireVisible(CaseState& state, std::span<const float> row, const Tokens& tokens);

// How much further off than elsewhere a row of a session may be, because its arithmetic loses digits: asked of the
// twin, and where that does not explain it, for some rows of a case, of twins that add in other orders.
class HardRows {
 public:
  explicit HardRows(CaseState& state) : state_(state) {}
  // For LogitTolerance::At; 1 where `error` is within bound.soft.
  double Ratio(const LogitTolerance& tolerance, double error, const Bound& bound, const Tokens& tokens, int position,
               int first = 0);

 private:
  CaseState& state_;
  int left_ = 8;  // a wrong engine is off in thousands of rows
};

// Compares rows of results with the reference at the row's position of `tokens`. Nothing for targets that the reference
// does not bound.
class LogitChecker {
 public:
  // Calibrates the tolerance, or finds it: before a system is opened.
  explicit LogitChecker(CaseState& state);
  // `first`: of the reference's rows of this session none before this position is asked.
  void Add(const StepResult& result, int row, const Tokens& tokens, const Place& where, int first = 0);
  void AtLeast(std::int64_t rows);  // that will be added; see Tally
  void Finish();

 private:
  CaseState& state_;
  const LogitTolerance* tolerance_;  // null: the reference does not bound the target
  bool raw_;                         // the system shows logits before the softcap
  HardRows hard_{state_};
  std::optional<LogitJudge> judge_;
};

// Rows that two runs of the system computed for the same inputs: bit for bit where the arithmetic is the same, else
// within the sum of both sides' tolerance. The same is the host's and that of batch-invariant mode, whatever ran beside
// a session and in whatever pieces it was taken. Of models with experts, rows that differ by more are held against what
// their own experts explain (suites/support/routing.h).
class RowAgreement {
 public:
  // Where a tolerance is needed, calibrates or finds it: before a system is opened, which then records its routing.
  explicit RowAgreement(CaseState& state);
  // Both rows are of `position` of `tokens`: where they differ by more than the tolerance, what the twin loses there is
  // asked (HardRows).
  void Check(std::span<const float> expected, std::span<const float> found, const Place& where, const Tokens& tokens,
             int position);
  void AtLeast(std::int64_t rows);  // that will be checked; see Tally

 private:
  CaseState& state_;
  const LogitTolerance* tolerance_ = nullptr;  // null: rows are equal bit for bit
  std::optional<RoutingJudge> routing_;
  HardRows hard_{state_};
};

// Rows that are equal bit for bit where the system promises it, as the engine of this tree does on every device: in the
// same shape of batch whatever else is in it, and from run to run. Else within the sum of both sides' tolerance.
class SameBits {
 public:
  // Calibrates the tolerance, or finds it: before a system is opened.
  explicit SameBits(CaseState& state) : SameBits(state, !state.target.loose) {}
  SameBits(CaseState& state, bool promised);
  void Check(std::span<const float> expected, std::span<const float> found, const Place& where);
  void AtLeast(std::int64_t rows);  // that will be checked; see Tally

 private:
  CaseState& state_;
  bool promised_;
  Bound between_;
};
// Whether rounding may send tokens of the target to other experts, on systems that keep a log of it.
bool RoutesByRounding(CaseState& state);

}  // namespace assay
