#include "reports/trend/series.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "reports/trend/commands.h"
#include "reports/trend/print.h"

namespace assay {
namespace {

constexpr double kHour = 3600;
constexpr double kLeastSilence = 36 * kHour;  // a nightly run that is late is not missing
constexpr double kSilentIntervals = 3;
constexpr std::size_t kReferenceNights = 7;  // whose median is the level that creep is measured at

struct Reading {
  std::string metric, unit;
  std::optional<double> value, low, high;
  bool higher_is_better = false, judged = true;
  double matters_from = 0;
};

constexpr double kTellingHeadroom = 0.5;

// What a point says, by metric.
std::vector<Reading> ReadingsOf(const HistoryCell& cell, const HistoryPoint& point) {
  std::vector<Reading> readings;
  if (point.value) {
    const std::string metric = cell.kind == "measure" ? cell.name : cell.unit == "s" ? "time" : cell.unit;
    readings.push_back({metric, cell.unit, point.value, point.low, point.high, cell.higher_is_better});
  }
  if (point.headroom) readings.push_back({"headroom", "", point.headroom, {}, {}, false, true, kTellingHeadroom});
  if (point.seconds) readings.push_back({"duration", "s", point.seconds, {}, {}, false, false});
  for (const auto& [name, value] : point.facts) {
    // What follows from the model, and how often repeats were discarded, is no result.
    if (name == "bytes" || name == "flops" || name == "calls" || name == "discarded_repeats") continue;
    readings.push_back({name, name.ends_with("_bytes") ? "byte" : "", value, {}, {}, name == "cases", true});
  }
  return readings;
}

std::vector<Level> LevelsOf(const std::vector<double>& values, const std::vector<Change>& changes) {
  std::vector<Level> levels;
  if (values.empty()) return levels;
  const std::vector<double> clean = WithoutExcursions(values);
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= changes.size(); ++i) {
    const std::size_t end = i < changes.size() ? changes[i].at : values.size();
    double sum = 0;
    for (std::size_t k = begin; k < end; ++k) sum += clean[k];
    levels.push_back({begin, end, sum / static_cast<double>(end - begin)});
    begin = end;
  }
  return levels;
}

// Of nights about their levels: robust where there are enough of them.
double NoiseAbout(const std::vector<double>& values, const std::vector<Level>& levels) {
  std::vector<double> residuals;
  for (const Level& level : levels)
    for (std::size_t i = level.begin; i < level.end; ++i) residuals.push_back(std::abs(values[i] - level.mean));
  return residuals.size() < 3 ? 0 : 1.4826 * MedianOf(std::move(residuals));
}

std::string CommitText(const HistoryRun& run) { return ShortCommit(run.commit, run.dirty); }

bool IsOf(const HistoryRun& run, const std::string& reference) {
  return !reference.empty() && run.commit.starts_with(reference);
}

}  // namespace

double TrendSeries::Worsening(double before, double after) const {
  const double change = before == after ? 0
                        : before == 0   ? std::copysign(INFINITY, after)
                                        : (after - before) / std::abs(before);
  return higher_is_better ? -change : change;
}

double TrendSeries::Loss() const {
  double loss = 0;
  for (const Level& level : levels) loss = std::max(loss, Worsening(level.mean, levels.back().mean));
  return loss;
}

std::vector<TrendSeries> SeriesOf(const History& history, const TrendRule& rule) {
  std::vector<TrendSeries> all;
  std::map<std::tuple<std::size_t, std::string, std::string>, std::size_t> at;
  for (std::size_t i = 0; i < history.points.size(); ++i) {
    const HistoryPoint& point = history.points[i];
    for (Reading& reading : ReadingsOf(history.cells[point.cell], point)) {
      if (!std::isfinite(*reading.value)) continue;
      const std::string& key = history.runs[point.run].key;
      const auto [found, fresh] = at.emplace(std::tuple(point.cell, key, reading.metric), all.size());
      if (fresh)
        all.push_back({point.cell, key, reading.metric, reading.unit, reading.higher_is_better, reading.judged,
                       reading.matters_from});
      all[found->second].nights.push_back({point.run, i, *reading.value, reading.low, reading.high});
    }
  }
  for (TrendSeries& series : all) {
    std::vector<double> values;
    for (const Night& night : series.nights) values.push_back(night.value);
    series.changes = FindChanges(values, rule.change);
    series.levels = LevelsOf(values, series.changes);
    series.noise = NoiseAbout(values, series.levels);
  }
  return all;
}

