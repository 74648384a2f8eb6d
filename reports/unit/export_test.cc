// Reports as text for other programs: what each format says, whatever the names hold, and what it leaves out.
#include "reports/render/export.h"

#include <gtest/gtest.h>
#include <tinyxml2.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "reports/render/export_text.h"
#include "reports/unit/sample.h"

namespace assay {
namespace {

constexpr const char* kHostile = "a]]><b c=\"d\">&'|`*\x1b[31m\x01\r\n::error::x,y:z%0A\xff\xed\xa0\x80\xef\xbf\xbf";

Report Hostile() {
  Report report = TimedSample();
  ReportCase item = MakeCase("H", Status::kFail, Verdict::kWrong);
  item.name = item.reason = item.replay = kHostile;
  item.axes.Set("model", kHostile);
  item.judgements[0].detail = kHostile;
  report.cases.push_back(item);
  report.benchmarks[0].name = report.benchmarks[1].reason = kHostile;
  return report;
}

Report Failing(int cases) {
  Report report = Sample();
  for (int i = 0; i < cases; ++i) {
    report.cases.push_back(MakeCase("F" + std::to_string(i), Status::kFail, Verdict::kWrong));
    report.cases.back().judgements[0].value = 1 + i;
  }
  return report;
}

std::int64_t Count(const std::string& text, const std::string& part) {
  std::int64_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

std::vector<std::string> Lines(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

bool HoldsControls(const std::string& text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r'; });
}

TEST(ExportText, IsUtf8ThatXmlCanHold) {
  EXPECT_EQ(WellFormed("a\x1b\x7f\xc2\x85"), "a\\x1B\\x7F\\x85");
  EXPECT_EQ(WellFormed("a\r\nb\rc\td"), "a\nb\nc\td");
  EXPECT_EQ(OneLine("a\nb\tc"), "a b c");
  const std::string lost = "\xef\xbf\xbd";
  EXPECT_EQ(WellFormed("\xff|\xc3"), lost + "|" + lost);
  EXPECT_EQ(WellFormed("\xc0\xaf"), lost + lost);             // overlong
  EXPECT_EQ(WellFormed("\xed\xa0\x80"), lost + lost + lost);  // a surrogate
  EXPECT_EQ(WellFormed("\xef\xbf\xbf"), lost);                // U+FFFF
  EXPECT_EQ(WellFormed("\xf0\x9f\x98\x80 \u00e4"), "\xf0\x9f\x98\x80 \u00e4");
  EXPECT_EQ(Cut("abcdef", 6), "abcdef");
  EXPECT_EQ(Cut("abcdef", 5), "ab...");
  EXPECT_EQ(Cut("a\u00e4\u00e4\u00e4", 5), "a...");  // not through a character
}

TEST(ExportText, TroublesAreEmptyExactlyForAPass) {
  EXPECT_TRUE(Troubles(Sample()).empty());
  Report unfinished = Sample();
  unfinished.complete = false;
  ASSERT_EQ(Troubles(unfinished).size(), 1u);
  EXPECT_EQ(Troubles(unfinished)[0].cause, "the run did not finish");
  Report empty = Sample();
  empty.cases.clear();
  empty.selected = 0;
  ASSERT_EQ(Troubles(empty).size(), 1u);
  EXPECT_EQ(Troubles(empty)[0].cause, "nothing ran");
  Report skipped = Sample();
  skipped.cases = {MakeCase("C", Status::kSkip)};
  skipped.selected = 1;
  ASSERT_EQ(Troubles(skipped).size(), 1u);
  EXPECT_EQ(Troubles(skipped)[0].cause, "the run is INCOMPLETE");
}

TEST(ExportText, TroublesStandWorstFirst) {
  Report report = TimedSample();
  report.cases.push_back(MakeCase("F", Status::kFail, Verdict::kWrong));
  report.cases.push_back(MakeCase("G", Status::kFail, Verdict::kWrong));
  report.cases.back().judgements[0].value = std::nan("");
  report.cases.push_back(MakeCase("E", Status::kError));
  report.problems = {"node lost"};
  report.complete = false;
  std::vector<std::string> order;
  for (const Trouble& trouble : Troubles(report)) order.push_back(trouble.what + " " + trouble.id.substr(0, 7));
  EXPECT_EQ(order, (std::vector<std::string>{"not complete ", "error Suite.E", "fail Suite.G", "fail Suite.F",
                                             "unstable bench.s"}));
}

// The element of that name and all behind it on its level.
std::vector<const tinyxml2::XMLElement*> Children(const tinyxml2::XMLElement* parent, const char* name) {
  std::vector<const tinyxml2::XMLElement*> found;
  for (auto* item = parent->FirstChildElement(name); item != nullptr; item = item->NextSiblingElement(name))
    found.push_back(item);
  return found;
}

TEST(Junit, CountsAndCausesAgree) {
  Report report = TimedSample();
  report.cases.push_back(MakeCase("F", Status::kFail, Verdict::kWrong));
  report.cases.push_back(MakeCase("E", Status::kError));
  tinyxml2::XMLDocument document;
  ASSERT_EQ(document.Parse(ExportJunit(report).text.c_str()), tinyxml2::XML_SUCCESS);
  const auto* top = document.RootElement();
  EXPECT_EQ(top->IntAttribute("tests"), 9);
  EXPECT_EQ(top->IntAttribute("failures"), 1);
  EXPECT_EQ(top->IntAttribute("errors"), 2);  // and the unstable row
  EXPECT_EQ(top->IntAttribute("skipped"), 2);
  const auto suites = Children(top, "testsuite");
  ASSERT_EQ(suites.size(), 2u);
  EXPECT_STREQ(suites[0]->Attribute("name"), "Suite");
  EXPECT_STREQ(suites[1]->Attribute("name"), "bench");
  const auto cases = Children(suites[0], "testcase");
  ASSERT_EQ(cases.size(), 6u);
  EXPECT_STREQ(cases[4]->Attribute("classname"), "Suite");
  EXPECT_STREQ(cases[4]->Attribute("name"), "F/nano/fp32/host/n=8");
  const auto* failure = cases[4]->FirstChildElement("failure");
  ASSERT_NE(failure, nullptr);
  EXPECT_STREQ(failure->Attribute("type"), "WRONG");
  EXPECT_NE(std::string(failure->GetText()).find("replay: assay run --case Suite.F"), std::string::npos);
  EXPECT_NE(ExportJunit(report).text.find("name=\"dropped\""), std::string::npos);
}

TEST(Junit, ARunThatDidNotPassIsNeverGreen) {
  Report report = Sample();
  EXPECT_EQ(Count(ExportJunit(report).text, "<error"), 0);
  report.complete = false;
  EXPECT_EQ(Count(ExportJunit(report).text, "<error"), 1);
  EXPECT_EQ(Count(ExportJunit(report).text, "the run did not finish"), 2);
  report.cases.clear();
  EXPECT_EQ(Count(ExportJunit(report).text, "<error"), 1);
}

TEST(Junit, HoldsHostileNames) {
  const std::string text = ExportJunit(Hostile()).text;
  EXPECT_FALSE(HoldsControls(text));
  tinyxml2::XMLDocument document;
  ASSERT_EQ(document.Parse(text.c_str()), tinyxml2::XML_SUCCESS);
  const auto cases = Children(document.RootElement()->FirstChildElement("testsuite"), "testcase");
  ASSERT_EQ(cases.size(), 5u);
  const auto* failure = cases[4]->FirstChildElement("failure");
  ASSERT_NE(failure, nullptr);
  EXPECT_EQ(failure->Attribute("message"), OneLine(kHostile));
  EXPECT_NE(std::string(failure->GetText()).find("<b c=\"d\">&'|`*\\x1B[31m\\x01\n::error"), std::string::npos);
}

TEST(GoogleBenchmark, HoldsRowsWithASpeedAlone) {
  const Report report = TimedSample();
  const auto json = nlohmann::json::parse(ExportGoogleBenchmark(report).text);
  ASSERT_EQ(json.at("benchmarks").size(), 1u);
  const auto& row = json.at("benchmarks").at(0);
  EXPECT_EQ(row.at("name"), "bench.decode/nano/fp32/cuda/n=8");
  EXPECT_DOUBLE_EQ(row.at("real_time"), 4.5e6);
  EXPECT_EQ(row.at("time_unit"), "ns");
  EXPECT_EQ(row.at("iterations"), 10);
  EXPECT_NEAR(row.at("items_per_second"), 8 / 4.5e-3, 1e-6);
  EXPECT_EQ(row.at("graph_launches"), 1);
  const std::string without = json.at("context").at("assay_without_speed");
  EXPECT_NE(without.find("bench.slowed/nano/fp32/cuda/n=8 (unstable: because)"), std::string::npos);
  EXPECT_NE(without.find("bench.skipped"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(ExportGoogleBenchmark(Hostile()).text).at("benchmarks").size(), 1u);
}

TEST(Markdown, SaysWhatIsWrongWorstFirst) {
  Report report = Failing(2);
  report.problems = {"node lost"};
  report.complete = false;
  const std::string text = ExportMarkdown(report).text;
  EXPECT_TRUE(text.starts_with("## assay run: FAIL\n"));
  EXPECT_LT(text.find("node lost"), text.find("Suite.F1"));
  EXPECT_LT(text.find("Suite.F1"), text.find("Suite.F0"));
  EXPECT_NE(text.find("| Suite | host | 6 |"), std::string::npos);
  EXPECT_NE(text.find("Left out: "), std::string::npos);
}

// Bars that part cells: those without a backslash in front.
std::int64_t Bars(const std::string& line) { return Count(line, "|") - Count(line, "\\|"); }

TEST(Markdown, NamesDoNotBreakTables) {
  Report report = Hostile();
  report.cases.push_back(MakeCase("bar|name", Status::kError));
  const std::string text = ExportMarkdown(report).text;
  EXPECT_FALSE(HoldsControls(text));
  EXPECT_NE(text.find("`Suite.bar\\|name/nano/fp32/host/n=8`"), std::string::npos);
  EXPECT_EQ(text.find("<b"), std::string::npos);
  std::int64_t columns = 0, rows = 0;
  for (const std::string& line : Lines(text)) {
    if (!line.starts_with("|")) {
      columns = 0;
      continue;
    }
    if (columns == 0) columns = Bars(line);
    EXPECT_EQ(Bars(line), columns) << line;
    ++rows;
  }
  EXPECT_GT(rows, 8);
}

TEST(Markdown, StaysBelowTheLimitWithTwentyThousandFailures) {
  Report report = Failing(20000);
  for (ReportCase& item : report.cases) {
    item.suite += item.name;  // tables of suites and of skips grow with it
    item.reason = item.name + std::string(3000, '|');
  }
  const Exported exported = ExportMarkdown(report);
  EXPECT_LE(exported.text.size(), kSummaryBytes);
  EXPECT_NE(exported.text.find("19950 more, not shown here."), std::string::npos);
  EXPECT_NE(exported.text.find("F19999"), std::string::npos);
  EXPECT_NE(exported.dropped.find("19950 more of \"Not passed"), std::string::npos);
}

TEST(Markdown, HoldsAnyLimit) {
  const Report report = Failing(100);
  for (const std::size_t most : {0, 10, 100, 1000, 2000, 4000, 8000, 16000, 32000})
    EXPECT_LE(ExportMarkdown(report, most).text.size(), most);
  EXPECT_EQ(ExportMarkdown(report, 100).text, "## assay run: FAIL\n\n");
}

TEST(Github, AnnotatesNineAndSaysHowManyMore) {
  EXPECT_EQ(Count(ExportGithub(Sample()).text, "::error"), 0);
  EXPECT_EQ(Count(ExportGithub(Failing(9)).text, "::error"), 9);
  const std::string text = ExportGithub(Failing(1000)).text;
  EXPECT_EQ(Count(text, "::error"), 10);
  EXPECT_EQ(Count(text, "::notice"), 1);
  EXPECT_NE(text.find("::error title=991 more::"), std::string::npos);
  EXPECT_LT(text.find("Suite.F999"), text.find("Suite.F998"));
  EXPECT_NE(text.find("FAIL: 3 of 1004 cases passed, 1000 failed"), std::string::npos);
}

TEST(Github, NothingInANameIsACommand) {
  const std::string text = ExportGithub(Hostile()).text;
  EXPECT_FALSE(HoldsControls(text));
  const std::vector<std::string> lines = Lines(text);
  ASSERT_EQ(lines.size(), 3u);  // the case, the unstable row, the notice
  EXPECT_TRUE(lines[0].starts_with("::error title=fail Suite.a]]><b c=\"d\">&'|`*\\x1B[31m\\x01 %3A%3Aerror"));
  EXPECT_NE(lines[0].find("x%2Cy%3Az%250A"), std::string::npos);
  EXPECT_NE(lines[0].find("\\x01%0A::error::x,y:z%250A"), std::string::npos);
}

TEST(Csv, IsRfc4180) {
  Report report = TimedSample();
  report.cases[1].reason = "a,\"b\"\nc";
  const std::string text = ExportCsv(report).text;
  EXPECT_TRUE(text.starts_with("kind,id,suite,name,status,verdict,reason,"));
  EXPECT_NE(text.find(",axis.model,axis.dtype,axis.device,axis.n\r\n"), std::string::npos);
  EXPECT_NE(text.find("\"a,\"\"b\"\"\nc\""), std::string::npos);
  EXPECT_EQ(Count(text, "\r\n"), 8);
  EXPECT_NE(text.find("\r\nrow,bench.decode/nano/fp32/cuda/n=8,"), std::string::npos);
  EXPECT_NE(text.find(",10,0.0045,0.0049,0.005,0.002,"), std::string::npos);
}

TEST(Csv, NoTextIsAFormula) {
  for (const char* text : {"=1+1", "+1", "-1", "@a", "\t=1", "\n=1"}) {
    Report report = Sample();
    report.cases[0].reason = text;
    const std::string csv = ExportCsv(report).text;
    EXPECT_TRUE(csv.find(std::string(",'") + text) != std::string::npos ||
                csv.find(std::string(",\"'") + text) != std::string::npos)
        << csv;
  }
  EXPECT_FALSE(HoldsControls(ExportCsv(Hostile()).text));
}

// A gate with a cell that passes, one that is slower and one without a value.
Report GateReport() {
  Report report = Sample();
  report.kind = "gate";
  report.complete = true;
  report.problems.clear();
  report.cases = {};
  report.benchmarks = {};
  GateRecord& record = report.gate.emplace();
  const auto rounds = [](int count, double slower) {
    return std::vector<GateRound>(static_cast<std::size_t>(count), GateRound{false, 1.0, 1.0 + slower, ""});
  };
  record.cells = {{"bench.decode/even", "s", "", rounds(6, 0), {}},
                  {"bench.decode/slower", "s", "", rounds(6, 0.1), rounds(12, 0.1)},
                  {"bench.decode/gone", "s", "the candidate has no such row", {}, {}}};
  return report;
}

TEST(Exports, HoldTheCellsOfAGate) {
  const Report report = GateReport();
  ASSERT_EQ(Summarise(report).verdict, "INCOMPLETE") << "a missing cell";
  const std::string junit = ExportJunit(report).text;
  EXPECT_NE(junit.find("name=\"bench.decode/even\" time=\"0.000000\"/>"), std::string::npos) << junit;
  EXPECT_NE(junit.find("<failure message=\"+10.00 % (+10.00 % to +10.00 %) in 6+12 rounds, limit 3.00 %"),
            std::string::npos)
      << junit;
  EXPECT_NE(junit.find("<error message=\"the candidate has no such row\" type=\"missing\""), std::string::npos)
      << junit;
  const std::string markdown = ExportMarkdown(report, kSummaryBytes).text;
  const auto gone = markdown.find("| `bench.decode/gone` | **missing"), slower = markdown.find("**regression**"),
             even = markdown.find("| `bench.decode/even` | pass");
  EXPECT_TRUE(gone < slower && slower < even && even != std::string::npos) << markdown;
  const std::string github = ExportGithub(report).text;
  EXPECT_NE(github.find("::error title=regression bench.decode/slower::+10.00 %25"), std::string::npos) << github;
  EXPECT_NE(github.find("1 of 3 cells passed"), std::string::npos) << github;
  const std::string csv = ExportCsv(report).text;
  EXPECT_NE(csv.find("cell,bench.decode/slower,gate,,fail,regression"), std::string::npos) << csv;
  EXPECT_NE(csv.find("cell,bench.decode/gone,gate,,error,missing,the candidate has no such row"), std::string::npos);
}

TEST(Exports, EachFormatSaysWhatItLeavesOut) {
  for (const ExportFormat& format : ExportFormats()) {
    EXPECT_FALSE(format.make(Sample()).dropped.empty()) << format.name;
    EXPECT_FALSE(format.make(TimedSample()).text.empty()) << format.name;
  }
}

}  // namespace
}  // namespace assay
