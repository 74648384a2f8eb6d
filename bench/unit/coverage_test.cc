// Which cases cover which benchmark, and what becomes of a benchmark that none covers.
#include "bench/support/coverage.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bench/cases/cases.h"
#include "suites/suites.h"
#include "suites/testing/planted.h"

namespace assay {
namespace {

using Ids = std::vector<std::string>;

std::vector<BenchCase> List(const Target& target, const std::vector<std::string>& what) {
  return ListBenchmarks(target, {{3}, {20}, {{2, 9}}}, what);
}

Ids CoveringIds(Workbench& bench, const BenchCase& item) {
  Ids ids;
  for (const Case& one : item.covering(bench)) ids.push_back(one.id());
  return ids;
}

TEST(Covering, IsTheCaseOfTheVeryShape) {
  Workbench bench;
  const Target target{.model = "tiny-llama", .precision = Precision::kBf16};
  for (const char* what : {"decode", "ops"})
    EXPECT_EQ(CoveringIds(bench, List(target, {what}).front()),
              (Ids{"Shapes.Decode/tiny-llama/bf16/host/n=3/context=20"}));
  EXPECT_EQ(CoveringIds(bench, List(target, {"prefill"}).front()),
            (Ids{"Shapes.Prefill/tiny-llama/bf16/host/prompts=2/tokens=9"}));
  EXPECT_EQ(CoveringIds(bench, List(target, {"load"}).front()),
            (Ids{"Shapes.Prefill/tiny-llama/bf16/host/prompts=1/tokens=64"}));
}

TEST(Covering, OfExpertsInSixteenBitsHoldsTheirRoutingToo) {
  Workbench bench;
  const Target target{.model = "tiny-gemma4-moe", .precision = Precision::kBf16};
  EXPECT_EQ(CoveringIds(bench, List(target, {"decode"}).front()),
            (Ids{"Experts.DecideWithinTheError/tiny-gemma4-moe/bf16/host",
                 "Shapes.Decode/tiny-gemma4-moe/bf16/host/n=3/context=20"}));
}

// Engine sizes follow from the shape: what is covered and what is timed are recorded over the same ones.
TEST(Covering, HasTheTargetAndTheAxesOfItsBenchmarkForEveryModel) {
  for (const std::string& model : MatchModels({"*", "hf-tiny/*", "gguf-tiny/*"})) {
    Workbench bench;
    for (const Precision precision : {Precision::kFp32, Precision::kBf16})
      for (const bool invariant : {false, true}) {
        const Target target{model, Device::Cuda(1), precision, 3, invariant};
        for (const BenchCase& item : List(target, {"decode", "prefill", "ops", "ablation"})) {
          const std::vector<Case> cases = item.covering(bench);
          ASSERT_FALSE(cases.empty()) << item.id();
          EXPECT_EQ(cases.back().axes, item.axes) << item.id();
          for (const Case& one : cases) {
            EXPECT_EQ(one.target.device, target.device) << one.id();
            EXPECT_EQ(one.target.precision, precision) << one.id();
            EXPECT_EQ(one.target.seed, 3u) << one.id();
            EXPECT_EQ(one.target.batch_invariant, invariant) << one.id();
          }
        }
      }
  }
}

class Cover : public testing::Test {
 protected:
  Coverage Run(Workbench& bench, const std::vector<BenchCase>& items) {
    CoverageRunner runner(bench, [&](const ReportCase& item) { seen_.push_back(item); });
    Coverage coverage;
    for (const BenchCase& item : items) coverage = runner.Run(item);
    return coverage;
  }
  std::vector<ReportCase> seen_;
};

TEST_F(Cover, PassesWhatItsCasesPassAndRunsEachOnce) {
  Workbench bench;
  const Target target{.model = "tiny-llama", .seed = 3, .batch_invariant = true};
  const Coverage coverage = Run(bench, List(target, {"decode", "ops"}));
  EXPECT_EQ(coverage.status, Status::kPass) << coverage.reason;
  EXPECT_EQ(coverage.verdict, Verdict::kMatch);
  EXPECT_EQ(coverage.cases, (Ids{"Shapes.Decode/tiny-llama/fp32/host/mode=batch-invariant/n=3/context=20"}));
  ASSERT_EQ(seen_.size(), 1u) << "one case covers both";
  EXPECT_EQ(seen_[0].status, Status::kPass);
  EXPECT_NE(seen_[0].replay.find("--seed 3"), std::string::npos) << seen_[0].replay;
  EXPECT_NE(seen_[0].replay.find("--batch-invariant"), std::string::npos) << seen_[0].replay;
}

TEST_F(Cover, FailsWithItsCaseAndNamesIt) {
  PlantedBench planted(Fault::kLateStep);
  const Coverage coverage = Run(planted.bench(), List({"tiny-llama"}, {"decode"}));
  EXPECT_TRUE(planted.engaged());
  EXPECT_EQ(coverage.status, Status::kFail);
  EXPECT_EQ(coverage.verdict, Verdict::kWrong);
  EXPECT_TRUE(coverage.reason.starts_with("Shapes.Decode/tiny-llama/fp32/host/n=3/context=20: ")) << coverage.reason;
}

TEST_F(Cover, NobodyJudgesALargeModelOnTheHost) {
  Workbench bench;
  const Coverage coverage = Run(bench, List({"gemma3-270m"}, {"decode"}));
  EXPECT_EQ(coverage.status, Status::kSkip);
  EXPECT_EQ(coverage.verdict, Verdict::kVoid);
  EXPECT_NE(coverage.reason.find("no suite can judge gemma3-270m on the host"), std::string::npos) << coverage.reason;
  EXPECT_TRUE(seen_.empty());
}

TEST_F(Cover, OnAnAbsentDeviceIsASkip) {
  Workbench bench;
  const Coverage coverage = Run(bench, List({.model = "tiny-llama", .device = Device::Cuda(99)}, {"decode"}));
  EXPECT_EQ(coverage.status, Status::kSkip);
  EXPECT_EQ(coverage.verdict, Verdict::kVoid);
  EXPECT_FALSE(coverage.reason.empty());
}

// Ops that say which kernels ran: those of `first` when they are asked for the first time, of `later` afterwards.
class NamesKernels : public ForwardingOps {
 public:
  using Names = std::vector<std::string>;
  NamesKernels(Ops& inner, Names first, Names later, std::shared_ptr<int> asked)
      : ForwardingOps(inner), first_(std::move(first)), later_(std::move(later)), asked_(std::move(asked)) {}
  Names LoggedKernels() const override { return (*asked_)++ == 0 ? first_ : later_; }

