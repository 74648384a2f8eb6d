// What judges rows of logits in suites.
#include "suites/parity/parity.h"

#include <gtest/gtest.h>

#include <algorithm>

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

}  // namespace
}  // namespace assay
