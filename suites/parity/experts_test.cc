// That judging under the engine's own routing excuses rounding and nothing else.
#include "suites/parity/experts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "oracles/probes/faulty_ops.h"

namespace assay {
namespace {

using Status = CaseOutcome::Status;

CaseOutcome Judged(const Subject& subject, Ops* ops) {
  Judge judge;
  JudgeExperts(subject, ops, judge);
  return judge.Finish();
}

Subject Tiny(Precision precision) { return {"tiny-gemma4-moe", "host", precision, 0}; }

class ExpertModes : public testing::TestWithParam<Precision> {};

TEST_P(ExpertModes, ARightEnginePasses) {
  const CaseOutcome outcome = Judged(Tiny(GetParam()), nullptr);
  EXPECT_EQ(outcome.status, Status::kPass) << outcome.reason;
  EXPECT_EQ(
      std::count_if(outcome.judgements.begin(), outcome.judgements.end(),
                    [](const Judgement& j) { return j.metric == "routing_margin" || j.metric == "max_abs_logit_raw"; }),
      2);
}

TEST_P(ExpertModes, FaultsAreSeen) {
  for (const Fault fault :
       {Fault::kWindowPlusOne, Fault::kScaleOff, Fault::kNoPostNorm, Fault::kNeighbourCache, Fault::kRowSwap}) {
    const std::unique_ptr<Ops> ops = MakeOpsOf(Tiny(GetParam()));
    FaultyOps faulty(*ops, fault);
    EXPECT_EQ(Judged(Tiny(GetParam()), &faulty).status, Status::kFail) << static_cast<int>(fault);
  }
}

// A router that takes another expert in the last one's place: a consistent engine with a wrong decision.
class OtherExpert final : public ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;
  void Route(const RouteArgs& args) override {
    inner_.Route(args);
    for (int row = 0; row < args.rows; ++row) {
      std::int32_t* chosen = args.expert + row * args.top_k;  // the host's memory
      std::int32_t& last = chosen[args.top_k - 1];
      do last = (last + 1) % args.experts;
      while (std::find(chosen, chosen + args.top_k - 1, last) != chosen + args.top_k - 1);
    }
  }
};

TEST_P(ExpertModes, AWrongDecisionIsSeen) {
  const std::unique_ptr<Ops> ops = MakeOpsOf(Tiny(GetParam()));
  OtherExpert other(*ops);
  const CaseOutcome outcome = Judged(Tiny(GetParam()), &other);
  EXPECT_EQ(outcome.status, Status::kFail);
  EXPECT_NE(outcome.reason.find("routing_margin"), std::string::npos) << outcome.reason;
}

INSTANTIATE_TEST_SUITE_P(, ExpertModes, testing::Values(Precision::kBf16, Precision::kFp16),
                         [](const auto& tested) { return std::string(Name(tested.param)); });

}  // namespace
}  // namespace assay