ChangeFacts FactsOf(const History& history, const TrendSeries& series, const Change& change) {
  const Night &before = series.nights[change.at - 1], &after = series.nights[change.at];
  ChangeFacts facts{&history.runs[before.run], &history.runs[after.run], "", "", ""};
  const std::string &from = facts.last_before->commit, &to = facts.first_after->commit;
  const std::string &kernels_before = history.points[before.point].kernels,
                    &kernels_after = history.points[after.point].kernels;
  if (!kernels_before.empty() && !kernels_after.empty() && kernels_before != kernels_after)
    facts.remark = "other kernels ran";
  if (from == to) {
    const bool same = facts.last_before->build_id == facts.first_after->build_id;
    facts.range = fmt::format("{} ({})", CommitText(*facts.last_before),
                              same ? "one build: the machine changed, not the code" : "built anew with other changes");
    return facts;
  }
  facts.range = fmt::format("{}..{}", CommitText(*facts.last_before), CommitText(*facts.first_after));
  facts.command = GateCommandFor(history.cells[series.cell], from, to);
  if (facts.last_before->dirty || facts.first_after->dirty)
    facts.remark += std::string(facts.remark.empty() ? "" : "; ") + "built with changes that no commit holds";
  return facts;
}

std::vector<MachineState> MachinesOf(const History& history, const TrendRule& rule, double now) {
  std::map<std::pair<std::string, std::string>, MachineState> machines;
  std::map<std::pair<std::string, std::string>, std::vector<double>> starts;
  for (const HistoryRun& run : history.runs) {
    const std::pair name{run.machine, run.device};
    MachineState& state = machines[name];
    state.machine = run.machine;
    state.device = run.device;
    state.key = run.key;
    ++state.runs;
    state.last = &run;
    if (run.kind == "run" || run.kind == "golden") state.last_parity = &run;
    if (run.kind == "bench") state.last_bench = &run;
    if (run.kind == "gate") state.last_gate = &run;
    starts[name].push_back(run.started_at);
  }
  std::vector<MachineState> all;
  for (auto& [name, state] : machines) {
    // Runs of one night are one sign of life.
    std::vector<double> gaps;
    const std::vector<double>& times = starts[name];
    for (std::size_t i = 1; i < times.size(); ++i)
      if (times[i] - times[i - 1] >= kHour) gaps.push_back(times[i] - times[i - 1]);
    if (gaps.size() >= 3) state.interval_s = MedianOf(gaps);
    state.allowed_s = rule.silent_s > 0      ? rule.silent_s
                      : state.interval_s > 0 ? std::max(kLeastSilence, kSilentIntervals * state.interval_s)
                                             : 0;
    state.silent = state.allowed_s > 0 && now - state.last->started_at > state.allowed_s;
    state.ahead = state.last->started_at > now + kHour;
    all.push_back(std::move(state));
  }
  std::stable_sort(all.begin(), all.end(), [](const MachineState& a, const MachineState& b) {
    return a.last->started_at > b.last->started_at;
  });
  return all;
}

