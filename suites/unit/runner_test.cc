// The case runner: what a suite may not decide, and what ends neither the run nor the truth.
#include "suites/support/runner.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "engine/base/check.h"

namespace assay {
namespace {

using Status = CaseOutcome::Status;

Case CaseThat(std::function<CaseOutcome()> run, const char* name = "Name") {
  return {"Suite", name, "nano_fp32", "nano", "fp32", "host", std::move(run)};
}

CaseOutcome With(Status status, std::vector<Verdict> verdicts) {
  CaseOutcome outcome;
  outcome.status = status;
  for (const Verdict verdict : verdicts)
    outcome.judgements.push_back({verdict, 1, 2, 0.5, "metric", "row 1", "", "stated"});
  return outcome;
}

CaseOutcome RunOne(std::function<CaseOutcome()> run) { return CaseRunner().Run(CaseThat(std::move(run))); }

TEST(CaseRunner, PassesWhatWasComparedAndMatched) {
  EXPECT_EQ(RunOne([] { return With(Status::kPass, {Verdict::kMatch, Verdict::kDrift}); }).status, Status::kPass);
}

TEST(CaseRunner, VacuousPassFails) {
  const CaseOutcome outcome = RunOne([] { return With(Status::kPass, {}); });
  EXPECT_EQ(outcome.status, Status::kFail);
  EXPECT_NE(outcome.reason.find("vacuous"), std::string::npos) << outcome.reason;
}

TEST(CaseRunner, PassWithVoidOrWrongFails) {
  EXPECT_EQ(RunOne([] { return With(Status::kPass, {Verdict::kMatch, Verdict::kVoid}); }).status, Status::kFail);
  EXPECT_EQ(RunOne([] { return With(Status::kPass, {Verdict::kWrong, Verdict::kMatch}); }).status, Status::kFail);
}

TEST(CaseRunner, EveryOtherStatusHasAReason) {
  for (const Status status : {Status::kFail, Status::kSkip, Status::kError}) {
    const CaseOutcome outcome = RunOne([&] { return With(status, {}); });
    EXPECT_EQ(outcome.status, status);
    EXPECT_FALSE(outcome.reason.empty());
  }
}

TEST(CaseRunner, ExceptionsAreErrorsWithTheirText) {
  CaseOutcome outcome = RunOne([]() -> CaseOutcome { throw std::runtime_error("tensor 7 is bad"); });
  EXPECT_EQ(outcome.status, Status::kError);
  EXPECT_EQ(outcome.reason, "tensor 7 is bad");
  EXPECT_EQ(RunOne([]() -> CaseOutcome { throw 7; }).status, Status::kError);
}

TEST(CaseRunner, LostDeviceBreaksItsLaterCasesOnly) {
  const auto passing = [] { return With(Status::kPass, {Verdict::kMatch}); };
  CaseRunner runner;
  EXPECT_EQ(runner.Run(CaseThat([]() -> CaseOutcome { throw DeviceError("out of luck", false); })).status,
            Status::kError);
  EXPECT_EQ(runner.Run(CaseThat(passing)).status, Status::kPass);
  runner.Run(CaseThat([]() -> CaseOutcome { throw DeviceError("illegal address", true); }));
  const CaseOutcome later = runner.Run(CaseThat(passing));
  EXPECT_EQ(later.status, Status::kError);
  EXPECT_NE(later.reason.find("illegal address"), std::string::npos) << later.reason;
}

TEST(CaseRunner, UnknownDeviceIsAnErrorNotAPass) {
  Case item = CaseThat([] { return With(Status::kPass, {Verdict::kMatch}); });
  item.device = "abacus";
  EXPECT_EQ(CaseRunner().Run(item).status, Status::kError);
}

TEST(CaseRunner, RunGoesOnAndReportsEachCase) {
  const std::vector<Case> cases = {CaseThat([]() -> CaseOutcome { throw std::runtime_error("x"); }, "A"),
                                   CaseThat([] { return With(Status::kPass, {Verdict::kMatch}); }, "B")};
  int seen = 0;
  const std::vector<ReportCase> results = RunCases(
      cases, {[](const Case& item) { return ReplayLine(item, 7); }, nullptr, [&](const ReportCase&) { ++seen; }});
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(seen, 2);
  EXPECT_EQ(results[0].status, "error");
  EXPECT_EQ(results[1].status, "pass");
  EXPECT_EQ(results[1].replay, "assay run --case Suite.B/nano_fp32 --device host --seed 7 --model nano --dtype fp32");
}

TEST(ReplayLine, QuotesForTheShell) {
  Case item = CaseThat(nullptr);
  item.model = "my model's";
  EXPECT_NE(ReplayLine(item, 0).find("--model 'my model'\\''s'"), std::string::npos);
}

TEST(SelectCases, ExactOrByWildcard) {
  const std::vector<Case> cases = {CaseThat(nullptr, "N1"), CaseThat(nullptr, "N16")};
  EXPECT_EQ(SelectCases(cases, "").size(), 2u);
  EXPECT_EQ(SelectCases(cases, "Suite.N1/nano_fp32").size(), 1u);
  EXPECT_EQ(SelectCases(cases, "Suite.N1").size(), 0u);
  EXPECT_EQ(SelectCases(cases, "*N1*").size(), 2u);
}

}  // namespace
}  // namespace assay
