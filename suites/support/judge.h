// Collects the comparisons of one case: the worst of each metric, how many there were, and the outcome.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "oracles/compare/tensors.h"
#include "oracles/compare/verdict.h"
#include "suites/support/case.h"

namespace assay {

class Judge {
 public:
  void Add(const Judgement& judgement);
  void Add(const std::vector<Judgement>& judgements);
  // 0 ulp.
  void Bits(std::span<const float> expected, std::span<const float> found, std::string_view where);
  // Two correct computations of the same rows whose arithmetic may differ: max abs within `tolerance`.
  void Close(std::span<const float> expected, std::span<const float> found, const Tolerance& tolerance,
             std::string_view where);
  // A yes or no question; `detail` says what was expected and found when the answer is no.
  void True(bool ok, std::string_view metric, std::string_view where, const std::string& detail = "");

  // Fails on WRONG and VOID; DRIFT and TIE_FLIP pass here because their budgets are judgements of their own.
  CaseOutcome Finish() const;

 private:
  std::vector<Judgement> worst_;  // one per metric
  std::vector<int> counts_;
};

}  // namespace assay
