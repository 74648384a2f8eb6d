// The JSON of a report: round trip, what is left out, run verdicts, versions.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "reports/format/check.h"
#include "reports/format/numbers.h"
#include "reports/unit/sample.h"

namespace assay {
namespace {

using Json = nlohmann::ordered_json;
const std::vector<std::string> kNone;

TEST(Report, WrittenTextIsValidConsistentAndReadBack) {
  for (const Report& report : {Sample(), TimedSample()}) {
    const std::string text = ToJson(report);
    EXPECT_EQ(SchemaProblems(text), kNone);
    EXPECT_EQ(ConsistencyProblems(text), kNone);
    EXPECT_EQ(ToJson(FromJson(text)), text);
  }
}

TEST(Report, EveryFieldComesBack) {
  Report report = TimedSample();
  Environment& environment = report.environment;
  environment.device_asked = "cuda:1";
  environment.device_unavailable = "driver is old";
  environment.system = {"engine", "1", "ab", "bf16", "q8_1", true, true, 1, "cpu", "host", "bf16, gelu by a table"};
  environment.gpus = {{.index = 1,
                       .name = "a",
                       .uuid = "b",
                       .bus_id = "c",
                       .vbios = "d",
                       .memory_bytes = 2,
                       .sm_count = 3,
                       .compute_capability = "9.0",
                       .mig_mode = "disabled",
                       .ecc_mode = "enabled",
                       .compute_mode = "default",
                       .persistence = true,
                       .power_limit_w = 4,
                       .power_limit_default_w = 5,
                       .max_sm_clock_mhz = 6,
                       .max_memory_clock_mhz = 7,
                       .pcie_generation = 8,
                       .pcie_width = 9,
                       .other_processes = 10,
                       .ecc_before = EccCounts{1, 2},
                       .ecc_after = EccCounts{3, 2},
                       .unread = "half"}};
  report.converted_from = "1.1.0";
  const std::string text = ToJson(report);
  EXPECT_EQ(SchemaProblems(text), kNone);
  const Json json = Json::parse(text);
  EXPECT_EQ(json["environment"]["gpus"][0].size(), 22u);
  EXPECT_EQ(json["environment"]["system"].size(), 11u);
  EXPECT_EQ(json["environment"]["device"].size(), 2u);
  EXPECT_EQ(json["environment"]["cuda"].size(), 4u);
  EXPECT_EQ(ToJson(FromJson(text)), text);
  const Report found = FromJson(text);
  EXPECT_EQ(found.converted_from, "1.1.0");
  EXPECT_EQ(found.seed, 7u);
  EXPECT_EQ(found.benchmarks[2].series[0].activity.throttle_reasons, 0x4u);
  EXPECT_EQ(found.cases[1].judgements[0].first_outside, Place({{"row", 2}}));
  EXPECT_EQ(found.cases[1].judgements[0].worst, Place({{"row", 3}}));
  EXPECT_EQ(found.cases[0].axes, report.cases[0].axes);
}

TEST(Report, StandsOnOneLineACaseABoundASeries) {
  const std::string text = ToJson(TimedSample());
  for (const char* line :
       {R"(  {"suite":"Suite","name":"A","axes":{"model":"nano","dtype":"fp32","device":"host","n":8},)"
        R"("duration_s":0.5,"judgements":[{"metric":"max_abs_logit","value":1e-05,"bound":0,)"
        R"("comparisons":16}]},)",
        R"(  {"soft":0.0002,"hard":0.0008,"from":"stated 2e-4"},)", R"(    {"seconds":[0.0041,0.0042,0.0043,)"})
    EXPECT_NE(text.find(std::string("\n") + line), std::string::npos) << line << "\n" << text;
}

TEST(Report, DistinctBoundsStandOnce) {
  const Json json = Json::parse(ToJson(Sample()));
  EXPECT_EQ(json["bounds"].size(), 3u);
  EXPECT_EQ(json["cases"][0]["judgements"][0]["bound"], 0);
  EXPECT_EQ(json["cases"][1]["judgements"][1]["bound"], 1);
  EXPECT_EQ(json["cases"][3]["judgements"][0]["bound"], 0);
}

TEST(Report, KeepsPlacesOfWhatUsedHalfOfItsTolerance) {
  Report report = Sample();
  report.cases[0].judgements[0] = Judged("a", 0.9e-4, {2e-4, 2e-4, "x"}, {{"row", 1}}, "detail");
  report.cases[3].judgements[0] = Judged("a", 1.0e-4, {2e-4, 2e-4, "x"}, {{"row", 1}}, "detail");
  const Json json = Json::parse(ToJson(report));
  EXPECT_FALSE(json["cases"][0]["judgements"][0].contains("worst"));
  EXPECT_FALSE(json["cases"][0]["judgements"][0].contains("detail"));
  EXPECT_EQ(json["cases"][3]["judgements"][0]["worst"], Json::parse(R"({"row": 1})"));
  EXPECT_EQ(json["cases"][3]["judgements"][0]["detail"], "detail");
}

TEST(Report, RoundsNumbersUnlessTheVerdictWouldChange) {
  EXPECT_EQ(Rounded(1.23456789e-7, 6), 1.23457e-7);
  EXPECT_TRUE(std::isnan(Rounded(std::nan(""), 6)));
  Report report = Sample();
  report.cases[0].judgements[0] = Judged("a", 1.23456789, {2.3456789, 2.3456789, "x"}, {});
  report.cases[3].judgements[0] = Judged("a", 1.0000002, {1.0000001, 2, "x"}, {{"row", 1}});
  report.cases[3].judgements.push_back(Judged("a_budget", 1, Bound::Fixed(1, "x"), {}));
  ASSERT_EQ(report.cases[3].judgements[0].verdict, Verdict::kDrift);
  const std::string text = ToJson(report);
  const Json json = Json::parse(text);
  EXPECT_EQ(json["cases"][0]["judgements"][0]["value"], 1.23457);
  EXPECT_EQ(json["bounds"][0]["soft"], 2.34568);
  EXPECT_EQ(json["cases"][3]["judgements"][0]["value"], 1.0000002);
  EXPECT_EQ(ConsistencyProblems(text), kNone);
  EXPECT_EQ(ToJson(FromJson(text)), text);
}

TEST(Report, RowsThatDoNotPassHoldNoFiguresAndSkipsStandInTheLedger) {
  const Json json = Json::parse(ToJson(TimedSample()));
  EXPECT_TRUE(json["benchmarks"][0].contains("figures"));
  EXPECT_FALSE(json["benchmarks"][1].contains("figures"));
  EXPECT_FALSE(json["benchmarks"][2].contains("figures"));
  EXPECT_TRUE(json["benchmarks"][2].contains("series"));
  EXPECT_EQ(json["benchmarks"][2]["series"][0]["activity"]["throttle_reasons"], Json::parse(R"(["sw_power_cap"])"));
  EXPECT_EQ(
      json["skips"],
      Json::parse(
          R"([{"reason": "because", "ids": ["Suite.C/nano/fp32/host/n=8", "bench.skipped/nano/fp32/cuda/n=8"]}])"));
}

TEST(Report, CountsVerdictsAndArgmaxFollowFromCases) {
  const Json counts = Json::parse(ToJson(Sample()))["counts"];
  EXPECT_EQ(counts["pass"], 3);
  EXPECT_EQ(counts["skip"], 1);
  EXPECT_EQ(counts["unstable"], 0);
  EXPECT_EQ(counts["total"], 4);
  EXPECT_EQ(counts["verdicts"]["DRIFT"], 1);
  EXPECT_EQ(counts["verdicts"]["VOID"], 1);
  EXPECT_EQ(counts["argmax"], Json::parse("[7, 8]"));
}

TEST(Report, ReplayLinesAreOfCasesThatFailedOrBroke) {
  Report report = Sample();
  report.cases.push_back(MakeCase("E", Status::kFail, Verdict::kWrong));
  const Json json = Json::parse(ToJson(report));
  EXPECT_FALSE(json["cases"][0].contains("replay"));
  EXPECT_FALSE(json["cases"][2].contains("replay"));
  EXPECT_EQ(json["cases"][4]["replay"], "assay run --case Suite.E/nano/fp32/host/n=8");
}

TEST(Report, NumbersThatAreNotFiniteAreNamedNotWritten) {
  Report report = Sample();
  report.cases[0] = MakeCase("A", Status::kFail, Verdict::kWrong);
  report.cases[0].judgements[0].value = std::numeric_limits<double>::quiet_NaN();
  report.cases[0].judgements[0].bound.hard = std::numeric_limits<double>::infinity();
  report.cases[0].judgements.push_back(report.cases[0].judgements[0]);
  report.cases[0].judgements[1].metric = "other";
  report.cases[0].judgements[1].value = -std::numeric_limits<double>::infinity();
  report.cases[0].judgements[1].fault = "not finite";
  const std::string text = ToJson(report);
  const Json json = Json::parse(text), judgement = json["cases"][0]["judgements"][0];
  EXPECT_FALSE(judgement.contains("value"));
  EXPECT_EQ(judgement["non_finite"]["value"], "nan");
  EXPECT_EQ(json["cases"][0]["judgements"][1]["non_finite"]["value"], "-inf");
  EXPECT_EQ(json["bounds"][0]["non_finite"]["hard"], "inf");
  EXPECT_EQ(SchemaProblems(text), kNone);
  EXPECT_EQ(ConsistencyProblems(text), kNone);
  const Report found = FromJson(text);
  EXPECT_TRUE(std::isnan(found.cases[0].judgements[0].value));
  EXPECT_EQ(found.cases[0].judgements[1].value, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(ToJson(found), text);
}

TEST(Report, TextThatIsNotUtf8DoesNotStopTheWriter) {
  Report report = Sample();
  report.cases[2].reason = "tensor '\xff\xfe' is unknown";
  EXPECT_EQ(SchemaProblems(ToJson(report)), kNone);
}

int CodeOf(const Report& report) { return ExitCode(Summarise(report).verdict); }

TEST(RunVerdict, OfCases) {
  Report report = Sample();
  EXPECT_EQ(CodeOf(report), 0);
  report.cases.push_back(MakeCase("E", Status::kError));
  EXPECT_EQ(CodeOf(report), 1);
  report.cases = {MakeCase("E", Status::kFail, Verdict::kWrong)};
  EXPECT_EQ(CodeOf(report), 1);
  report.cases = {MakeCase("E", Status::kSkip)};
  EXPECT_EQ(CodeOf(report), 4);
  report.cases.clear();
  EXPECT_EQ(CodeOf(report), 4);
  report = Sample();
  report.cases[2].axes.Set("device", "cuda");
  EXPECT_EQ(CodeOf(report), 4) << "nothing ran on one of the devices";
  report = Sample();
  report.complete = false;
  EXPECT_EQ(CodeOf(report), 4);
  report = Sample();
  report.kind = "bench";
  EXPECT_EQ(CodeOf(report), 4) << "cases passed, nothing was timed";
  EXPECT_THROW(ExitCode("FINE"), ReportError);
}

TEST(RunVerdict, OfRows) {
  Report report = TimedSample();
  EXPECT_EQ(CodeOf(report), 3) << "a row is unstable";
  report.complete = false;
  EXPECT_EQ(CodeOf(report), 4);
  report.complete = true;
  report.cases.push_back(MakeCase("E", Status::kError));
  EXPECT_EQ(CodeOf(report), 1) << "unstable, but a case broke";
  report = TimedSample();
  report.benchmarks = {MakeRow(Status::kUnstable)};
  EXPECT_EQ(CodeOf(report), 3);
  report.benchmarks = {MakeRow(Status::kSkip)};
  EXPECT_EQ(CodeOf(report), 4);
  report.benchmarks.push_back(MakeRow());
  report.benchmarks.back().parity = Verdict::kDrift;
  EXPECT_EQ(CodeOf(report), 0);
  report.benchmarks.back().parity = Verdict::kVoid;
  EXPECT_EQ(CodeOf(report), 3);
  report.benchmarks.back().parity = Verdict::kWrong;
  EXPECT_EQ(CodeOf(report), 1);
  for (const Status status : {Status::kFail, Status::kError}) {
    report.benchmarks.back() = MakeRow(status);
    EXPECT_EQ(CodeOf(report), 1) << Name(status);
  }
}

TEST(Report, TheWorstJudgementSpeaks) {
  ReportCase item = MakeCase("A", Status::kPass);
  item.judgements.push_back(Judged("near", 1.9e-4, Bound::Fixed(2e-4, "x"), {}));
  EXPECT_EQ(Worst(item)->metric, "near");
  item.judgements.push_back(Void("nothing", {}, "no rows"));
  EXPECT_EQ(CaseVerdict(item), Verdict::kVoid);
  EXPECT_EQ(CaseVerdict(ReportCase{}), Verdict::kVoid);
}

std::string Message(const std::string& text) {
  try {
    FromJson(text);
  } catch (const ReportError& error) {
    return error.what();
  }
  return "";
}

TEST(Report, OtherVersionsAndOtherFilesAreRefused) {
  const auto version = [](const Json& value) {
    return Changed(Sample(), [&](Json& json) { json["schema"]["version"] = value; });
  };
  for (const char* other : {"1.1.0", "3.0.0", "20.0.0"}) EXPECT_THROW(FromJson(version(other)), ReportVersionError);
  EXPECT_EQ(Message(version("1.1.0")).find("report version 1.1.0: this build reads 2.x; "), 0u);
  EXPECT_THROW(FromJson(version(1)), ReportError);
  EXPECT_NO_THROW(FromJson(version("2.7.0")));
  EXPECT_THROW(FromJson(Changed(Sample(), [](Json& json) { json["schema"]["name"] = "other"; })), ReportError);
  for (const char* other : {"{", "[]", "{}"}) EXPECT_THROW(FromJson(other), ReportError);
}

TEST(Report, FieldsOfTheWrongKindAreNamed) {
  const auto message = [](const std::function<void(Json&)>& change) { return Message(Changed(TimedSample(), change)); };
  EXPECT_NE(message([](Json& j) { j["cases"][0]["judgements"][0]["bound"] = 99; }).find("bound is 99 of 3"),
            std::string::npos);
  EXPECT_NE(message([](Json& j) { j["cases"][0]["judgements"][0]["bound"] = -1; }), "");
  EXPECT_NE(message([](Json& j) { j["cases"][0]["axes"]["n"] = 1.5; }).find("axis 'n' is 1.5"), std::string::npos);
  EXPECT_NE(message([](Json& j) { j["cases"][0]["status"] = "ok"; }).find("status 'ok'"), std::string::npos);
  EXPECT_NE(message([](Json& j) { j["benchmarks"][0]["parity"] = "FINE"; }).find("verdict 'FINE'"), std::string::npos);
  EXPECT_NE(message([](Json& j) {
              j["benchmarks"][2]["series"][0]["activity"]["throttle"] = "0xzz";
            }).find("throttle is '0xzz'"),
            std::string::npos);
}

}  // namespace
}  // namespace assay
