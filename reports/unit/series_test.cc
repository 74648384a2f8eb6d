// A history as series: what belongs together, what changed between which commits, and what a check says of it.
#include "reports/trend/series.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "reports/format/digest.h"
#include "reports/page/html.h"
#include "reports/page/trend_page.h"
#include "reports/testing/made_history.h"
#include "reports/trend/commands.h"
#include "reports/trend/print.h"
#include "reports/unit/sample.h"

namespace assay {
namespace {

// Runs by start, as the store returns them.
class Made {
 public:
  void Add(const Report& report) {
    RunPoints found = PointsOf(report);
    history.runs.push_back(RunOf(report, Sha256(ToJson(report)), "night.json"));
    for (HistoryPoint& point : found.points) {
      const HistoryCell& cell = found.cells[point.cell];
      const auto at = std::find_if(history.cells.begin(), history.cells.end(),
                                   [&](const HistoryCell& known) { return known.id == cell.id; });
      point.cell = static_cast<std::size_t>(at - history.cells.begin());
      if (at == history.cells.end()) history.cells.push_back(cell);
      point.run = history.runs.size() - 1;
      history.points.push_back(point);
    }
  }
  History history;
};

// Seconds after the last made night.
double After(double seconds) { return SecondsOf("2026-11-27T02:00:00Z") + seconds; }

History Nights(const MadeHistory& made, int from = 0) {
  Made all;
  for (int night = from; night < made.nights; ++night) all.Add(MadeBench(made, night));
  return all.history;
}

const TrendSeries* Find(const History& history, const std::vector<TrendSeries>& series, const std::string& cell,
                        const std::string& metric) {
  for (const TrendSeries& item : series)
    if (history.cells[item.cell].id == cell && item.metric == metric) return &item;
  return nullptr;
}

constexpr const char* kStepCell = "bench.decode/gemma4-e4b/bf16/cuda/n=8/context=512";

TEST(Series, FollowEveryMetricOfACell) {
  Made all;
  all.Add(MadeBench({.cells = 4, .nights = 1}, 0));
  all.Add(MadeParity({.nights = 1}, 0));
  const std::vector<TrendSeries> series = SeriesOf(all.history);
  std::set<std::string> metrics;
  for (const TrendSeries& item : series) metrics.insert(all.history.cells[item.cell].kind + " " + item.metric);
  for (const char* wanted :
       {"bench time", "bench headroom", "bench graph_launches", "bench graph_nodes", "suite headroom", "suite cases",
        "suite failed", "suite skipped", "suite duration", "run duration", "run cases", "run skipped"})
    EXPECT_TRUE(metrics.contains(wanted)) << wanted;
  EXPECT_FALSE(metrics.contains("bench bytes"));
}

TEST(Series, FollowMeasuresOfReports) {
  Report report = Sample();
  report.measures = {MeasureFrom("build_time=312.5:s"), MeasureFrom("faults_found=26::higher")};
  ASSERT_EQ(FromJson(ToJson(report)).measures, report.measures);
  Made made;
  made.Add(FromJson(ToJson(report)));
  const std::vector<TrendSeries> series = SeriesOf(made.history);
  const TrendSeries* build = Find(made.history, series, "measure.build_time", "build_time");
  const TrendSeries* faults = Find(made.history, series, "measure.faults_found", "faults_found");
  ASSERT_TRUE(build != nullptr && faults != nullptr);
  EXPECT_EQ(build->unit, "s");
  EXPECT_EQ(build->nights.at(0).value, 312.5);
  EXPECT_GT(build->Worsening(300, 312.5), 0);
  EXPECT_GT(faults->Worsening(26, 25), 0);
  for (const char* wrong : {"", "=1", "name", "name=", "name=x", "name=nan", "name=1:s:lower"})
    EXPECT_THROW(MeasureFrom(wrong), ReportError) << wrong;
}

TEST(Series, KeepKeysApart) {
  const MadeHistory made{.cells = 2, .nights = 30};
  Made all;
  for (int night = 0; night < made.nights; ++night) all.Add(MadeElsewhere(made, night));  // another driver half-way
  const std::vector<TrendSeries> series = SeriesOf(all.history);
  std::vector<std::size_t> nights;
  for (const TrendSeries& item : series) {
    if (item.metric != "time" || all.history.cells[item.cell].id.find("n=1/") == std::string::npos) continue;
    nights.push_back(item.nights.size());
    for (const Night& night : item.nights) EXPECT_EQ(all.history.runs[night.run].key, item.key);
  }
  EXPECT_EQ(nights, (std::vector<std::size_t>{15, 15}));
}

TEST(Series, RunsOfOtherSelectionsCountOtherCases) {
  Report some = Sample(), all = Sample();
  some.argv = {"assay", "run", "--case", "A*", "--report", "some.json"};
  all.argv = {"assay", "run", "--report", "all.json", "--quiet"};
  some.cases.resize(1);
  Made made;
  made.Add(some);
  made.Add(all);
  std::set<std::string> ids;
  for (const HistoryCell& cell : made.history.cells) ids.insert(cell.id);
  EXPECT_TRUE(ids.contains("run.run"));
  EXPECT_TRUE(ids.contains("run.run/of=--case 'A*'"));
  EXPECT_TRUE(ids.contains("suite.Suite/nano/fp32/host"));
  EXPECT_TRUE(ids.contains("suite.Suite/nano/fp32/host/of=--case 'A*'"));
  const auto narrowed = std::find_if(made.history.cells.begin(), made.history.cells.end(), [](const HistoryCell& cell) {
    return cell.kind == "suite" && !cell.axes.Text("of").empty();
  });
  ASSERT_NE(narrowed, made.history.cells.end());
  EXPECT_EQ(MeasureCommand(*narrowed), "assay run --suite Suite --model nano --dtype fp32 --device host --case 'A*'");
}

TEST(Series, NothingStandsInForAMissingNight) {
  const MadeHistory made{.cells = 34, .nights = 80};  // cell 33 has no speed for two weeks
  const History history = Nights(made);
  const std::vector<TrendSeries> series = SeriesOf(history);
  std::size_t paused = 0;
  for (const TrendSeries& item : series)
    if (item.metric == "time" && item.nights.size() == 80u - 14u) ++paused;
  EXPECT_EQ(paused, 1u);
}

TEST(Series, AChangeNamesItsCommitsAndTheGateThatJudgesIt) {
  const MadeHistory made{.cells = 10, .nights = 60, .noise = 0.003};
  const History history = Nights(made);
  const std::vector<TrendSeries> series = SeriesOf(history);
  const TrendSeries* step = Find(history, series, "bench.decode/gemma4-e4b/bf16/cuda/n=8/context=512", "time");
  ASSERT_NE(step, nullptr);
  ASSERT_EQ(step->changes.size(), 1u);
  const Change& change = step->changes[0];
  EXPECT_EQ(static_cast<int>(change.at), StepNight(made));
  EXPECT_NEAR(change.change, 0.03, 0.003);
  EXPECT_NEAR(step->Loss(), 0.03, 0.003);
  EXPECT_NEAR(step->noise / step->levels[0].mean, 0.003, 0.001);
  const ChangeFacts facts = FactsOf(history, *step, change);
  const std::string before = history.runs[static_cast<std::size_t>(StepNight(made) - 1)].commit,
                    after = history.runs[static_cast<std::size_t>(StepNight(made))].commit;
  EXPECT_EQ(facts.range, before.substr(0, 9) + ".." + after.substr(0, 9));
  EXPECT_EQ(facts.command, "assay gate --baseline " + before + " --candidate " + after +
                               " --what decode --model gemma4-e4b --dtype bf16 --n 8 --ctx 512 --device cuda");
  EXPECT_EQ(facts.remark, "other kernels ran");
}

TEST(Series, AChangeWithinOneBuildIsTheMachines) {
  MadeHistory made{.cells = 10, .nights = 60, .noise = 0.003};
  History history = Nights(made);
  for (HistoryRun& run : history.runs) run.commit = "c0ffee", run.build_id = "b";
  const std::vector<TrendSeries> series = SeriesOf(history);
  const TrendSeries* step = Find(history, series, kStepCell, "time");
  ASSERT_TRUE(step != nullptr && step->changes.size() == 1);
  const ChangeFacts facts = FactsOf(history, *step, step->changes[0]);
  EXPECT_EQ(facts.range, "c0ffee (one build: the machine changed, not the code)");
  EXPECT_EQ(facts.command, "");
}

TEST(Trend, JudgesRecentChangesForTheWorse) {
  const MadeHistory made{.cells = 10, .nights = 60, .noise = 0.003};
  const History history = Nights(made);
  const std::vector<TrendSeries> series = SeriesOf(history);
  const TrendJudgement judged = Judge(history, series, {}, After(3600));
  EXPECT_EQ(judged.verdict, "REGRESSION");
  ASSERT_EQ(judged.findings.size(), 1u);
  EXPECT_EQ(judged.findings[0].what, "change");
  EXPECT_NE(judged.findings[0].text.find(kStepCell), std::string::npos);
  // A cell that became faster is no finding, and the change is no news after as many nights.
  EXPECT_EQ(Judge(history, series, {.recent = 60}, After(3600)).findings.size(), 1u);
  EXPECT_EQ(Judge(history, series, {.recent = 9}, After(3600)).verdict, "PASS");
  EXPECT_EQ(Judge(history, series, {.recent = 10}, After(3600)).verdict, "REGRESSION");
}

TEST(Trend, HoldsCreepAgainstAReference) {
  const MadeHistory made{.cells = 13, .nights = 60, .noise = 0.003};  // cell 12 creeps to 4 % in 40 nights
  const History history = Nights(made);
  const std::vector<TrendSeries> series = SeriesOf(history);
  TrendRule rule{.recent = 1};
  rule.reference = history.runs[5].commit.substr(0, 12);
  const TrendJudgement judged = Judge(history, series, rule, After(3600));
  EXPECT_EQ(judged.verdict, "REGRESSION");
  std::set<std::string> crept;
  for (const TrendFinding& finding : judged.findings) {
    EXPECT_EQ(finding.what, "creep");
    EXPECT_NE(finding.command.find("--baseline " + rule.reference), std::string::npos) << finding.command;
    crept.insert(history.cells[finding.series->cell].id);
  }
  EXPECT_TRUE(crept.contains("bench.decode/gemma4-e4b/bf16/cuda/n=16/context=4096"));
  rule.creep = 0.06;
  EXPECT_EQ(Judge(history, series, rule, After(3600)).verdict, "PASS");
  rule.reference = "0123456789";
  EXPECT_EQ(Judge(history, series, rule, After(3600)).verdict, "INCOMPLETE");
}

TEST(Trend, ASilentMachineIsNoPass) {
  const MadeHistory made{.cells = 1, .nights = 20};
  const History history = Nights(made);
  const std::vector<TrendSeries> series = SeriesOf(history);
  EXPECT_EQ(Judge(history, series, {}, After(60 * 3600)).verdict, "PASS") << "three nights are let pass";
  const TrendJudgement judged = Judge(history, series, {}, After(80 * 3600));
  EXPECT_EQ(judged.verdict, "INCOMPLETE");
  EXPECT_EQ(judged.findings.at(0).what, "silent");
  EXPECT_EQ(Judge(history, series, {.silent_s = 3600}, After(7200)).verdict, "INCOMPLETE");
}

TEST(Trend, AFailedCellFails) {
  Report red = AsWritten(Sample());
  red.cases[0] = MakeCase("A", Status::kFail, Verdict::kWrong);
  Made made;
  made.Add(red);
  const TrendJudgement judged = Judge(made.history, SeriesOf(made.history), {}, made.history.runs[0].started_at);
  EXPECT_EQ(judged.verdict, "FAIL");
  EXPECT_NE(judged.findings.at(0).text.find("because"), std::string::npos);
  // A later pass of the same cell ends it.
  Report green = AsWritten(Sample());
  green.run_id = "another";
  made.Add(green);
  EXPECT_NE(Judge(made.history, SeriesOf(made.history), {}, made.history.runs[0].started_at).verdict, "FAIL");
}

TEST(Trend, NothingAndTooLittleAreNoPass) {
  EXPECT_EQ(Judge({}, {}, {}, 0).verdict, "INCOMPLETE");
  const History one = Nights({.cells = 2, .nights = 1});
  EXPECT_EQ(Judge(one, SeriesOf(one), {}, After(0)).verdict, "INCONCLUSIVE");
  Made unfinished;
  Report report = MadeBench({.cells = 1, .nights = 1}, 0);
  report.complete = false;
  unfinished.Add(report);
  EXPECT_EQ(Judge(unfinished.history, SeriesOf(unfinished.history), {}, After(0)).verdict, "INCOMPLETE");
}

TEST(Trend, AClockThatIsAheadIsSaid) {
  const History history = Nights({.cells = 1, .nights = 10});
  const TrendJudgement judged = Judge(history, SeriesOf(history), {}, After(-2 * 86400.0));
  EXPECT_TRUE(std::any_of(judged.findings.begin(), judged.findings.end(),
                          [](const TrendFinding& finding) { return finding.what == "clock"; }));
}

TEST(Trend, GatesAreSeriesByBaseline) {
  Report report = Sample();
  report.kind = "gate";
  GateRecord record;
  record.baseline.build.commit = std::string(40, 'b');
  record.cells = {{.id = kStepCell, .unit = "s", .missing = "", .screen = {}, .fresh = {}}};
  for (int i = 0; i < 6; ++i) record.cells[0].screen.push_back({i % 2 == 0, 1, 1.001, ""});
  report.gate = record;
  Made made;
  made.Add(report);
  const std::vector<TrendSeries> series = SeriesOf(made.history);
  const TrendSeries* ratio =
      Find(made.history, series, std::string("gate.") + kStepCell + "/baseline=bbbbbbbbbbbb", "ratio");
  ASSERT_NE(ratio, nullptr);
  EXPECT_NEAR(ratio->nights.at(0).value, 1.001, 1e-6);
  EXPECT_EQ(made.history.cells[ratio->cell].axes.Number("n"), 8);
  EXPECT_EQ(MeasureCommand(made.history.cells[ratio->cell]),
            "assay bench --what decode --model gemma4-e4b --dtype bf16 --n 8 --ctx 512 --device cuda");
}

TEST(Commands, NameTheAxesOfAnId) {
  const Axes axes = AxesOfId("bench.decode/hf-tiny/llama3/fp32/host/n=2/op=a=b/peak_bytes");
  EXPECT_EQ(axes.Text("model"), "hf-tiny/llama3");
  EXPECT_EQ(axes.Text("dtype"), "fp32");
  EXPECT_EQ(axes.Number("n"), 2);
  EXPECT_EQ(axes.Text("op"), "a=b");
}

TEST(Printing, NumbersAndSparks) {
  EXPECT_EQ(Printed(4.0121e-3, "s"), "4.012 ms");
  EXPECT_EQ(Printed(0, "s"), "0 s");
  EXPECT_EQ(Printed(3.25 * 1024 * 1024, "byte"), "3.25 MiB");
  EXPECT_EQ(Printed(512, ""), "512");
  EXPECT_EQ(PrintedSpan(10 * 86400.0), "10 days");
  EXPECT_EQ(SparkText({1, 2, 3}, 2), "▁█");
  EXPECT_EQ(SparkText({5, 5}, 9), "▅▅");
  EXPECT_EQ(SparkText({}, 9), "");
}

std::string PageOf(const History& history, double now, std::map<std::string, std::string> subjects = {}) {
  const std::vector<TrendSeries> series = SeriesOf(history);
  const TrendJudgement judgement = Judge(history, series, {}, now);
  const std::vector<MachineState> machines = MachinesOf(history, {}, now);
  return RenderTrendPage({&history, &series, &judgement, &machines, std::move(subjects), now, "assay test"});
}

std::size_t Count(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(TrendPage, SaysThatThereIsNothing) {
  const std::string page = PageOf({}, After(0));
  EXPECT_NE(page.find("The history holds no runs yet"), std::string::npos);
  EXPECT_NE(page.find("INCOMPLETE"), std::string::npos);
}

TEST(TrendPage, OfOnePoint) {
  const std::string page = PageOf(Nights({.cells = 1, .nights = 1}), After(0));
  EXPECT_NE(page.find("one point"), std::string::npos);
}

TEST(TrendPage, EscapesWhatComesFromReportsAndRepositories) {
  Made made;
  const MadeHistory hostile{.cells = 12, .nights = 12, .hostile = true};
  for (int night = 0; night < hostile.nights; ++night) {
    made.Add(MadeBench(hostile, night));
    made.Add(MadeParity(hostile, night));
  }
  std::map<std::string, std::string> subjects;
  for (const HistoryRun& run : made.history.runs)
    subjects[run.commit] = "</script><b onclick=x>" + std::string(100000, '"');
  const std::string page = PageOf(made.history, After(0), subjects);
  EXPECT_EQ(page.find("<img"), std::string::npos);
  EXPECT_EQ(page.find("<b onclick"), std::string::npos);
  EXPECT_EQ(page.find("\xE2\x80\xAE"), std::string::npos) << "a mark that turns text around";
  EXPECT_EQ(page.find('\x1B'), std::string::npos);
  EXPECT_EQ(Count(page, "<script"), Count(page, "</script>")) << "each of our own is ended once";
  EXPECT_EQ(Count(page, "<script"), 4u);
  EXPECT_LT(page.size(), 1'500'000u) << "a megabyte of text is cut";
}

TEST(TrendPage, CutsTextAtCharacters) {
  EXPECT_EQ(Html("<\xE2\x80\xAE>"), "&lt;\\u202E&gt;");
  EXPECT_EQ(Html(std::string(1 << 20, 'x')).size(), kLongestShown);
  EXPECT_EQ(Visible(std::string(100, '\xFF'), 40).find('\xFF'), std::string::npos);
}

}  // namespace
}  // namespace assay
