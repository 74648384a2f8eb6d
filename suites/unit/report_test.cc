// Reports: round trip, schema, consistency, versions, atomic writing.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "reports/check.h"
#include "reports/context.h"
#include "reports/report.h"
#include "reports/writer.h"

namespace assay {
namespace {

using Json = nlohmann::json;

ReportCase MakeReportCase(const std::string& name, const std::string& status, const std::string& verdict) {
  ReportCase item;
  item.suite = "Suite";
  item.name = name;
  item.params = "nano_fp32";
  item.id = "Suite." + name + "/nano_fp32";
  item.model = "nano";
  item.dtype = "fp32";
  item.device = "host";
  item.status = status;
  item.duration_s = 0.5;
  item.replay = "assay run --case " + item.id;
  if (status != "pass") item.reason = "because";
  if (!verdict.empty())
    item.judgements.push_back({verdict, "max_abs_logit", 1e-5, 2e-4, 0.05, "row 3", "", "stated 2e-4"});
  return item;
}

Report Sample() {
  const char* argv[] = {"assay", "run"};
  Report report = BeginReport("run", 2, argv);
  report.finished = Now();
  report.devices = {{"host", "host", {}}};
  report.models = {{"nano", "safetensors", "00ff"}};
  report.cases = {MakeReportCase("A", "pass", "MATCH"), MakeReportCase("B", "pass", "DRIFT"),
                  MakeReportCase("C", "skip", "")};
  report.listed = 5;
  report.selected = 3;
  report.complete = true;
  return report;
}

ReportBenchmark MakeBenchmark(const std::string& parity) {
  ReportBenchmark row;
  row.name = "decode";
  row.model = "nano";
  row.dtype = "bf16";
  row.device = "cuda";
  row.params = {{"n", 8}};
  row.parity = parity;
  row.floor_s = 0.5;
  row.samples = 30;
  row.p50_s = 1;
  row.p90_s = row.p99_s = 2;
  row.fraction_of_floor = 0.5;
  row.counts = {{"graph_launches", 1}, {"host_syncs", 0}};
  return row;
}

ReportBenchmark MakeUntimed(const std::string& status, const std::string& parity) {
  ReportBenchmark row = MakeBenchmark(parity);
  row.name = "untimed";
  row.status = status;
  row.reason = "because";
  row.samples = 0;
  return row;
}

Report TimedSample() {
  Report report = Sample();
  report.benchmarks = {MakeBenchmark("MATCH"), MakeUntimed("skip", "MATCH")};
  return report;
}

// The sample's text after `change` of its JSON.
std::string Changed(const std::function<void(Json&)>& change, const Report& report = Sample()) {
  Json json = Json::parse(ToJson(report));
  change(json);
  return json.dump();
}

TEST(Report, WrittenTextIsValidAndConsistent) {
  Report report = Sample();
  report.benchmarks = {MakeBenchmark("MATCH")};
  const std::string text = ToJson(report);
  EXPECT_EQ(SchemaProblems(text), std::vector<std::string>{});
  EXPECT_EQ(ConsistencyProblems(text), std::vector<std::string>{});
  EXPECT_EQ(ToJson(FromJson(text)), text);
}

TEST(Report, RowsThatWereNotTimedHoldNoFiguresAndStandInTheLedger) {
  Report report = Sample();
  report.benchmarks = {MakeBenchmark("MATCH"), MakeUntimed("skip", "MATCH")};
  const std::string text = ToJson(report);
  EXPECT_EQ(SchemaProblems(text), std::vector<std::string>{});
  EXPECT_EQ(ConsistencyProblems(text), std::vector<std::string>{});
  EXPECT_EQ(ToJson(FromJson(text)), text);
  const Json json = Json::parse(text);
  EXPECT_TRUE(json["benchmarks"][0].contains("p50_s"));
  for (const char* key :
       {"p50_s", "p90_s", "p99_s", "rate", "fraction_of_floor", "fraction_of_copy", "fraction_of_gemm"})
    EXPECT_FALSE(json["benchmarks"][1].contains(key)) << key;
  EXPECT_EQ(json["skips"].back()["id"], "untimed nano bf16 cuda");
}

TEST(Report, CountsVerdictsAndSkipLedgerFollowFromCases) {
  const Json json = Json::parse(ToJson(Sample()));
  EXPECT_EQ(json["counts"]["pass"], 2);
  EXPECT_EQ(json["counts"]["skip"], 1);
  EXPECT_EQ(json["counts"]["total"], 3);
  EXPECT_EQ(json["counts"]["verdicts"]["DRIFT"], 1);
  EXPECT_EQ(json["counts"]["verdicts"]["VOID"], 1);
  EXPECT_EQ(json["skips"], Json::parse(R"([{"id": "Suite.C/nano_fp32", "reason": "because"}])"));
  EXPECT_EQ(json["provenance"]["tolerances"].size(), 1u);
  EXPECT_EQ(json["provenance"]["tolerances"][0]["comparisons"], 2);
  EXPECT_EQ(json["verdict"], "PASS");
}

TEST(Report, NumbersThatAreNotFiniteAreNamedNotWritten) {
  Report report = Sample();
  report.cases[0] = MakeReportCase("A", "fail", "WRONG");
  report.cases[0].judgements[0].value = std::numeric_limits<double>::quiet_NaN();
  report.cases[0].judgements[0].headroom = std::numeric_limits<double>::infinity();
  const std::string text = ToJson(report);
  const Json judgement = Json::parse(text)["cases"][0]["judgements"][0];
  EXPECT_FALSE(judgement.contains("value"));
  EXPECT_EQ(judgement["non_finite"]["value"], "nan");
  EXPECT_EQ(judgement["non_finite"]["headroom"], "inf");
  EXPECT_EQ(SchemaProblems(text), std::vector<std::string>{});
  EXPECT_EQ(ConsistencyProblems(text), std::vector<std::string>{});
  EXPECT_TRUE(std::isnan(FromJson(text).cases[0].judgements[0].value));
}

TEST(Report, TextThatIsNotUtf8DoesNotStopTheWriter) {
  Report report = Sample();
  report.cases[2].reason = "tensor '\xff\xfe' is unknown";
  EXPECT_EQ(SchemaProblems(ToJson(report)), std::vector<std::string>{});
}

TEST(Report, RunVerdicts) {
  Report report = Sample();
  EXPECT_EQ(ExitCode(Summarise(report).verdict), 0);
  report.cases.push_back(MakeReportCase("D", "error", ""));
  EXPECT_EQ(ExitCode(Summarise(report).verdict), 1);
  report.cases = {MakeReportCase("D", "fail", "WRONG")};
  EXPECT_EQ(ExitCode(Summarise(report).verdict), 1);
  report.cases = {MakeReportCase("D", "skip", "")};
  EXPECT_EQ(ExitCode(Summarise(report).verdict), 4);
  report.cases.clear();
  EXPECT_EQ(ExitCode(Summarise(report).verdict), 4);
  report.benchmarks = {MakeBenchmark("VOID")};
  EXPECT_EQ(ExitCode(Summarise(report).verdict), 3);
  report.benchmarks = {MakeBenchmark("WRONG")};
  EXPECT_EQ(ExitCode(Summarise(report).verdict), 1);
  report.benchmarks = {MakeUntimed("skip", "MATCH")};
  EXPECT_EQ(ExitCode(Summarise(report).verdict), 4);
  report.benchmarks.push_back(MakeBenchmark("DRIFT"));
  EXPECT_EQ(ExitCode(Summarise(report).verdict), 0);
  for (const char* status : {"fail", "error"}) {
    report.benchmarks.back() = MakeUntimed(status, "MATCH");
    EXPECT_EQ(ExitCode(Summarise(report).verdict), 1) << status;
  }
  report = Sample();
  report.kind = "bench";
  EXPECT_EQ(ExitCode(Summarise(report).verdict), 4) << "cases passed, nothing was timed";
  report = Sample();
  report.complete = false;
  EXPECT_EQ(ExitCode(Summarise(report).verdict), 4);
}

TEST(Report, UnknownVersionsAndOtherFilesAreRefused) {
  EXPECT_THROW(FromJson(Changed([](Json& json) { json["schema"]["version"] = "2.0.0"; })), ReportVersionError);
  EXPECT_THROW(FromJson(Changed([](Json& json) { json["schema"]["version"] = 1; })), ReportError);
  EXPECT_NO_THROW(FromJson(Changed([](Json& json) { json["schema"]["version"] = "1.7.0"; })));
  EXPECT_THROW(FromJson(Changed([](Json& json) { json["schema"]["name"] = "other"; })), ReportError);
  EXPECT_THROW(FromJson("{"), ReportError);
  EXPECT_THROW(FromJson("[]"), ReportError);
  EXPECT_THROW(FromJson("{}"), ReportError);
}

struct Violation {
  const char* name;
  void (*change)(Json&);
};

class SchemaViolation : public testing::TestWithParam<Violation> {};
TEST_P(SchemaViolation, IsFound) { EXPECT_FALSE(SchemaProblems(Changed(GetParam().change, TimedSample())).empty()); }

INSTANTIATE_TEST_SUITE_P(
    , SchemaViolation,
    testing::Values(Violation{"missing_run", [](Json& j) { j.erase("run"); }},
                    Violation{"unknown_field", [](Json& j) { j["extra"] = 1; }},
                    Violation{"unknown_status", [](Json& j) { j["cases"][0]["status"] = "ok"; }},
                    Violation{"unknown_verdict", [](Json& j) { j["cases"][0]["verdict"] = "FINE"; }},
                    Violation{"unknown_dtype", [](Json& j) { j["cases"][0]["dtype"] = "fp8"; }},
                    Violation{"number_as_text", [](Json& j) { j["cases"][0]["duration_s"] = "0.5"; }},
                    Violation{"negative_time", [](Json& j) { j["cases"][0]["duration_s"] = -1; }},
                    Violation{"null_for_number", [](Json& j) { j["cases"][0]["judgements"][0]["value"] = nullptr; }},
                    Violation{"bad_time", [](Json& j) { j["run"]["started"] = "yesterday"; }},
                    Violation{"bad_commit", [](Json& j) { j["provenance"]["build"]["commit"] = "main"; }},
                    Violation{"empty_reason_in_ledger", [](Json& j) { j["skips"][0]["reason"] = ""; }},
                    Violation{"row_without_status", [](Json& j) { j["benchmarks"][0].erase("status"); }},
                    Violation{"row_with_half_its_figures", [](Json& j) { j["benchmarks"][0].erase("rate"); }},
                    Violation{"negative_count", [](Json& j) { j["benchmarks"][0]["counts"]["host_syncs"] = -1; }},
                    Violation{"empty_bound_from", [](Json& j) { j["cases"][0]["judgements"][0]["bound_from"] = ""; }}),
    [](const auto& tested) { return std::string(tested.param.name); });

class Contradiction : public testing::TestWithParam<Violation> {};
TEST_P(Contradiction, IsFoundThoughTheShapeIsRight) {
  const std::string text = Changed(GetParam().change, TimedSample());
  EXPECT_EQ(SchemaProblems(text), std::vector<std::string>{});
  EXPECT_FALSE(ConsistencyProblems(text).empty());
}

INSTANTIATE_TEST_SUITE_P(
    , Contradiction,
    testing::Values(Violation{"wrong_count", [](Json& j) { j["counts"]["pass"] = 3; }},
                    Violation{"wrong_run_verdict", [](Json& j) { j["verdict"] = "FAIL"; }},
                    Violation{"case_lost", [](Json& j) { j["cases"].erase(1); }},
                    Violation{"case_doubled", [](Json& j) { j["cases"].push_back(j["cases"][0]); }},
                    Violation{"skip_not_in_ledger", [](Json& j) { j["skips"] = Json::array(); }},
                    Violation{"skip_with_another_reason", [](Json& j) { j["skips"][0]["reason"] = "other"; }},
                    Violation{"skip_turned_to_pass", [](Json& j) { j["cases"][2]["status"] = "pass"; }},
                    Violation{"skip_without_reason", [](Json& j) { j["cases"][2]["reason"] = ""; }},
                    Violation{"case_verdict_mended", [](Json& j) { j["cases"][1]["verdict"] = "MATCH"; }},
                    Violation{"judgement_worse_than_case",
                              [](Json& j) { j["cases"][0]["judgements"][0]["verdict"] = "WRONG"; }},
                    Violation{"headroom_mended", [](Json& j) { j["cases"][0]["headroom"] = 0.01; }},
                    Violation{"other_id", [](Json& j) { j["cases"][0]["id"] = "Suite.Z"; }},
                    Violation{"complete_but_not_finished", [](Json& j) { j["run"]["finished"] = nullptr; }},
                    Violation{"complete_with_problems", [](Json& j) { j["integrity"]["problems"] = {"node lost"}; }},
                    Violation{"incomplete_without_problem", [](Json& j) { j["integrity"]["complete"] = false; }},
                    Violation{"more_selected_than_listed", [](Json& j) { j["population"]["listed"] = 1; }},
                    Violation{"row_doubled", [](Json& j) { j["benchmarks"].push_back(j["benchmarks"][0]); }},
                    Violation{"row_fails_with_a_speed",
                              [](Json& j) {
                                j["benchmarks"][0]["status"] = "fail";
                                j["benchmarks"][0]["reason"] = "wrong tokens";
                                j["verdict"] = "FAIL";
                              }},
                    Violation{"row_passes_without_parity",
                              [](Json& j) {
                                j["benchmarks"][0]["parity"] = "VOID";
                                j["verdict"] = "INCONCLUSIVE";
                              }},
                    Violation{"row_skip_turned_to_pass",
                              [](Json& j) {
                                j["benchmarks"][1]["status"] = "pass";
                                j["skips"].erase(1);
                              }},
                    Violation{"row_skip_without_reason",
                              [](Json& j) {
                                j["benchmarks"][1]["reason"] = "";
                                j["skips"].erase(1);
                              }},
                    Violation{"row_percentiles_swapped", [](Json& j) { j["benchmarks"][0]["p99_s"] = 0.5; }},
                    Violation{"row_fraction_mended", [](Json& j) { j["benchmarks"][0]["fraction_of_floor"] = 0.9; }},
                    Violation{"tolerance_removed", [](Json& j) { j["provenance"]["tolerances"] = Json::array(); }}),
    [](const auto& tested) { return std::string(tested.param.name); });

class ReportFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / NewRunId();
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string Path(const char* name) const { return (folder_ / name).string(); }
  std::size_t Files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }
  std::filesystem::path folder_;
};

