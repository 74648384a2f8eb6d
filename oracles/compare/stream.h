// Judges a stream of logits against the reference's, row by row, both fed the same tokens (teacher-forced), so that one
// legal flip neither ends nor poisons the comparison; and a free-running text, of which only the first flip says
// anything.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oracles/compare/ranking.h"
#include "oracles/compare/tolerance.h"
#include "oracles/compare/verdict.h"

namespace assay {

// The logits after one token. The softcap hides upstream errors, so raw ones are compared where both sides have them.
struct LogitRow {
  std::span<const double> reference_raw{}, candidate_raw{};        // both empty when not recorded
  std::span<const double> reference_capped{}, candidate_capped{};  // both empty when the same as raw
  double twin_error_ratio = 1;                                     // LogitTolerance::At
};

class StreamJudge {
 public:
  explicit StreamJudge(LogitTolerance tolerance) : tolerance_(std::move(tolerance)) {}

  // `where` names the row in messages: "session 3 step 7". Throws InputError when sizes differ or only one side is
  // given.
  void Add(const LogitRow& row, std::string_view where, Neighbours neighbours = {});
  int rows() const { return rows_; }
  int flips() const { return flips_; }

  // The worst of each metric over all rows, and the budgets: max_abs_logit_raw, max_abs_logit_capped, rms_logit,
  // argmax and flip_budget (where the tolerance decides), drift_budget, kl, mean_kl. One VOID judgement when no row was
  // added.
  std::vector<Judgement> Finish() const;

 private:
  void AddMetric(const Judgement& judgement);
  void AddDistribution(const LogitTolerance& tolerance, std::span<const double> reference,
                       std::span<const double> candidate, std::string_view where);

  LogitTolerance tolerance_;
  int rows_ = 0, flips_ = 0, drifts_ = 0, distributions_ = 0;
  double expected_flips_ = 0, kl_sum_ = 0;
  std::vector<Judgement> worst_;  // one for each metric
};

// Compares two greedy continuations of one prompt. `gap[i]` is the reference's gap at step i, `eps` the logit error
// allowed. MATCH when equal, TIE_FLIP when the first difference stands where the gap is at most 2 eps, else WRONG; VOID
// when empty. What follows a first flip is another text and is not compared. value = first differing step.
Judgement JudgeFreeRunning(std::span<const std::int32_t> expected, std::span<const std::int32_t> found,
                           std::span<const double> gap, double eps, std::string_view where);

}  // namespace assay
