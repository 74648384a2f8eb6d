// Which cases vouch for which benchmark, and what becomes of a benchmark that none vouches for.
#include "ci/assay/bench_parity.h"

#include <gtest/gtest.h>

#include "engine/base/check.h"
#include "suites/suites.h"
#include "suites/support/references.h"

namespace assay {
namespace {

std::vector<Case> All(const std::string& model, const std::string& device, const std::string& dtype,
                      const std::vector<std::string>& suites) {
  return ListCases({{model}, {dtype}, {device}, 0, false}, suites);
}

std::vector<std::string> Names(const std::vector<Case>& cases) {
  std::vector<std::string> names;
  for (const Case& item : cases) names.push_back(item.id());
  return names;
}
using List = std::vector<std::string>;

TEST(ParityCases, OfASmallModelComeFromTheSuites) {
  const auto all = All("tiny-gemma4-moe", "host", "bf16", {"Prefill", "Decode", "BatchedDecode", "Experts"});
  EXPECT_EQ(Names(ParityCases(all, BenchPath::kDecode, 16)),
            (List{"Experts.DecideWithinTheError/tiny_gemma4_moe_bf16",
                  "BatchedDecode.MatchesSingleUser/tiny_gemma4_moe_bf16_n16",
                  "Decode.GraphEqualsSteps/tiny_gemma4_moe_bf16_n5"}));
  EXPECT_EQ(Names(ParityCases(all, BenchPath::kDecode, 1000)).at(1),
            "BatchedDecode.MatchesSingleUser/tiny_gemma4_moe_bf16_n33");
  EXPECT_EQ(Names(ParityCases(all, BenchPath::kPrefill, 1)), (List{"Prefill.ChunkedEqualsWhole/tiny_gemma4_moe_bf16"}));
  EXPECT_EQ(Names(ParityCases(all, BenchPath::kPrefill, 3)).back(), "Prefill.PackedEqualsSerial/tiny_gemma4_moe_bf16");
}

TEST(ParityCases, WithoutExpertsThePromptIsHeldAgainstTheReference) {
  const auto all = All("tiny-llama", "host", "bf16", {"Prefill", "Decode", "BatchedDecode", "Experts"});
  EXPECT_EQ(Names(ParityCases(all, BenchPath::kPrefill, 1)),
            (List{"Prefill.MatchesReference/tiny_llama_bf16", "Prefill.ChunkedEqualsWhole/tiny_llama_bf16"}));
}

TEST(ParityCases, OfALargeModelComeFromRealGeometry) {
  const auto all = All("gemma4-e4b", "cuda", "bf16", {"Experts", "RealGeometry"});
  EXPECT_EQ(Names(ParityCases(all, BenchPath::kDecode, 32)),
            (List{"RealGeometry.BatchedDecode/gemma4_e4b_bf16_cuda_n33"}));
  EXPECT_EQ(Names(ParityCases(all, BenchPath::kPrefill, 4)), (List{"RealGeometry.Prefill/gemma4_e4b_bf16_cuda"}));
}

// A case that was renamed must not take its proof along in silence.
TEST(ParityCases, AGapInASuiteIsRefused) {
  auto all = All("tiny-llama", "host", "fp32", {"Prefill", "Decode", "BatchedDecode"});
  for (Case& item : all)
    if (item.name == "GraphEqualsSteps") item.name = "GraphIsSteps";
  EXPECT_THROW(ParityCases(all, BenchPath::kDecode, 1), InputError);
  EXPECT_NO_THROW(ParityCases(all, BenchPath::kPrefill, 1));
  EXPECT_TRUE(ParityCases({}, BenchPath::kDecode, 1).empty());
}

TEST(ParityCases, NoModelHasAGap) {
  for (const std::string& model : MatchModels({"*", "hf-tiny/*", "gguf-tiny/*"}))
    for (const char* dtype : {"fp32", "bf16"})
      for (const bool invariant : {false, true}) {
        const bool small = !IsLarge(StoreOf({model, "host"}).spec());
        const auto all =
            ListCases({{model}, {dtype}, {"cuda"}, 0, invariant},
                      small ? List{"Prefill", "Decode", "BatchedDecode", "Experts"} : List{"Experts", "RealGeometry"});
        for (const BenchPath path : {BenchPath::kDecode, BenchPath::kPrefill})
          EXPECT_FALSE(ParityCases(all, path, 3).empty()) << model << " " << dtype;
      }
}

class ParityGateTest : public testing::Test {
 protected:
  Parity Judge(const Subject& subject) {
    ParityGate gate(subject, [&](const ReportCase& item) { seen_.push_back(item); });
    BenchCase item;
    item.path = BenchPath::kDecode;
    item.params = {{"n", 1}};
    return gate.Judge(item);
  }
  std::vector<ReportCase> seen_;
};

TEST_F(ParityGateTest, PassesWhatTheSuitesPass) {
  const Parity parity = Judge({"tiny-llama", "host", Precision::kFp32, 3, true});
  EXPECT_EQ(parity.status, "pass");
  EXPECT_EQ(parity.verdict, "MATCH");
  ASSERT_EQ(seen_.size(), 2u);
  for (const ReportCase& item : seen_) {
    EXPECT_NE(item.replay.find("--seed 3"), std::string::npos) << item.replay;
    EXPECT_NE(item.replay.find("--batch-invariant"), std::string::npos) << item.replay;
  }
}

TEST_F(ParityGateTest, NobodyJudgesALargeModelOnTheHost) {
  const Parity parity = Judge({"gemma3-270m", "host", Precision::kFp32});
  EXPECT_EQ(parity.status, "skip");
  EXPECT_EQ(parity.verdict, "VOID");
  EXPECT_NE(parity.reason.find("no suite can judge gemma3-270m on host"), std::string::npos) << parity.reason;
}

TEST_F(ParityGateTest, TolerancesAreThoseOfTwoComputations) {
  const Subject subject{"tiny-llama", "cuda", Precision::kBf16};
  BenchSetting setting;
  ParityGate(subject, [](const ReportCase&) {}).FillTolerance(&setting);
  EXPECT_EQ(setting.spread, 2 * ToleranceOf(subject).max_abs.hard);
  EXPECT_EQ(setting.tie, 4 * ToleranceOf(subject).tie);
  BenchSetting exact;
  ParityGate({"tiny-llama", "host", Precision::kFp32}, [](const ReportCase&) {}).FillTolerance(&exact);
  EXPECT_EQ(exact.tie + exact.spread, 0);
}

}  // namespace
}  // namespace assay
