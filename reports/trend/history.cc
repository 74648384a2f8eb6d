#include "reports/trend/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <cmath>
#include <ctime>
#include <set>
#include <tuple>

#include "engine/text/shell.h"
#include "reports/render/export_text.h"
#include "reports/render/summary.h"
#include "reports/trend/change_points.h"
#include "reports/trend/commands.h"

namespace assay {
namespace {

// A number that is not finite is none.
std::optional<double> Finite(double value) { return std::isfinite(value) ? std::optional(value) : std::nullopt; }
std::optional<double> Positive(double value) { return value > 0 ? Finite(value) : std::nullopt; }

std::vector<double> AllSamples(const ReportBenchmark& row) {
  std::vector<double> samples;
  for (const TimedSeries& series : row.series)
    samples.insert(samples.end(), series.seconds.begin(), series.seconds.end());
  std::sort(samples.begin(), samples.end());
  return samples;
}

// The distribution-free interval of a median: order statistics by the binomial distribution of a fair coin. With fewer
// than six samples there is none of 95 %.
void SetInterval(const std::vector<double>& sorted, HistoryPoint* point) {
  if (sorted.size() < 6) return;
  const boost::math::binomial coin(static_cast<double>(sorted.size()), 0.5);
  std::size_t below = 0;  // order statistics that may be left out on each side
  while (2 * boost::math::cdf(coin, static_cast<double>(below)) <= 0.05) ++below;
  if (below == 0) return;
  point->low = Finite(sorted[below - 1]);
  point->high = Finite(sorted[sorted.size() - below]);
}

std::optional<double> ClockOf(const ReportBenchmark& row) {
  std::vector<double> clocks;
  for (const TimedSeries& series : row.series)
    if (series.activity.samples > 0) clocks.push_back(series.activity.sm_clock_mhz.median);
  return Positive(MedianOf(clocks));
}

std::optional<double> CoveringHeadroom(const Report& report, const ReportBenchmark& row) {
  std::optional<double> most;
  for (const ReportCase& item : report.cases)
    if (std::find(row.covering_cases.begin(), row.covering_cases.end(), item.id()) != row.covering_cases.end())
      for (const Judgement& judgement : item.judgements)
        if (const auto headroom = Finite(Headroom(judgement))) most = std::max(most.value_or(0), *headroom);
  return most;
}

// What a run was asked to do, without where it wrote and what it printed: only runs of the same selection count the
// same cases. With `cases_only` just what chooses among the cases of a suite, or changes what all of them compute.
std::string SelectionOf(const Report& report, bool cases_only) {
  struct Option {
    std::string_view name;
    bool value, output;  // whether a value follows; whether it says nothing about what ran
  };
  static constexpr Option kOptions[] = {{"--report", true, true},
                                        {"--junit", true, true},
                                        {"--summary", true, true},
                                        {"--github", false, true},
                                        {"--quiet", false, true},
                                        {"-q", false, true},
                                        {"--durations", true, true},
                                        {"--timeout", true, true},
                                        {"--require", true, true},
                                        {"--case", true, false},
                                        {"--exclude", true, false},
                                        {"--rerun-failed", true, false},
                                        {"--max-failures", true, false},
                                        {"--fail-fast", false, false},
                                        {"--repeat", true, false},
                                        {"--measure", true, true},
                                        {"--seed", true, false},
                                        {"--goldens", true, false},
                                        {"--batch-invariant", false, false}};
  std::vector<std::string> kept;
  if (report.kind != "run" && cases_only) kept.push_back(report.kind);
  for (std::size_t i = 2; i < report.argv.size(); ++i) {
    const std::string& word = report.argv[i];
    const std::string_view name = std::string_view(word).substr(0, word.find('='));
    const auto* known = std::find_if(std::begin(kOptions), std::end(kOptions),
                                     [&](const Option& option) { return option.name == name; });
    const bool is_known = known != std::end(kOptions);
    const bool takes_next = is_known && known->value && name.size() == word.size() && i + 1 < report.argv.size();
    if (is_known ? !known->output : !cases_only) {
      kept.push_back(Quoted(word));
      if (takes_next) kept.push_back(Quoted(report.argv[i + 1]));
    }
    if (takes_next) ++i;
  }
  return fmt::format("{}", fmt::join(kept, " "));
}

void AddRow(const Report& report, const ReportBenchmark& row, RunPoints* all) {
  HistoryPoint point;
  point.status = Name(row.status);
  point.verdict = row.parity == Verdict::kVoid ? "" : Name(row.parity);
  point.headroom = CoveringHeadroom(report, row);
  point.clock_mhz = ClockOf(row);
  point.kernels = row.kernels;
  point.note = row.reason;
  for (const auto& [name, count] : row.counts) point.facts[name] = static_cast<double>(count);
  if (Positive(row.bytes)) point.facts["bytes"] = row.bytes;
  if (Positive(row.flops)) point.facts["flops"] = row.flops;
  const std::vector<double> samples = AllSamples(row);
  const Figures figures = FiguresOf(row, report.limits);
  if (row.status == Status::kPass && figures.samples > 0) {
    point.value = Positive(figures.p50_s);
    point.samples = figures.samples;
    point.p90 = Positive(figures.p90_s);
    point.p99 = Positive(figures.p99_s);
    point.fraction = Positive(figures.fraction_of_floor);
    SetInterval(samples, &point);
  }
  all->cells.push_back({row.id(), "bench", row.name, row.axes, "s"});
  all->points.push_back(std::move(point));
}

// Suites by model, mode and device, in the order of the report. Cases that cover rows are told of with their rows.
void AddSuites(const Report& report, RunPoints* all) {
  if (report.kind == "bench") return;
  const std::string selection = SelectionOf(report, true);
  using Place = std::tuple<std::string, std::string, std::string, std::string>;
  std::vector<std::pair<Place, Report>> parts;
  std::map<Place, std::size_t> at;
  for (const ReportCase& item : report.cases) {
    const Place place{item.suite, item.axes.Text("model"), item.axes.Text("dtype"), item.axes.Text("device")};
    const auto [found, fresh] = at.emplace(place, parts.size());
    if (fresh) parts.emplace_back(place, Report());
    parts[found->second].second.cases.push_back(item);
  }
  for (const auto& [place, part] : parts) {
    const auto& [suite, model, dtype, device] = place;
    const SuiteSummary summary = SummariseCases(part);
    Axes axes;
    for (const auto& [name, value] : {std::pair("model", model), {"dtype", dtype}, {"device", device}})
      if (!value.empty()) axes.Set(name, value);
    if (!selection.empty()) axes.Set("of", selection);
    HistoryPoint point;
    Status worst = Status::kPass;
    for (const auto& [status, count] : summary.statuses)
      if (count > 0) worst = Worse(worst, status);
    point.status = Name(worst);
    if (summary.verdict) point.verdict = Name(*summary.verdict);
    if (summary.headroom) point.headroom = Finite(*summary.headroom);
    point.seconds = Finite(summary.seconds);
    const auto count = [&](Status status) { return static_cast<double>(summary.statuses.at(status)); };
    point.facts = {{"cases", static_cast<double>(summary.cases)},
                   {"failed", count(Status::kFail) + count(Status::kError)},
                   {"skipped", count(Status::kSkip)}};
    // Of the case that is worst: why it did not pass, or where its first comparison left its tolerance.
    const Judgement* told = nullptr;
    for (const ReportCase& item : part.cases) {
      if (item.status == Status::kFail || item.status == Status::kError) {
        point.note = item.id() + ": " + item.reason;
        break;
      }
      for (const Judgement& judgement : item.judgements)
        if (judgement.first_outside && (told == nullptr || IsWorse(judgement, *told))) {
          told = &judgement;
          point.note = fmt::format("{}: {} first outside at {}", item.id(), judgement.metric,
                                   judgement.first_outside->ToString());
        }
    }
    all->cells.push_back({PrintId("suite", suite, axes), "suite", suite, axes, ""});
    all->points.push_back(std::move(point));
  }
}

void AddGate(const GateRecord& record, RunPoints* all) {
  const GateDecisions decisions = Decide(record);
  const std::string baseline = record.baseline.build.commit.substr(0, 12);
  for (std::size_t i = 0; i < record.cells.size(); ++i) {
    const GateCell& cell = record.cells[i];
    const CellDecision& decision = decisions.cells[i];
    HistoryPoint point;
    point.status = Name(decision.verdict.value_or(CellVerdict::kMissing));
    point.note = cell.missing;
    if (decision.rounds > 0) {
      point.value = Finite(1 + decision.estimate);
      point.low = Finite(1 + decision.low);
      point.high = Finite(1 + decision.high);
      point.samples = decision.rounds;
    }
    all->cells.push_back(
        {fmt::format("gate.{}/baseline={}", cell.id, baseline), "gate", baseline, AxesOfId(cell.id), "ratio"});
    all->points.push_back(std::move(point));
  }
}

void AddWhole(const Report& report, RunPoints* all) {
  const SuiteSummary summary = SummariseCases(report);
  HistoryPoint point;
  point.status = Summarise(report).verdict;
  if (summary.verdict) point.verdict = Name(*summary.verdict);
  if (summary.headroom) point.headroom = Finite(*summary.headroom);
  point.seconds = Positive(report.duration_s);
  point.facts = {{"cases", static_cast<double>(summary.cases)},
                 {"skipped", static_cast<double>(summary.statuses.at(Status::kSkip))}};
  if (!report.problems.empty()) point.note = report.problems.front();
  Axes axes;
  if (const std::string selection = SelectionOf(report, false); !selection.empty()) axes.Set("of", selection);
  all->cells.push_back({PrintId("run", report.kind, axes), "run", report.kind, axes, ""});
  all->points.push_back(std::move(point));
  for (const RunMeasure& measure : report.measures) {
    HistoryPoint measured;
    measured.status = "pass";
    measured.value = Finite(measure.value);
    all->cells.push_back(
        {"measure." + measure.name, "measure", measure.name, Axes(), measure.unit, measure.higher_is_better});
    all->points.push_back(std::move(measured));
  }
}

}  // namespace

double SecondsOf(const std::string& time) {
  std::tm parts{};
  const char* rest = ::strptime(time.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) throw ReportError(fmt::format("'{}': expected a time as 2025-01-31T23:59:59.123Z", time));
  const double fraction = *rest == '.' ? std::strtod(rest, nullptr) : 0;
  return static_cast<double>(::timegm(&parts)) + fraction;
}

HistoryRun RunOf(const Report& report, std::string sha256, std::string path) {
  const Environment& environment = report.environment;
  HistoryRun run;
  run.sha256 = std::move(sha256);
  run.path = std::move(path);
  run.run_id = report.run_id;
  run.kind = report.kind;
  run.verdict = Summarise(report).verdict;
  run.started = report.started;
  run.finished = report.finished;
  run.started_at = SecondsOf(report.started);
  run.duration_s = report.duration_s;
  run.complete = report.complete;
  run.commit = environment.build.commit;
  run.build_id = environment.build.build_id;
  run.version = environment.build.version;
  run.dirty = environment.build.dirty;
  run.machine = environment.host.name;
  run.device = DeviceNames(report);
  if (environment.cuda)
    run.driver = fmt::format("driver {}, CUDA {}", environment.cuda->driver, environment.cuda->runtime);
  std::vector<std::string> words;
  for (const std::string& word : report.argv) words.push_back(Quoted(word));
  run.command = fmt::format("{}", fmt::join(words, " "));
  run.key = ComparabilityKey(environment);
  run.key_fields = ComparabilityFields(environment);
  run.limits = report.limits;
  return run;
}

RunPoints PointsOf(const Report& report) {
  RunPoints all;
  AddWhole(report, &all);
  for (const ReportBenchmark& row : report.benchmarks) AddRow(report, row, &all);
  AddSuites(report, &all);
  if (report.gate) AddGate(*report.gate, &all);
  // A report may name a row twice; a cell has one point, the first.
  std::set<std::string> seen;
  RunPoints once;
  for (std::size_t i = 0; i < all.cells.size(); ++i) {
    if (!seen.insert(all.cells[i].id).second) continue;
    all.points[i].cell = once.cells.size();
    once.cells.push_back(std::move(all.cells[i]));
    once.points.push_back(std::move(all.points[i]));
  }
  return once;
}

}  // namespace assay