 private:
  Names first_, later_;
  std::shared_ptr<int> asked_;
};

ReportBenchmark CoverAndTime(const BenchCase& item, const NamesKernels::Names& covered,
                             const NamesKernels::Names& timed) {
  Workbench bench(Decorated<NamesKernels>(covered, timed, std::make_shared<int>(0)));
  CoverageRunner runner(bench, [](const ReportCase&) {});
  const Coverage coverage = runner.Run(item);
  EXPECT_EQ(coverage.status, Status::kPass) << coverage.reason;
  BenchSetting setting;
  setting.limits.copy_bytes_per_s = setting.limits.gemm_flops_per_s = 1e10;
  setting.seconds = 0.01;
  ActivitySampler activity{Device::Host()};
  BenchState state{bench, item.target, setting, activity};
  return TimeIfRight(item, coverage, state).front();
}

class CoveredKernels : public testing::TestWithParam<const char*> {};

TEST_P(CoveredKernels, AreThoseOfTheTimedStepOrTheRowFails) {
  const BenchCase item = List({"tiny-llama"}, {GetParam()}).front();
  const ReportBenchmark same = CoverAndTime(item, {"a", "b"}, {"a", "b"});
  EXPECT_EQ(same.status, Status::kPass) << same.reason;
  EXPECT_FALSE(same.kernels.empty());
  const ReportBenchmark fewer = CoverAndTime(item, {"a", "b", "c"}, {"a", "b"});
  EXPECT_EQ(fewer.status, Status::kPass) << fewer.reason;
  const ReportBenchmark other = CoverAndTime(item, {"a", "b"}, {"a", "c"});
  EXPECT_EQ(other.status, Status::kFail);
  EXPECT_NE(other.reason.find("kernel 'c'"), std::string::npos) << other.reason;
}

INSTANTIATE_TEST_SUITE_P(, CoveredKernels, testing::Values("decode", "prefill"),
                         [](const auto& tested) { return std::string(tested.param); });

TEST(CoverageTolerance, IsThatOfTwoComputations) {
  Workbench bench;
  CoverageRunner runner(bench, [](const ReportCase&) {});
  const Target target{.model = "tiny-llama", .device = Device::Cuda(), .precision = Precision::kBf16};
  const LogitTolerance& tolerance = bench.references().Tolerance(target);
  BenchSetting setting;
  runner.FillTolerance(target, &setting);
  EXPECT_EQ(setting.spread, 2 * tolerance.max_abs.hard);
  EXPECT_EQ(setting.tie, 4 * tolerance.tie);
  EXPECT_GT(setting.tie, 0);
  BenchSetting exact;
  runner.FillTolerance({"tiny-llama"}, &exact);
  EXPECT_EQ(exact.tie + exact.spread, 0);
}

}  // namespace
}  // namespace assay
