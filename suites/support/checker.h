// Collects the comparisons of one case: the worst of each metric, how many there were, and the outcome.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "oracles/compare/tensors.h"
#include "oracles/verdict/tally.h"
#include "reports/format/digest.h"
#include "reports/format/report.h"

namespace assay {

// What a case had to say. A case that could not run is not a pass: status kSkip with the reason.
struct CaseOutcome {
  Status status = Status::kError;
  std::string reason;                 // why it was skipped, failed or broke off: one line
  std::vector<Judgement> judgements;  // of all comparisons made; empty with kPass is turned into kFail (vacuous)
  ArgmaxRows argmax;
  std::string digest;                // of the rows that were compared bit for bit; see Checker::KeepDigest
  std::vector<std::string> kernels;  // that the case watched, sorted; see CaseState::Watch
  double seconds = 0;
};

class Checker {
 public:
  void Add(const Judgement& judgement) { tally_.Add(judgement); }
  // From here on: a digest of all rows that Bits expects, by which runs on several devices can be compared.
  void KeepDigest() { digest_.emplace(); }
  // 0 ulp.
  void Bits(std::span<const float> expected, std::span<const float> found, const Place& where);
  // Two correct computations of the same row whose arithmetic may differ: max abs within `bound`.
  void Close(std::span<const float> expected, std::span<const float> found, const Bound& bound, const Place& where);
  // A yes or no question; `detail` says what was expected and found when the answer is no.
  void True(bool ok, std::string metric, const Place& where, const std::string& detail = "");
  // What a case states before it compares: see Tally.
  void AtLeast(const std::string& metric, std::int64_t comparisons) { tally_.AtLeast(metric, comparisons); }
  // Rows of logits that a LogitJudge has added to tally().
  void CountArgmax(std::int64_t judged, std::int64_t rows);

  Tally& tally() { return tally_; }
  // Fails on WRONG and VOID, the budgets of soft verdicts among them.
  CaseOutcome Finish() const;

 private:
  Tally tally_;
  ArgmaxRows argmax_;
  std::optional<Sha256Stream> digest_;
};

// "max_abs_logit_raw is WRONG at session 3 step 7: 0.012 of 0.0002 allowed".
std::string Describe(const Judgement& judgement);

}  // namespace assay
