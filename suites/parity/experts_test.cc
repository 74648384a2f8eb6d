// That judging under the engine's own routing excuses rounding and nothing else.
#include "suites/parity/experts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "suites/testing/planted.h"

namespace assay {
namespace {

class ExpertModes : public testing::TestWithParam<Precision> {
 protected:
  Target target() const { return {.model = "tiny-gemma4-moe", .precision = GetParam()}; }
  CaseOutcome Outcome(Workbench& bench) const { return OutcomeOf(bench, target(), JudgeExperts); }
};

TEST_P(ExpertModes, ARightEnginePasses) {
  Workbench bench;
  const CaseOutcome outcome = Outcome(bench);
  EXPECT_EQ(outcome.status, Status::kPass) << outcome.reason;
  EXPECT_EQ(
      std::count_if(outcome.judgements.begin(), outcome.judgements.end(),
                    [](const Judgement& j) { return j.metric == "routing_margin" || j.metric == "max_abs_logit_raw"; }),
      2);
}

TEST_P(ExpertModes, FaultsAreSeen) {
  for (const Fault fault :
       {Fault::kWindowPlusOne, Fault::kScaleOff, Fault::kNoPostNorm, Fault::kNeighbourCache, Fault::kRowSwap}) {
    PlantedBench planted(fault);
    EXPECT_EQ(Outcome(planted.bench()).status, Status::kFail) << static_cast<int>(fault);
    EXPECT_TRUE(planted.engaged()) << static_cast<int>(fault);
  }
}

TEST_P(ExpertModes, AWrongDecisionIsSeen) {
  Workbench bench(Decorated<OtherExpert>(std::make_shared<bool>(false)));
  const CaseOutcome outcome = Outcome(bench);
  EXPECT_EQ(outcome.status, Status::kFail);
  // Whatever else is off: the other expert's weight is not what the reference gives it.
  const bool margin = std::any_of(outcome.judgements.begin(), outcome.judgements.end(), [](const Judgement& j) {
    return j.metric == "routing_margin" && j.verdict == Verdict::kWrong;
  });
  EXPECT_TRUE(margin) << outcome.reason;
}

INSTANTIATE_TEST_SUITE_P(, ExpertModes, testing::Values(Precision::kBf16, Precision::kFp16),
                         [](const auto& tested) { return std::string(Name(tested.param)); });

}  // namespace
}  // namespace assay
