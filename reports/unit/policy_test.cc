// Parity of two reports, and policies.
#include <gtest/gtest.h>

#include "reports/policy/parity.h"
#include "reports/policy/policy.h"
#include "reports/unit/sample.h"

namespace assay {
namespace {

const char* const kToday = "2026-11-27";

TEST(Parity, AReportAgainstItselfPasses) {
  const ParityChanges changes = CompareParity(Sample(), Sample());
  EXPECT_EQ(changes.verdict, "PASS");
  EXPECT_EQ(changes.compared, 3u);
  EXPECT_TRUE(changes.added.empty());
}

TEST(Parity, WhatWasLostIsNamed) {
  Report newer = Sample();
  newer.cases[0] = MakeCase("A", Status::kFail, Verdict::kWrong);
  newer.cases[1] = MakeCase("B", Status::kSkip);
  newer.cases[3].argmax = {6, 8};
  const ParityChanges changes = CompareParity(Sample(), newer);
  EXPECT_EQ(changes.verdict, "FAIL");
  ASSERT_EQ(changes.broken.size(), 1u);
  EXPECT_NE(changes.broken[0].find("Suite.A"), std::string::npos);
  ASSERT_EQ(changes.lost.size(), 1u);
  EXPECT_NE(changes.lost[0].find("Suite.B"), std::string::npos);
  ASSERT_EQ(changes.coverage.size(), 1u);
  EXPECT_NE(changes.coverage[0].find("6/8"), std::string::npos);
}

TEST(Parity, AFailureThatIsSkippedNowIsLost) {
  Report older = Sample(), newer = Sample();
  older.cases[0] = MakeCase("A", Status::kFail, Verdict::kWrong);
  newer.cases[0] = MakeCase("A", Status::kSkip);
  const ParityChanges changes = CompareParity(older, newer);
  EXPECT_EQ(changes.verdict, "INCOMPLETE");
  ASSERT_EQ(changes.lost.size(), 1u);
  EXPECT_NE(changes.lost[0].find("Suite.A"), std::string::npos) << changes.lost[0];
}

TEST(Parity, CoverageIsAShareOfTheRows) {
  Report older = Sample(), newer = Sample();
  older.cases[3].argmax = {8, 8};
  newer.cases[3].argmax = {9, 16};
  EXPECT_EQ(CompareParity(older, newer).coverage.size(), 1u) << "more rows, of which fewer are judged";
  newer.cases[3].argmax = {4, 4};
  EXPECT_TRUE(CompareParity(older, newer).coverage.empty()) << "fewer rows, all of them judged";
}

TEST(Parity, ACaseThatVanishedIsNoPass) {
  Report newer = Sample();
  newer.cases.pop_back();
  EXPECT_EQ(CompareParity(Sample(), newer).verdict, "INCOMPLETE");
  EXPECT_EQ(CompareParity({}, Sample()).verdict, "INCOMPLETE");  // nothing was compared
}

TEST(Parity, HeadroomThatCreptIsNamed) {
  Report newer = Sample();
  newer.cases[0].judgements[0].value = 6e-5;  // of 2e-4: from 0.05 to 0.3
  const ParityChanges changes = CompareParity(Sample(), newer);
  EXPECT_EQ(changes.verdict, "FAIL");
  ASSERT_EQ(changes.crept.size(), 1u);
  EXPECT_NE(changes.crept[0].find("0.300, was 0.050"), std::string::npos) << changes.crept[0];
}

TEST(Parity, StoredSpeedsWarnAndOnlyWhereComparable) {
  Report newer = TimedSample();
  for (double& seconds : newer.benchmarks[0].series[0].seconds) seconds *= 2;
  const ParityChanges changes = CompareParity(TimedSample(), newer);
  EXPECT_EQ(changes.slower.size(), 1u);
  EXPECT_EQ(changes.verdict, "PASS");
  newer.environment.host.cpu += " of another kind";
  EXPECT_TRUE(CompareParity(TimedSample(), newer).slower.empty());
}

std::string PolicyText(const std::string& members) {
  return R"({"schema": {"name": "assay.policy", "version": "1.0.0"}, "name": "p", "require": {"suites": ["Suite"]})" +
         members + "}";
}

std::string RefusalOf(const std::string& text) {
  try {
    PolicyFrom(text, "p.json", kToday);
    return "";
  } catch (const ReportError& error) {
    return error.what();
  }
}

TEST(PolicyFile, IsRefusedByFileAndKey) {
  EXPECT_EQ(RefusalOf(PolicyText("")), "");
  for (const auto& [members, key] : std::vector<std::pair<std::string, std::string>>{
           {R"(, "colour": 1)", "colour"},
           {R"(, "gate": {"alfa": 0.1})", "alfa"},
           {R"(, "gate": {"alpha": 0.9})", "alpha"},
           {R"(, "gate": {"looks": [12, 8]})", "looks"},
           {R"(, "waivers": [{"id": "a", "expires": "2030-01-01"}])", "reason"},
           {R"(, "waivers": [{"id": "a", "reason": "b", "expires": "2026-11-26"}])", "expired on 2026-11-26"}}) {
    const std::string said = RefusalOf(PolicyText(members));
    EXPECT_NE(said.find("p.json"), std::string::npos) << members;
    EXPECT_NE(said.find(key), std::string::npos) << said;
  }
  EXPECT_EQ(RefusalOf(PolicyText(R"(, "waivers": [{"id": "a", "reason": "b", "expires": "2026-11-27"}])")), "");
}

TEST(PolicyFile, WhatIsRequiredMustHavePassed) {
  Policy policy = PolicyFrom(PolicyText(""), "p.json", kToday);
  EXPECT_TRUE(Unmet(policy, Sample()).empty());
  policy.suites = {"Other"};
  policy.devices = {"cuda:0"};
  EXPECT_EQ(Unmet(policy, Sample()).size(), 2u);
  policy.suites = {"Suite"};
  policy.devices = {};
  Report skipped = Sample();
  for (ReportCase& item : skipped.cases) item = MakeCase(item.name, Status::kSkip);
  EXPECT_EQ(Unmet(policy, skipped).size(), 1u);
}

TEST(PolicyFile, PatternsMatch) {
  EXPECT_TRUE(MatchesPattern("bench.decode/*/n=1/*", "bench.decode/a/bf16/host/n=1/context=4"));
  EXPECT_FALSE(MatchesPattern("bench.decode/*/n=1/*", "bench.decode/a/bf16/host/n=16/context=4"));
  EXPECT_TRUE(MatchesPattern("*", ""));
}

}  // namespace
}  // namespace assay
