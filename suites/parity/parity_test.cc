// What judges rows of logits in suites.
#include "suites/parity/parity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "suites/support/runner.h"
#include "suites/testing/hard_rows.h"

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

// What becomes of two rows that differ by `share` of the hard bound.
Verdict Between(CaseState& state, const Tokens& tokens, int position, double share) {
  const double hard = state.references().Tolerance(state.target).Between().hard;
  const std::vector<double>& row = state.references().Rows(state.target, tokens).Raw(position);
  const std::vector<float> a(row.begin(), row.end());
  std::vector<float> b = a;
  b.back() += static_cast<float>(share * hard);
  CaseState judging(state.bench, state.target);
  RowAgreement(judging).Check(a, b, {}, tokens, position);
  return judging.check.Finish().judgements.front().verdict;
}

TEST(RowAgreement, AllowsMoreWhereTheTwinLosesDigits) {
  // Of this model one row in a hundred has errors a hundred times as large as others in fp32.
  Workbench bench;
  const Target target{.model = "random-9", .loose = true};
  CaseState state(bench, target);
  const LogitTolerance tolerance = state.references().Tolerance(target);
  int hard_rows = 0, plain_rows = 0;
  for (int stream = 0; stream < 400 && (hard_rows == 0 || plain_rows == 0); ++stream) {
    const Tokens tokens = state.MadeUp(stream, 16);
    for (int position = 0; position < 16; ++position) {
      const double ratio = state.references().TwinErrorRatio(target, tolerance, tokens, position);
      const auto worst = [&] { return state.references().WorstTwinErrorRatio(target, tolerance, tokens, position); };
      if (ratio > 1.3 && hard_rows == 0) {
        ++hard_rows;
        EXPECT_EQ(Between(state, tokens, position, 0.5 * (1 + ratio)), Verdict::kDrift);
        EXPECT_EQ(Between(state, tokens, position, 1.1 * worst()), Verdict::kWrong);
      } else if (ratio == 1 && plain_rows == 0 && worst() == 1) {
        ++plain_rows;
        EXPECT_EQ(Between(state, tokens, position, 1.1), Verdict::kWrong);
        EXPECT_EQ(Between(state, tokens, position, 0.9), Verdict::kDrift);
        EXPECT_EQ(Between(state, tokens, position, 0.4), Verdict::kMatch);
      }
    }
  }
  EXPECT_EQ(hard_rows, 1);
  EXPECT_EQ(plain_rows, 1);
}

// Each case asks of so few rows: a wrong engine would have it compute thousands of twins.
TEST(HardRows, AskOtherOrdersOfEightRows) {
  Workbench bench;
  const std::optional<HiddenHardRow> row = FindHiddenHardRow(bench);
  ASSERT_TRUE(row);
  CaseState state(bench, row->target);
  const LogitTolerance tolerance = state.references().Tolerance(row->target);
  HardRows rows(state);
  const Bound& bound = tolerance.max_abs;
  const double own = state.references().TwinErrorRatio(row->target, tolerance, row->tokens, row->position);
  const auto ratio = [&](double error) { return rows.Ratio(tolerance, error, bound, row->tokens, row->position); };
  EXPECT_EQ(ratio(0.9 * bound.soft), 1);
  EXPECT_EQ(ratio(0.9 * bound.hard), own);
  EXPECT_EQ(ratio(17 * bound.hard), own);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(ratio(2 * bound.hard), row->worst);
  EXPECT_EQ(ratio(2 * bound.hard), own) << "the ninth";
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
