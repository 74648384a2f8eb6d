// A history as series of comparable numbers, where their levels changed, and what to make of that.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "reports/trend/change_points.h"
#include "reports/trend/history.h"

namespace assay {

struct TrendRule {
  ChangeRule change = {};
  std::size_t recent = 14;     // nights since a change in which a check is about it
  std::string reference = {};  // a commit, or its beginning: what creep is held against; empty: nothing is
  double creep = 0.03;         // the most that a series may be worse than at the reference
  double silent_s = 0;         // a machine without a run for so long is silent; 0: by its own habit
};

// What a run of one cell says in one metric.
struct Night {
  std::size_t run = 0, point = 0;  // places in the history
  double value = 0;
  std::optional<double> low, high;
};
// Nights between two changes.
struct Level {
  std::size_t begin = 0, end = 0;  // of nights
  double mean = 0;                 // of nights that are no excursions
};

// One metric of one cell where runs are comparable: the nights of one comparability key and no others. A night without
// a number is not there; nothing stands in for it.
struct TrendSeries {
  std::size_t cell = 0;
  std::string key;
  std::string metric;  // "time", "ratio", "headroom", "duration", "cases", "graph_launches", ...
  std::string unit;    // "s", "byte", "ratio"; empty: a number
  bool higher_is_better = false;
  bool judged = true;       // whether a check is about it: how long suites take is shown and not judged
  double matters_from = 0;  // a level below this is no news: headroom counts from half the tolerance on
  std::vector<Night> nights{};
  std::vector<Change> changes{};
  std::vector<Level> levels{};  // one more than changes, unless there are no nights
  double noise = 0;             // spread of a night about its level
  // How much worse than `before` is `after`, as a fraction of it; negative: better.
  double Worsening(double before, double after) const;
  // How much worse the last level is than the best one; 0 without changes.
  double Loss() const;
};

// By cell, key and metric, in the order in which they first appear.
std::vector<TrendSeries> SeriesOf(const History& history, const TrendRule& rule = {});

// The two runs that a change lies between, for people and for a shell.
struct ChangeFacts {
  const HistoryRun* last_before = nullptr;
  const HistoryRun* first_after = nullptr;
  std::string range;    // "a1b2c3d..d4e5f6a", or "a1b2c3d (the same build: ...)"
  std::string command;  // gates the two commits in this cell; empty where that says nothing
  std::string remark;   // what else changed between them; may be empty
};
ChangeFacts FactsOf(const History& history, const TrendSeries& series, const Change& change);

// A machine as its last runs leave it.
struct MachineState {
  std::string machine, device, key;  // of the last run
  std::size_t runs = 0;
  const HistoryRun* last = nullptr;
  const HistoryRun* last_parity = nullptr;  // of kind run or golden; null: none
  const HistoryRun* last_bench = nullptr;
  const HistoryRun* last_gate = nullptr;
  double interval_s = 0;  // between runs, by habit; 0: too few to tell
  double allowed_s = 0;   // for so long without a run it is not silent; 0: it is not judged
  bool silent = false;
  bool ahead = false;  // its last run began after `now`: one of the clocks is wrong
};
// Machines by name and device, the last one to run first. `now` in seconds since 1970.
std::vector<MachineState> MachinesOf(const History& history, const TrendRule& rule, double now);

struct TrendFinding {
  std::string what;  // "change", "creep", "failed", "silent", "not complete", "too short", "clock", "no reference"
  std::string text;  // for a person, in one line
  std::string command;
  const TrendSeries* series = nullptr;  // may be null
  double size = 0;                      // of a change or creep
  std::string since;                    // of a change: between which commits, and when it was first seen
};
// Changes that one step between two runs of a machine may explain, the largest first; anything else alone. In the order
// of their largest.
std::vector<std::vector<const TrendFinding*>> Grouped(const std::vector<TrendFinding>& findings);
struct TrendJudgement {
  std::string verdict;  // "PASS", "FAIL", "REGRESSION", "INCONCLUSIVE", "INCOMPLETE"
  std::vector<TrendFinding> findings;
};
// FAIL: a cell's last point failed. REGRESSION: a recent change for the worse, or creep beyond its budget. INCOMPLETE:
// no runs, no run of the reference, a silent machine, a last run that did not finish. INCONCLUSIVE: no series is long
// enough to have a change. In this order.
TrendJudgement Judge(const History& history, const std::vector<TrendSeries>& series, const TrendRule& rule, double now);

}  // namespace assay