TEST_F(ReportFiles, RunThatDiesLeavesAReportThatSaysSo) {
  Report report = Sample();
  report.cases.pop_back();
  { ReportFile file(Path("r.json"), report); }
  const std::string text = ReadFile(Path("r.json"));
  EXPECT_EQ(SchemaProblems(text), std::vector<std::string>{});
  EXPECT_EQ(ConsistencyProblems(text), std::vector<std::string>{});
  const Report found = FromJson(text);
  EXPECT_FALSE(found.complete);
  EXPECT_EQ(found.cases.size(), 2u);
  EXPECT_EQ(Summarise(found).verdict, "INCOMPLETE");
}

TEST_F(ReportFiles, FinishReplacesTheIncompleteReportAndLeavesNothingBeside) {
  ReportFile file(Path("r.json"), Sample());
  file.Finish(Sample());
  EXPECT_TRUE(FromJson(ReadFile(Path("r.json"))).complete);
  EXPECT_EQ(Files(), 1u);
}

TEST_F(ReportFiles, FailedWriteLeavesTheOldFile) {
  WriteFileAtomically(Path("r.json"), "old");
  // A folder in the way of the temporary file's target makes the rename fail after the text was written.
  std::filesystem::create_directory(Path("taken"));
  EXPECT_THROW(WriteFileAtomically(Path("taken"), "new"), ReportError);
  EXPECT_EQ(ReadFile(Path("r.json")), "old");
  EXPECT_EQ(Files(), 2u);
}

