// Pages and tables that are made of reports.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "reports/render/history_page.h"
#include "reports/render/summary.h"
#include "reports/unit/sample.h"

namespace assay {
namespace {

Report Fixed(Report report) {
  report.started = "2026-01-02T03:04:05.000Z";
  report.environment.host = {};
  report.environment.host.cpu = "CPU";
  report.environment.host.cores = 4;
  report.environment.build.commit = std::string(40, 'a');
  report.environment.build.dirty = false;
  return report;
}

Report RedReport() {
  Report report = Fixed(Sample());
  report.started = "2026-01-01T03:04:05.000Z";
  report.cases.push_back(MakeCase("E", Status::kFail, Verdict::kWrong));
  report.selected = report.listed = 5;
  report.environment.build.dirty = true;
  return report;
}

TEST(HistoryPage, ShowsSpeedsSuitesAndWhatIsRed) {
  Report golden = Fixed(Sample());
  golden.kind = "golden";
  golden.cases.resize(1);
  golden.listed = golden.selected = 1;
  const std::vector<std::pair<std::string, Report>> reports = {{"2026-01-02-bench.json.gz", Fixed(TimedSample())},
                                                               {"2026-01-02-run.json.gz", Fixed(Sample())},
                                                               {"part/red.json.gz", RedReport()},
                                                               {"golden.json.gz", golden}};
  const std::string key = ComparabilityKey(reports[0].second.environment).substr(0, 12);
  const std::string page =
      "## NVIDIA H100 80GB HBM3, key " + key +
      R"(

host processor: CPU; host cores: 4; driver: 580.159.04; CUDA runtime: 13.0; cuBLAS: 13.1.0; gpu 0 name: NVIDIA H100 80GB
HBM3; gpu 0 power limit: 700 W; variable CUBLAS_WORKSPACE_CONFIG: :4096:8.

### Speed

[bench][1]: 2026-01-02, commit aaaaaaa, **INCONCLUSIVE**.

)"
      R"(| model | dtype | device | row | n | context | p50 | p99 | floor | products | SM clock | throttle | parity |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
| nano | fp32 | cuda | decode | 8 | - | 4.5 ms | 5 ms | 44.4 % | 0.0 % | 1965-1980 MHz | - | MATCH |
| nano | fp32 | cuda | skipped | 8 | - | **skip** | - | - | - | - | - | MATCH |
| nano | fp32 | cuda | slowed | 8 | - | **unstable** | - | - | - | 1965-1980 MHz | **sw_power_cap** | MATCH |

- [bench][1]: **unstable** `bench.slowed/nano/fp32/cuda/n=8`: because
- [bench][1]: 2 skipped: because

### Suites

| report | date | commit | device | models | types | passed | argmax | headroom | verdict |
|---|---|---|---|---|---|---|---|---|---|
| [run][2] | 2026-01-02 | aaaaaaa | host | nano | fp32 | 3/4, 1 skipped | 7/8 | 1.5 | PASS |

- [run][2]: 1 skipped: because

In `part/`:

| report | date | commit | device | models | types | passed | argmax | headroom | verdict |
|---|---|---|---|---|---|---|---|---|---|
| [red][4] | 2026-01-01 | aaaaaaa (dirty) | host | nano | fp32 | 3/5, **1 failed**, 1 skipped | 7/8 | 50 | **FAIL** |

- [red][4]: **fail** `Suite.E/nano/fp32/host/n=8`: because
- [red][4]: 1 skipped: because

### Against other programs

| report | date | commit | device | models | types | passed | argmax | headroom | verdict |
|---|---|---|---|---|---|---|---|---|---|
| [golden][3] | 2026-01-02 | aaaaaaa | host | nano | fp32 | 1/1 | - | 0.05 | PASS |

[1]: 2026-01-02-bench.json.gz
[2]: 2026-01-02-run.json.gz
[3]: golden.json.gz
[4]: part/red.json.gz
)";
  EXPECT_EQ(RenderHistoryPage(reports), page);
  std::vector<std::pair<std::string, Report>> others = reports;
  std::reverse(others.begin(), others.end());
  EXPECT_EQ(RenderHistoryPage(others), page);
  EXPECT_EQ(RenderHistoryPage({}), "");
}

TEST(HistoryPage, OtherEnvironmentsStandApart) {
  Report other = Fixed(Sample());
  other.environment.gpus[0].power_limit_w = 500;
  const std::string page = RenderHistoryPage({{"a.json", Fixed(Sample())}, {"b.json", other}});
  EXPECT_NE(page.find("power limit: 700 W"), std::string::npos);
  EXPECT_NE(page.find("power limit: 500 W"), std::string::npos);
  other.environment.gpus.clear();
  EXPECT_NE(RenderHistoryPage({{"b.json", other}}).find("## Host, CPU, key "), std::string::npos);
}

TEST(HistoryPage, TextOfReportsDoesNotBreakTables) {
  Report report = Fixed(Sample());
  report.cases.resize(1);
  report.cases[0].axes.Set("model", "a|b\nc");
  EXPECT_NE(RenderHistoryPage({{"a.json", report}}).find("| a\\|b c |"), std::string::npos);
}

TEST(HistoryPage, ManyFailuresAreCounted) {
  Report report = Fixed(Sample());
  for (int i = 0; i < 7; ++i) report.cases.push_back(MakeCase("F" + std::to_string(i), Status::kFail, Verdict::kWrong));
  report.problems = {"node lost"};
  report.complete = false;
  const std::string page = RenderHistoryPage({{"a.json", report}});
  EXPECT_NE(page.find("Suite.F4"), std::string::npos);
  EXPECT_EQ(page.find("Suite.F5"), std::string::npos);
  EXPECT_NE(page.find("and 2 more"), std::string::npos);
  EXPECT_NE(page.find("**not complete**: node lost"), std::string::npos);
}

TEST(SuiteTable, CountsBySuiteAndDevice) {
  Report report = Sample();
  report.cases.push_back(MakeCase("E", Status::kError));
  report.cases.back().axes.Set("device", "cuda");
  report.cases.push_back(MakeCase("F", Status::kSkip));
  report.cases.back().suite = "Other";
  const std::vector<std::vector<std::string>> table = SuiteTable(report);
  ASSERT_EQ(table.size(), 4u);
  EXPECT_EQ(table[1],
            (std::vector<std::string>{"Suite", "host", "4", "3", "0", "0", "1", "DRIFT", "7/8", "1.5", "2.0 s"}));
  EXPECT_EQ(table[2],
            (std::vector<std::string>{"Suite", "cuda", "1", "0", "0", "1", "0", "MATCH", "-", "0.05", "0.5 s"}));
  EXPECT_EQ(table[3], (std::vector<std::string>{"Other", "host", "1", "0", "0", "0", "1", "VOID", "-", "-", "0.5 s"}));
  EXPECT_EQ(table[0].size(), table[1].size());
}

TEST(SuiteTable, AHeadroomThatIsNoNumberIsTheLargest) {
  Report report = Sample();
  report.cases[0].judgements[0].value = std::nan("");
  EXPECT_EQ(SuiteTable(report)[1][9], "inf");
}

}  // namespace
}  // namespace assay
