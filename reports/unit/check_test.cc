// What is wrong with a report is found: its shape by the schema, its contents by deriving them again.
#include "reports/format/check.h"

#include <gtest/gtest.h>

#include "reports/unit/sample.h"

namespace assay {
namespace {

using Json = nlohmann::ordered_json;

struct Violation {
  const char* name;
  void (*change)(Json&);
};

class SchemaViolation : public testing::TestWithParam<Violation> {};
TEST_P(SchemaViolation, IsFound) { EXPECT_FALSE(SchemaProblems(Changed(TimedSample(), GetParam().change)).empty()); }

INSTANTIATE_TEST_SUITE_P(
    , SchemaViolation,
    testing::Values(Violation{"missing_run", [](Json& j) { j.erase("run"); }},
                    Violation{"unknown_field", [](Json& j) { j["extra"] = 1; }},
                    Violation{"unknown_status", [](Json& j) { j["cases"][0]["status"] = "ok"; }},
                    Violation{"unknown_verdict", [](Json& j) { j["cases"][0]["judgements"][0]["verdict"] = "FINE"; }},
                    Violation{"axis_that_is_no_value", [](Json& j) { j["cases"][0]["axes"]["n"] = 1.5; }},
                    Violation{"number_as_text", [](Json& j) { j["cases"][0]["duration_s"] = "0.5"; }},
                    Violation{"negative_time", [](Json& j) { j["cases"][0]["duration_s"] = -1; }},
                    Violation{"null_for_number", [](Json& j) { j["cases"][0]["judgements"][0]["value"] = nullptr; }},
                    Violation{"empty_judgements", [](Json& j) { j["cases"][0]["judgements"] = Json::array(); }},
                    Violation{"judgement_without_bound",
                              [](Json& j) { j["cases"][0]["judgements"][0].erase("bound"); }},
                    Violation{"bound_from_nowhere", [](Json& j) { j["bounds"][0]["from"] = ""; }},
                    Violation{"argmax_of_three",
                              [](Json& j) {
                                j["cases"][3]["argmax"] = {1, 2, 3};
                              }},
                    Violation{"bad_time", [](Json& j) { j["run"]["started"] = "yesterday"; }},
                    Violation{"converted_from_this", [](Json& j) { j["run"]["converted_from"] = "2.0.0"; }},
                    Violation{"bad_commit", [](Json& j) { j["environment"]["build"]["commit"] = "main"; }},
                    Violation{"bad_key", [](Json& j) { j["environment"]["comparability"]["key"] = "abc"; }},
                    Violation{"unknown_gpu_field", [](Json& j) { j["environment"]["gpus"][0]["speed"] = 1; }},
                    Violation{"empty_reason_in_ledger", [](Json& j) { j["skips"][0]["reason"] = ""; }},
                    Violation{"row_without_parity", [](Json& j) { j["benchmarks"][0].erase("parity"); }},
                    Violation{"half_the_figures", [](Json& j) { j["benchmarks"][0]["figures"].erase("rate"); }},
                    Violation{"negative_count", [](Json& j) { j["benchmarks"][0]["counts"]["host_syncs"] = -1; }},
                    Violation{"series_without_samples",
                              [](Json& j) { j["benchmarks"][0]["series"][0]["seconds"] = Json::array(); }},
                    Violation{"spread_of_two",
                              [](Json& j) {
                                j["benchmarks"][0]["series"][0]["activity"]["power_w"] = {1, 2};
                              }},
                    Violation{"throttle_without_names",
                              [](Json& j) { j["benchmarks"][2]["series"][0]["activity"].erase("throttle_reasons"); }}),
    [](const auto& tested) { return std::string(tested.param.name); });

// A contradiction, and a part of the message that must name it.
struct Broken {
  const char* name;
  const char* message;
  void (*change)(Json&);
};

class Contradiction : public testing::TestWithParam<Broken> {};
TEST_P(Contradiction, IsFoundThoughTheShapeIsRight) {
  const std::string text = Changed(TimedSample(), GetParam().change);
  EXPECT_EQ(SchemaProblems(text), std::vector<std::string>{});
  std::string all;
  for (const std::string& problem : ConsistencyProblems(text)) all += problem + "\n";
  EXPECT_NE(all.find(GetParam().message), std::string::npos) << "found: " << all;
}

Json& Judgement0(Json& j, int item) { return j["cases"][item]["judgements"][0]; }
Json& Row(Json& j, int row = 0) { return j["benchmarks"][row]; }
Json& Activity(Json& j, int row = 0) { return Row(j, row)["series"][0]["activity"]; }

INSTANTIATE_TEST_SUITE_P(
    Population, Contradiction,
    testing::Values(
        Broken{"wrong_count", "counts: found", [](Json& j) { j["counts"]["pass"] = 4; }},
        Broken{"argmax_count_mended", "counts: found",
               [](Json& j) {
                 j["counts"]["argmax"] = {8, 8};
               }},
        Broken{"wrong_run_verdict", "verdict: found", [](Json& j) { j["verdict"] = "PASS"; }},
        Broken{"case_lost", "3 cases of 4 selected", [](Json& j) { j["cases"].erase(1); }},
        Broken{"case_doubled", "reported twice", [](Json& j) { j["cases"].push_back(j["cases"][0]); }},
        Broken{"skip_not_in_ledger", "skips: found", [](Json& j) { j["skips"] = Json::array(); }},
        Broken{"skip_of_another", "skips: found", [](Json& j) { j["skips"][0]["ids"][0] = "Suite.Z"; }},
        Broken{"complete_but_not_finished", "run.finished is null", [](Json& j) { j["run"]["finished"] = nullptr; }},
        Broken{"finished_first", "before it started",
               [](Json& j) { j["run"]["finished"] = "2001-01-01T00:00:00.000Z"; }},
        Broken{"complete_with_problems", "problems is not empty",
               [](Json& j) { j["integrity"]["problems"] = {"node lost"}; }},
        Broken{"incomplete_without_problem", "names no reason", [](Json& j) { j["integrity"]["complete"] = false; }},
        Broken{"more_selected_than_listed", "4 selected of 1", [](Json& j) { j["population"]["listed"] = 1; }}),
    [](const auto& tested) { return std::string(tested.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Cases, Contradiction,
    testing::Values(
        Broken{"skip_turned_to_pass", "(no judgement)", [](Json& j) { j["cases"][2].erase("status"); }},
        Broken{"nan_that_matches", "is MATCH, but",
               [](Json& j) {
                 Judgement0(j, 0).erase("value");
                 Judgement0(j, 0)["non_finite"]["value"] = "nan";
               }},
        Broken{"value_over_its_bound", "is MATCH, but", [](Json& j) { Judgement0(j, 0)["value"] = 9e9; }},
        Broken{"skip_without_reason", "without a reason", [](Json& j) { j["cases"][2].erase("reason"); }},
        Broken{"pass_with_reason", "gives a reason", [](Json& j) { j["cases"][0]["reason"] = "none"; }},
        Broken{"unstable_case", "only a timed row", [](Json& j) { j["cases"][2]["status"] = "unstable"; }},
        Broken{"fail_without_replay", "replay is not one line", [](Json& j) { j["cases"][2]["status"] = "fail"; }},
        Broken{"fail_with_two_lines", "replay is not one line",
               [](Json& j) {
                 j["cases"][2]["status"] = "fail";
                 j["cases"][2]["replay"] = "assay run\nrm";
               }},
        Broken{"drift_called_match", "is DRIFT", [](Json& j) { Judgement0(j, 1).erase("verdict"); }},
        Broken{"match_called_drift", "is MATCH", [](Json& j) { Judgement0(j, 0)["verdict"] = "DRIFT"; }},
        Broken{"wrong_called_drift", "is WRONG", [](Json& j) { Judgement0(j, 1)["value"] = 9e-4; }},
        Broken{"value_that_is_no_number", "nan at",
               [](Json& j) {
                 Judgement0(j, 0).erase("value");
                 Judgement0(j, 0)["non_finite"]["value"] = "nan";
               }},
        Broken{"fault_that_matches", "it has a fault", [](Json& j) { Judgement0(j, 0)["fault"] = "not finite"; }},
        Broken{"void_without_fault", "no fault says why", [](Json& j) { Judgement0(j, 0)["verdict"] = "VOID"; }},
        Broken{"match_of_nothing", "nothing was compared", [](Json& j) { Judgement0(j, 0)["comparisons"] = 0; }},
        Broken{"wrong_of_nothing", "nothing was compared",
               [](Json& j) {
                 Judgement0(j, 0)["comparisons"] = 0;
                 Judgement0(j, 0)["verdict"] = "WRONG";
                 Judgement0(j, 0)["fault"] = "no rows";
               }},
        Broken{"match_with_a_place_outside", "outside its tolerance",
               [](Json& j) {
                 Judgement0(j, 0)["first_outside"] = {{"row", 1}};
               }},
        Broken{"hard_within_soft", "not within the hard bound", [](Json& j) { j["bounds"][0]["hard"] = 1e-4; }},
        Broken{"metric_doubled", "judged twice",
               [](Json& j) { j["cases"][0]["judgements"].push_back(Judgement0(j, 0)); }},
        Broken{"drift_without_budget", "judges how often", [](Json& j) { j["cases"][1]["judgements"].erase(1); }},
        Broken{"budget_without_drift", "0 of 16 comparisons",
               [](Json& j) { j["cases"][1]["judgements"][1].erase("value"); }},
        Broken{"budget_exceeded_but_passed", "is WRONG", [](Json& j) { j["cases"][1]["judgements"][1]["value"] = 3; }},
        Broken{"budget_of_nothing", "without a judgement of", [](Json& j) { Judgement0(j, 0)["metric"] = "x_budget"; }},
        Broken{"bound_of_another", "bounds: not each bound", [](Json& j) { Judgement0(j, 0)["bound"] = 1; }},
        Broken{"default_spelt_out", "not as it is written", [](Json& j) { j["cases"][0]["status"] = "pass"; }},
        Broken{"argmax_more_judged_than_rows", "judged on 9 of 8",
               [](Json& j) {
                 j["cases"][3]["argmax"] = {9, 8};
               }},
        Broken{"argmax_judged_elsewhere", "but in 7 comparisons",
               [](Json& j) {
                 j["cases"][3]["argmax"] = {6, 8};
               }},
        Broken{"argmax_judged_on_no_row", "judged on 0 rows, but in 7 comparisons",
               [](Json& j) {
                 j["cases"][3]["argmax"] = {0, 8};
               }},
        Broken{"argmax_without_judgement", "judged on 7 rows, but in 0 comparisons",
               [](Json& j) { j["cases"][3]["judgements"].erase(1); }}),
    [](const auto& tested) { return std::string(tested.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Rows, Contradiction,
    testing::Values(
        Broken{"row_doubled", "reported twice", [](Json& j) { j["benchmarks"].push_back(Row(j)); }},
        Broken{"fails_with_samples", "has samples, but its status is fail",
               [](Json& j) {
                 Row(j)["status"] = "fail";
                 Row(j)["reason"] = "wrong tokens";
               }},
        Broken{"skip_turned_to_pass", "status pass without samples",
               [](Json& j) {
                 Row(j, 1).erase("status");
                 Row(j, 1).erase("reason");
               }},
        Broken{"nan_that_matches", "is MATCH, but",
               [](Json& j) {
                 Judgement0(j, 0).erase("value");
                 Judgement0(j, 0)["non_finite"]["value"] = "nan";
               }},
        Broken{"value_over_its_bound", "is MATCH, but", [](Json& j) { Judgement0(j, 0)["value"] = 9e9; }},
        Broken{"skip_without_reason", "gives no reason", [](Json& j) { Row(j, 1).erase("reason"); }},
        Broken{"pass_with_reason", "gives a reason", [](Json& j) { Row(j)["reason"] = "fast"; }},
        Broken{"percentile_mended", "figures do not follow", [](Json& j) { Row(j)["figures"]["p99_s"] = 0.0042; }},
        Broken{"fraction_mended", "figures do not follow",
               [](Json& j) { Row(j)["figures"]["fraction_of_floor"] = 0.9; }},
        Broken{"sample_dropped", "figures do not follow", [](Json& j) { Row(j)["series"][0]["seconds"].erase(9); }},
        Broken{"figures_of_an_unstable_row", "figures do not follow",
               [](Json& j) { Row(j, 2)["figures"] = Row(j)["figures"]; }},
        Broken{"sample_of_no_time", "took no time", [](Json& j) { Row(j)["series"][0]["seconds"][0] = 0.0; }},
        Broken{"floor_mended", "floor_s is 0.003", [](Json& j) { Row(j)["floor_s"] = 0.003; }},
        Broken{"limits_mended", "floor_s is 0.002", [](Json& j) { j["limits"][0]["copy_bytes_per_s"] = 1e12; }},
        Broken{"limits_of_another_type", "no limits of its dtype", [](Json& j) { j["limits"][0]["dtype"] = "bf16"; }},
        Broken{"unstable_turned_to_pass", "passes, but was throttled while timed: sw_power_cap",
               [](Json& j) {
                 Row(j, 2).erase("status");
                 Row(j, 2).erase("reason");
               }},
        Broken{"clock_fell", "SM clock outside its band",
               [](Json& j) {
                 Activity(j)["sm_clock_mhz"] = {1470, 1710, 1980};
               }},
        Broken{"throttle_removed", "its activity does not say why",
               [](Json& j) {
                 Activity(j, 2).erase("throttle");
                 Activity(j, 2).erase("throttle_reasons");
               }},
        Broken{"throttle_renamed", "not as it is written",
               [](Json& j) { Activity(j, 2)["throttle_reasons"] = {"gpu_idle"}; }},
        Broken{"median_outside", "between its least",
               [](Json& j) {
                 Activity(j)["power_w"] = {400, 600, 500};
               }},
        Broken{"covered_by_nothing", "passes without parity",
               [](Json& j) {
                 Row(j).erase("covering_cases");
                 Row(j)["parity"] = "VOID";
               }},
        Broken{"parity_from_nowhere", "the covering cases say VOID", [](Json& j) { Row(j).erase("covering_cases"); }},
        Broken{"covered_by_a_stranger", "which is not in the report",
               [](Json& j) { Row(j)["covering_cases"][0] = "Suite.Z"; }},
        Broken{"covered_by_a_skip", "has status skip",
               [](Json& j) { Row(j)["covering_cases"][0] = "Suite.C/nano/fp32/host/n=8"; }},
        Broken{"parity_mended", "the covering cases say DRIFT",
               [](Json& j) { Row(j)["covering_cases"][0] = "Suite.B/nano/fp32/host/n=8"; }},
        Broken{"parity_of_a_skipped_row_mended", "the covering cases say DRIFT",
               [](Json& j) { Row(j, 1)["covering_cases"][0] = "Suite.B/nano/fp32/host/n=8"; }}),
    [](const auto& tested) { return std::string(tested.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Surroundings, Contradiction,
    testing::Values(Broken{"key_of_another", "environment.comparability",
                           [](Json& j) { j["environment"]["gpus"][0]["power_limit_w"] = 500; }},
                    Broken{"field_mended", "environment.comparability",
                           [](Json& j) { j["environment"]["comparability"]["fields"]["driver"] = "1"; }},
                    Broken{"errors_forgotten", "fewer memory errors",
                           [](Json& j) { j["environment"]["gpus"][0]["ecc_after"]["corrected"] = 2; }},
                    Broken{"errors_not_corrected", "memory errors were not corrected",
                           [](Json& j) { j["environment"]["gpus"][0]["ecc_after"]["uncorrected"] = 2; }}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST(Check, AVoidComparisonBesideOthersAndARowThatTurnedOutWrongAreNoContradictions) {
  Report report = TimedSample();
  report.cases[0] = MakeCase("A", Status::kFail);
  report.cases[0].judgements = {Void("path", Bound::Exact(), "the packed kernel did not run")};
  report.cases[3].status = Status::kFail;
  report.cases[3].reason = "one of 16 rows is empty";
  report.cases[3].judgements[0].verdict = Verdict::kVoid;
  report.cases[3].judgements[0].fault = "a row without logits";
  ReportBenchmark wrong = MakeRow(Status::kFail);
  wrong.covering_cases = {report.cases[1].id()};
  wrong.parity = Verdict::kWrong;
  report.benchmarks = {wrong};
  EXPECT_EQ(ConsistencyProblems(ToJson(report)), std::vector<std::string>{});
}

// Cases are checked some hundreds at a time: a message names the place that a case has in the report.
TEST(Check, ShapesOfManyCasesAreNamedByTheirPlace) {
  Report report = Sample();
  for (int i = 0; i < 700; ++i) report.cases.push_back(MakeCase(("N" + std::to_string(i)).c_str(), Status::kPass));
  Json json = Json::parse(ToJson(report));
  EXPECT_EQ(SchemaProblems(json.dump()), std::vector<std::string>{});
  json["cases"][3]["status"] = "ok";
  json["cases"][600]["status"] = "ok";
  std::string all;
  for (const std::string& problem : SchemaProblems(json.dump())) all += problem + "\n";
  EXPECT_NE(all.find("[cases][3]"), std::string::npos) << all;
  EXPECT_NE(all.find("[cases][600]"), std::string::npos) << all;
  EXPECT_EQ(all.find("[cases][88]"), std::string::npos) << all;
}

TEST(Check, TextsThatAreNotOneReport) {
  const std::string text = ToJson(Sample());
  const auto complaint = [](const std::string& of) {
    try {
      FromJson(of);
    } catch (const ReportError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(complaint(text), "");
  EXPECT_NE(complaint(text + std::string("\0{}", 3)).find("NUL at byte"), std::string::npos);
  EXPECT_NE(complaint("{\"verdict\": \"FAIL\"," + text.substr(1)).find("'verdict' appears twice"), std::string::npos);
  Json late = Json::parse(text);
  const Json bounds = late["bounds"];
  late.erase("bounds");
  late["bounds"] = bounds;
  EXPECT_NE(complaint(late.dump()), "") << "bounds behind the cases that name them";
}

TEST(Check, BudgetsThatVersionOneDidNotHaveAreNotMissed) {
  Report report = Sample();
  report.cases[1].judgements.pop_back();
  EXPECT_EQ(ConsistencyProblems(ToJson(report)).size(), 1u);
  report.converted_from = "1.1.0";
  EXPECT_EQ(ConsistencyProblems(ToJson(report)), std::vector<std::string>{});
}

}  // namespace
}  // namespace assay