TEST_F(ReportFiles, MessagesNameThePath) {
  try {
    WriteFileAtomically(Path("absent/r.json"), "");
    FAIL();
  } catch (const ReportError& error) {
    EXPECT_NE(std::string(error.what()).find(Path("absent/r.json")), std::string::npos) << error.what();
  }
  EXPECT_THROW(ReadFile(Path("absent")), ReportError);
  EXPECT_THROW(ReadFile(folder_.string()), ReportError);
}

TEST(ReportContext, SaysWhereItCameFrom) {
  const BuildInfo build = ThisBuild();
  EXPECT_FALSE(build.compiler.empty());
  EXPECT_TRUE(build.commit == "unknown" || build.commit.size() == 40) << build.commit;
  const HostInfo host = ThisHost();
  EXPECT_GT(host.cores, 0);
  EXPECT_GT(host.memory_bytes, 0);
  EXPECT_FALSE(host.kernel.empty());
  EXPECT_NE(NewRunId(), NewRunId());
}

TEST_F(ReportFiles, ARunWithProblemsIsNotComplete) {
  ReportFile file(Path("r.json"), Sample());
  Report report = Sample();
  report.problems = {"node lost"};
  file.Finish(report);
  EXPECT_FALSE(FromJson(ReadFile(Path("r.json"))).complete);
  EXPECT_EQ(ConsistencyProblems(ReadFile(Path("r.json"))), std::vector<std::string>{});
}

