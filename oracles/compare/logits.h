// Judges rows of logits against the reference's, both fed the same tokens (teacher-forced), so that one legal flip
// neither ends nor poisons the comparison; and a free-running text, of which only the first flip says anything.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "oracles/compare/ranking.h"
#include "oracles/compare/tolerance.h"
#include "oracles/verdict/tally.h"

namespace assay {

// The logits after one token. The softcap hides upstream errors, so raw ones are compared where both sides have them.
struct LogitRow {
  std::span<const double> reference_raw{}, candidate_raw{};        // both empty when not recorded
  std::span<const double> reference_capped{}, candidate_capped{};  // both empty when the same as raw
  double twin_error_ratio = 1;                                     // LogitTolerance::At
  bool drift_expected = false;                                     // the twin drifts here too, and that counts for it
};

// Adds to a tally, for each row: max_abs_logit_raw, max_abs_logit_capped, rms_logit, kl, and argmax where the row
// decides; at the end mean_kl. Every metric's name has `prefix` before it.
class LogitJudge {
 public:
  // `tally` must outlive the judge.
  LogitJudge(LogitTolerance tolerance, Tally& tally, std::string prefix = "")
      : tolerance_(std::move(tolerance)), tally_(tally), prefix_(std::move(prefix)) {}

  // Throws InputError when sizes differ or only one side is given.
  void Add(const LogitRow& row, const Place& where, Neighbours neighbours = {});
  std::int64_t rows() const { return rows_; }
  std::int64_t argmax_judged() const { return argmax_judged_; }  // rows that decide

  // Adds mean_kl; one VOID judgement "rows" when no row was added.
  void Finish();

 private:
  void AddDistribution(const LogitTolerance& tolerance, std::span<const double> reference,
                       std::span<const double> candidate, const Place& where, double drifts);
  void Put(Judgement judgement);

  LogitTolerance tolerance_;
  Tally& tally_;
  std::string prefix_;
  std::int64_t rows_ = 0, argmax_judged_ = 0, distributions_ = 0;
  double kl_sum_ = 0;
};

// Compares two greedy continuations of one prompt. `gap[i]` is the reference's gap at step i, `eps` the logit error
// allowed, `sigma` the noise of one logit. MATCH when equal, TIE_FLIP when the first difference stands where the gap is
// at most 2 eps, else WRONG; VOID when empty. What follows a first flip is another text and is not compared. value =
// the gap at the first difference, 0 when there is none.
Judgement JudgeFreeRunning(std::span<const std::int32_t> expected, std::span<const std::int32_t> found,
                           std::span<const double> gap, double eps, double sigma, const Place& where);

}  // namespace assay
