// The case runner: what a suite may not decide, and what ends neither the run nor the truth.
#include "suites/support/runner.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "engine/base/check.h"
#include "reports/format/digest.h"

namespace assay {
namespace {

using Body = std::function<void(CaseState&)>;

Case CaseThat(Body body, const char* name = "Name") {
  return MakeCase("Suite", name, {.model = "tiny-llama"}, {}, {}, std::move(body));
}

// A body that adds a judgement of each verdict.
Body Adding(std::vector<Verdict> verdicts) {
  return [verdicts = std::move(verdicts)](CaseState& state) {
    for (const Verdict verdict : verdicts) {
      Judgement judgement = Judged("metric", 1, {1, 2, "stated"}, {{"row", 1}});
      judgement.verdict = verdict;
      judgement.soft_probability = 1;
      state.check.Add(judgement);
    }
  };
}

class Runner : public testing::Test {
 protected:
  CaseOutcome Run(Body body) { return runner_.Run(CaseThat(std::move(body))); }

  Workbench bench_;
  CaseRunner runner_{bench_};
};

TEST_F(Runner, PassesWhatWasComparedAndMatched) {
  const CaseOutcome outcome = Run(Adding({Verdict::kMatch, Verdict::kDrift}));
  EXPECT_EQ(outcome.status, Status::kPass) << outcome.reason;
  EXPECT_TRUE(outcome.reason.empty());
}

TEST_F(Runner, StoppingEndsTheGroupsBehindToo) {
  const auto group = [](const char* first, const char* second) {
    CaseGroup made;
    made.model = "tiny-llama";
    for (const char* name : {first, second}) made.cases.push_back(CaseThat(Adding({Verdict::kMatch}), name));
    return made;
  };
  int ran = 0;
  const RunOptions options{.replay = [](const Case&) { return std::string(); },
                           .before = [&](const Case&) { ++ran; },
                           .after = nullptr,
                           .stop = [&] { return ran == 3; }};
  EXPECT_EQ(RunGroups(bench_, {group("A", "B"), group("C", "D"), group("E", "F")}, options).size(), 3u);
}

TEST_F(Runner, VacuousPassFails) {
  const CaseOutcome outcome = Run([](CaseState&) {});
  EXPECT_EQ(outcome.status, Status::kFail);
  EXPECT_NE(outcome.reason.find("vacuous"), std::string::npos) << outcome.reason;
}

TEST_F(Runner, PassWithVoidOrWrongFails) {
  for (const auto& verdicts :
       {std::vector{Verdict::kMatch, Verdict::kVoid}, {Verdict::kWrong, Verdict::kMatch}, {Verdict::kVoid}}) {
    const CaseOutcome outcome = Run(Adding(verdicts));
    EXPECT_EQ(outcome.status, Status::kFail);
    EXPECT_NE(outcome.reason.find("metric is"), std::string::npos) << outcome.reason;
  }
}

TEST_F(Runner, SoftVerdictsBeyondTheirBudgetFail) {
  const CaseOutcome outcome = Run([](CaseState& state) {
    for (int row = 0; row < 3; ++row) state.check.Add(Judged("metric", 1.5, {1, 2, "stated"}, {{"row", row}}));
  });
  EXPECT_EQ(outcome.status, Status::kFail);
  EXPECT_NE(outcome.reason.find("metric_budget is WRONG"), std::string::npos) << outcome.reason;
}

TEST_F(Runner, ExceptionsAreErrorsWithTheirText) {
  const CaseOutcome outcome = Run([](CaseState&) { throw std::runtime_error("tensor 7 is bad"); });
  EXPECT_EQ(outcome.status, Status::kError);
  EXPECT_EQ(outcome.reason, "tensor 7 is bad");
  const CaseOutcome thrown = Run([](CaseState&) { throw 7; });
  EXPECT_EQ(thrown.status, Status::kError);
  EXPECT_FALSE(thrown.reason.empty());
}

TEST_F(Runner, WhatDoesNotFitIsASkipOnlyWhereTheCaseSaysSo) {
  Case item = CaseThat([](CaseState&) { throw OutOfMemory("2 sessions would fit", 9, 1); });
  EXPECT_EQ(runner_.Run(item).status, Status::kError);
  item.may_not_fit = true;
  const CaseOutcome outcome = runner_.Run(item);
  EXPECT_EQ(outcome.status, Status::kSkip);
  EXPECT_EQ(outcome.reason, "2 sessions would fit");
}

TEST_F(Runner, ALostDeviceBreaksItsLaterCasesOnly) {
  EXPECT_EQ(Run([](CaseState&) { throw DeviceError("out of luck", false); }).status, Status::kError);
  EXPECT_EQ(Run(Adding({Verdict::kMatch})).status, Status::kPass);
  Run([](CaseState&) { throw DeviceError("illegal address", true); });
  const CaseOutcome later = Run(Adding({Verdict::kMatch}));
  EXPECT_EQ(later.status, Status::kError);
  EXPECT_NE(later.reason.find("illegal address"), std::string::npos) << later.reason;
  EXPECT_EQ(CaseRunner(bench_).Run(CaseThat(Adding({Verdict::kMatch}))).status, Status::kPass) << "of another run";
}

TEST_F(Runner, AnAbsentDeviceIsASkipThatNamesItAndNeverAPass) {
  bool called = false;
  Case item = CaseThat([&](CaseState&) { called = true; });
  item.target.device = Device::Cuda(99);
  const CaseOutcome outcome = runner_.Run(item);
  EXPECT_EQ(outcome.status, Status::kSkip);
  EXPECT_FALSE(outcome.reason.empty());
  EXPECT_FALSE(called);
}

TEST_F(Runner, OutcomesNameTheKernelsThatWereWatchedOnceEach) {
  const CaseOutcome outcome = Run([](CaseState& state) {
    state.Watch({"b", "a"});
    state.Watch({"b", "c"});
    state.check.True(true, "m", {});
  });
  EXPECT_EQ(outcome.kernels, (std::vector<std::string>{"a", "b", "c"}));
}

TEST_F(Runner, RunGoesOnAndReportsEachCase) {
  const std::vector<Case> cases = {CaseThat([](CaseState&) { throw std::runtime_error("x"); }, "A"),
                                   CaseThat(Adding({Verdict::kMatch}), "B")};
  int before = 0, after = 0;
  const std::vector<ReportCase> results =
      RunGroups(bench_, GroupCases(bench_, cases),
                {ReplayLine, [&](const Case&) { ++before; }, [&](const ReportCase&) { ++after; }});
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(before, 2);
  EXPECT_EQ(after, 2);
  EXPECT_EQ(results[0].status, Status::kError);
  EXPECT_EQ(results[0].reason, "x");
  EXPECT_EQ(results[1].status, Status::kPass);
  EXPECT_EQ(results[1].id(), "Suite.B/tiny-llama/fp32/host");
  EXPECT_EQ(results[1].replay,
            "assay run --case Suite.B/tiny-llama/fp32/host --model tiny-llama --dtype fp32 --device host --seed 0");
}

TEST(ReplayLine, QuotesForTheShell) {
  Case item = CaseThat(nullptr);
  item.target.model = "my model's";
  EXPECT_NE(ReplayLine(item).find("--model 'my model'\\''s'"), std::string::npos) << ReplayLine(item);
}

// By the digest, runs on several devices are compared.
TEST_F(Runner, KeepsADigestOfRowsInBatchInvariantMode) {
  const auto digest = [&](bool batch_invariant, std::vector<float> second) {
    Case item = CaseThat([second](CaseState& state) {
      const std::vector<float> first = {1, 2};
      state.check.Bits(first, first, {});
      state.check.Bits(second, second, {});
    });
    item.target.batch_invariant = batch_invariant;
    return ToReport(item, runner_.Run(item), "").digest;
  };
  const float all[] = {1, 2, 3};
  EXPECT_EQ(digest(true, {3}), Sha256({reinterpret_cast<const char*>(all), sizeof all}));
  EXPECT_NE(digest(true, {3}), digest(true, {4}));
  EXPECT_EQ(digest(false, {3}), "");
}

TEST(ReplayLine, NamesDeviceSeedAndMode) {
  const Target target{.model = "tiny-llama",
                      .device = Device::Cuda(1),
                      .precision = Precision::kBf16,
                      .seed = 7,
                      .batch_invariant = true};
  EXPECT_EQ(ReplayLine(MakeCase("Suite", "Name", target, {{"n", 3}}, {}, nullptr)),
            "assay run --case Suite.Name/tiny-llama/bf16/cuda/mode=batch-invariant/n=3 --model tiny-llama --dtype bf16 "
            "--device cuda:1 --seed 7 --batch-invariant");
}

// A model that shares its folder's name with another runs alone without the identity behind it: the pattern covers
// both.
TEST(ReplayLine, CoversTheLabelThatTheModelHasAlone) {
  const Target target{.model = "/elsewhere/my-model", .label = "my-model#0123abcd"};
  const Case labelled = MakeCase("Suite", "Name", target, {}, {}, nullptr);
  Target plain = target;
  plain.label = "my-model";
  const Case alone = MakeCase("Suite", "Name", plain, {}, {}, nullptr);
  const std::string line = ReplayLine(labelled);
  EXPECT_NE(line.find("'Suite.Name/my-model*/fp32/host'"), std::string::npos) << line;
  EXPECT_EQ(SelectCases({alone}, "Suite.Name/my-model*/fp32/host").size(), 1u);
  EXPECT_EQ(SelectCases({labelled}, "Suite.Name/my-model*/fp32/host").size(), 1u);
}

TEST(SelectCases, ExactOrByWildcard) {
  const std::vector<Case> cases = {CaseThat(nullptr, "N1"), CaseThat(nullptr, "N16")};
  EXPECT_EQ(SelectCases(cases, "").size(), 2u);
  EXPECT_EQ(SelectCases(cases, "Suite.N1/tiny-llama/fp32/host").size(), 1u);
  EXPECT_EQ(SelectCases(cases, "Suite.N1").size(), 0u);
  EXPECT_EQ(SelectCases(cases, "*N1*").size(), 2u);
}

}  // namespace
}  // namespace assay