TEST(Report, MajorVersionsAreNumbers) {
  EXPECT_THROW(FromJson(Changed([](Json& json) { json["schema"]["version"] = "10.0.0"; })), ReportVersionError);
}

TEST(Report, AReplayIsOneLine) {
  Report report = Sample();
  report.cases[0].replay = "assay run\nrm";
  EXPECT_FALSE(ConsistencyProblems(ToJson(report)).empty());
}

TEST(Report, InfinitiesKeepTheirSignAndNoNumberIsTheWorst) {
  Report report = Sample();
  report.cases[0] = MakeReportCase("A", "fail", "WRONG");
  ReportJudgement& first = report.cases[0].judgements[0];
  first.value = -std::numeric_limits<double>::infinity();
  first.bound = std::numeric_limits<double>::infinity();
  report.cases[0].judgements.push_back(first);
  report.cases[0].judgements[1].headroom = std::nan("");
  const std::string text = ToJson(report);
  EXPECT_EQ(Json::parse(text)["cases"][0]["judgements"][0]["non_finite"]["value"], "-inf");
  EXPECT_EQ(FromJson(text).cases[0].judgements[0].value, -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(Worst(report.cases[0])->headroom));
  EXPECT_EQ(SchemaProblems(text), std::vector<std::string>{});
}

TEST(Report, RowsOfTheFirstVersionAreRead) {
  Report report = Sample();
  report.benchmarks = {MakeBenchmark("MATCH")};
  const std::string first = Changed(
      [](Json& json) {
        json["schema"]["version"] = "1.0.0";
        for (const char* key : {"status", "reason", "counts", "fraction_of_gemm"}) json["benchmarks"][0].erase(key);
      },
      report);
  EXPECT_EQ(FromJson(first).benchmarks.at(0).status, "pass");
}

TEST(Report, ARowThatWasNotTimedHasNoTimes) {
  const std::string lying = Changed(
      [](Json& json) {
        for (const char* key :
             {"p50_s", "p90_s", "p99_s", "rate", "fraction_of_floor", "fraction_of_copy", "fraction_of_gemm"})
          json["benchmarks"][1][key] = 1;
      },
      TimedSample());
  EXPECT_FALSE(ConsistencyProblems(lying).empty());
}

}  // namespace
}  // namespace assay
