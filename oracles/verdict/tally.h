// All comparisons of a case: the worst of each metric, how many there were, where the first left its tolerance, and
// whether soft verdicts are more than noise explains.
#pragma once

#include <string>
#include <vector>

#include "oracles/verdict/verdict.h"

namespace assay {

// A tolerance that comes from a calibration is this quantile of the twin's error (times a factor).
inline constexpr double kCalibrationQuantile = 0.999;

// How sure a failed budget is. A run over all embedded models has some 5,000 cases with a few budgets each, a night of
// many seeds 100,000 cases: at 0.999 a right engine failed about one case in 70,000 there.
inline constexpr double kBudgetConfidence = 1 - 1e-6;

// Smallest n with P(Poisson(mean) <= n) >= p.
int PoissonQuantile(double mean, double p);

class Tally {
 public:
  void Add(const Judgement& judgement);
  void Add(const std::vector<Judgement>& judgements);
  bool empty() const { return metrics_.empty(); }
  // There will be at least so many comparisons of `metric`; several statements add up. What makes them does not count
  // them: a loop that leaves some out is found.
  void AtLeast(const std::string& metric, std::int64_t comparisons);

  // The worst judgement of each metric, in the order in which metrics came, with comparisons and first_outside filled.
  // Behind them, for every metric that had soft verdicts, "<metric>_budget": their number against the Poisson
  // quantile kBudgetConfidence of the sum of soft_probability over all comparisons; WRONG above. Last, for every metric
  // that was stated, "<metric>_comparisons": how many of those stated are missing; its comparisons are those stated.
  std::vector<Judgement> Finish() const;

 private:
  struct Metric {
    Judgement worst;  // its comparisons and first_outside are those of all
    int soft = 0;
    double expected = 0;
  };
  std::vector<Metric> metrics_;
  std::vector<std::pair<std::string, std::int64_t>> stated_;  // metric, comparisons
};

}  // namespace assay
