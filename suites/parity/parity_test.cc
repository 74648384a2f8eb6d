// What judges rows of logits in suites.
#include "suites/parity/parity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "suites/support/runner.h"

namespace assay {
namespace {

TEST(LogitChecker, MissesTheRowsThatWereStated) {
  Workbench bench;
  const Case item = MakeCase("Suite", "Name", {.model = "tiny-llama"}, {}, {}, [](CaseState& state) {
    LogitChecker checker(state);
    checker.AtLeast(2);
    checker.Finish();
  });
  const CaseOutcome outcome = CaseRunner(bench).Run(item);
  EXPECT_EQ(outcome.status, Status::kFail);
  const auto stated = std::ranges::find(outcome.judgements, "max_abs_logit_capped_comparisons", &Judgement::metric);
  ASSERT_NE(stated, outcome.judgements.end());
  EXPECT_EQ(stated->value, 2);
  EXPECT_EQ(stated->verdict, Verdict::kWrong);
}

TEST(Prefill, HoldsPromptsBeyondTheWindowAgainstTheReference) {
  Workbench bench;
  const Target target{.model = "tiny-gemma3"};
  const int window = SmallestWindow(bench.Spec(target));
  const std::vector<Case> cases = PrefillCases(bench, target);
  const auto item = std::ranges::find(cases, "MatchesReference", &Case::name);
  ASSERT_NE(item, cases.end());
  const CaseOutcome outcome = CaseRunner(bench).Run(*item);
  const auto judged = std::ranges::find(outcome.judgements, "max_abs_logit_capped", &Judgement::metric);
  ASSERT_NE(judged, outcome.judgements.end());
  // Of one token, two, around the window, and more than twice the window.
  EXPECT_EQ(judged->comparisons, 5 * window + 6);
}

}  // namespace
}  // namespace assay