TrendJudgement Judge(const History& history, const std::vector<TrendSeries>& series, const TrendRule& rule,
                     double now) {
  TrendJudgement judgement{"PASS", {}};
  if (history.runs.empty()) return {"INCOMPLETE", {{"no runs", "the history holds no runs", "", nullptr, 0, ""}}};
  bool failed = false, regressed = false, incomplete = false;
  std::vector<TrendFinding>& findings = judgement.findings;

  // The last point of each cell where runs are comparable.
  std::map<std::pair<std::size_t, std::string>, const HistoryPoint*> last;
  for (const HistoryPoint& point : history.points) last[{point.cell, history.runs[point.run].key}] = &point;
  for (const auto& [where, point] : last) {
    const HistoryCell& cell = history.cells[where.first];
    if ((cell.kind != "bench" && cell.kind != "suite") || (point->status != "fail" && point->status != "error"))
      continue;
    failed = true;
    findings.push_back(
        {"failed",
         fmt::format("{}: {} at {}: {}", cell.id, point->status, CommitText(history.runs[point->run]), point->note),
         MeasureCommand(cell), nullptr, 0, ""});
  }

  bool referenced = rule.reference.empty(), long_enough = false;
  for (const TrendSeries& item : series) {
    if (!item.judged) continue;
    long_enough |= item.nights.size() >= 2 * rule.change.segment;
    for (const Change& change : item.changes) {
      const double worse = item.Worsening(change.before, change.after);
      if (worse <= 0 || change.after < item.matters_from || item.nights.size() - change.at > rule.recent) continue;
      regressed = true;
      const ChangeFacts facts = FactsOf(history, item, change);
      findings.push_back(
          {"change",
           fmt::format("{} {}: {} to {}, {} worse", history.cells[item.cell].id, item.metric,
                       Printed(change.before, item.unit), Printed(change.after, item.unit), PrintedPercent(worse)),
           facts.command, &item, worse,
           fmt::format("{}, first seen {}{}", facts.range, facts.first_after->started.substr(0, 10),
                       facts.remark.empty() ? "" : "; " + facts.remark)});
    }
    if (rule.reference.empty() || (item.unit != "s" && item.unit != "byte")) continue;
    std::vector<double> at_reference, lately;
    for (const Night& night : item.nights)
      if (IsOf(history.runs[night.run], rule.reference)) at_reference.push_back(night.value);
    if (at_reference.empty()) continue;
    referenced = true;
    for (std::size_t i = item.nights.size() - std::min(kReferenceNights, item.nights.size()); i < item.nights.size();
         ++i)
      lately.push_back(item.nights[i].value);
    const double then = MedianOf(at_reference), now_is = MedianOf(lately), worse = item.Worsening(then, now_is);
    if (worse <= rule.creep) continue;
    regressed = true;
    const std::string& newest = history.runs[item.nights.back().run].commit;
    findings.push_back({"creep",
                        fmt::format("{} {}: {} at the reference {}, {} lately: {} worse, {} may be",
                                    history.cells[item.cell].id, item.metric, Printed(then, item.unit), rule.reference,
                                    Printed(now_is, item.unit), PrintedPercent(worse), PrintedPercent(rule.creep)),
                        GateCommandFor(history.cells[item.cell], rule.reference, newest), &item, worse, ""});
  }
  if (!referenced) {
    incomplete = true;
    findings.push_back(
        {"no reference", fmt::format("no series has a run of the reference {}", rule.reference), "", nullptr, 0, ""});
  }
  for (const MachineState& machine : MachinesOf(history, rule, now)) {
    const std::string name = fmt::format("{} ({})", machine.machine, machine.device);
    if (machine.silent) {
      incomplete = true;
      findings.push_back({"silent",
                          fmt::format("{}: no run for {}, its last began {}", name,
                                      PrintedSpan(now - machine.last->started_at), machine.last->started),
                          "", nullptr, 0, ""});
    }
    if (machine.ahead)
      findings.push_back({"clock",
                          fmt::format("{}: its last run began {}, which is yet to come: a clock is wrong", name,
                                      machine.last->started),
                          "", nullptr, 0, ""});
    for (const HistoryRun* run : {machine.last_parity, machine.last_bench, machine.last_gate})
      if (run != nullptr && !run->complete) {
        incomplete = true;
        findings.push_back({"not complete",
                            fmt::format("{}: the last {} did not finish: {}", name, run->kind, run->path), "", nullptr,
                            0, ""});
      }
  }
  if (!long_enough)
    findings.push_back({"too short",
                        fmt::format("no series has {} nights: no change can be found yet", 2 * rule.change.segment), "",
                        nullptr, 0, ""});
  judgement.verdict = failed         ? "FAIL"
                      : regressed    ? "REGRESSION"
                      : incomplete   ? "INCOMPLETE"
                      : !long_enough ? "INCONCLUSIVE"
                                     : "PASS";
  std::stable_sort(findings.begin(), findings.end(),
                   [](const TrendFinding& a, const TrendFinding& b) { return a.size > b.size; });
  return judgement;
}

std::vector<std::vector<const TrendFinding*>> Grouped(const std::vector<TrendFinding>& findings) {
  std::vector<std::vector<const TrendFinding*>> groups;
  std::map<std::pair<std::string, std::string>, std::size_t> at;
  for (const TrendFinding& finding : findings) {
    if (finding.what == "change") {
      const auto [found, fresh] = at.emplace(std::pair(finding.series->key, finding.since), groups.size());
      if (!fresh) {
        groups[found->second].push_back(&finding);
        continue;
      }
    }
    groups.push_back({&finding});
  }
  return groups;
}

}  // namespace assay
