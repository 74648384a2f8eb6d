// What a history keeps of runs, as plain data: a run, the cells that it measured, and what it found in each.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reports/format/report.h"

namespace assay {

// What a run is in a history. All of it follows from its report.
struct HistoryRun {
  std::string sha256;  // of the report's text, decompressed: `zcat FILE | sha256sum` finds it
  std::string path;    // as it was named when it was added
  std::string run_id, kind, verdict;
  std::string started, finished;  // RFC 3339
  double started_at = 0;          // seconds since 1970
  double duration_s = 0;
  bool complete = false;
  std::string commit, build_id, version;
  bool dirty = false;
  std::string machine;  // the host's name
  std::string device;   // GPUs by name, or the processor
  std::string driver;   // with the CUDA runtime; empty on the host
  std::string command;  // as it was typed
  std::string key;      // of comparability
  std::vector<std::pair<std::string, std::string>> key_fields;
  std::vector<HardwareLimits> limits;
};

// What is measured over and over: a row of a benchmark, a suite on a model, a cell of a gate against one baseline, a
// run as a whole, or what its report says about it.
struct HistoryCell {
  std::string id;    // "bench.decode/gemma4-nano/bf16/cuda/n=8/context=512"; unique
  std::string kind;  // "bench", "suite", "gate", "run", "measure"
  std::string name;  // "decode", "Golden", the baseline's commit, "bench"
  Axes axes;
  std::string unit;  // of `value`: "s", "byte", "ratio"; empty: a number, or points have no value
  bool higher_is_better = false;
};

// What a run found in a cell. What was not measured is absent.
struct HistoryPoint {
  std::size_t run = 0, cell = 0;    // places in History
  std::string status;               // "pass", "fail", "unstable", ...; of a gate "regression", "inconclusive", ...
  std::optional<double> value;      // median; of a gate candidate / baseline
  std::optional<double> low, high;  // of the 95 % interval of the median, of a gate the estimate's
  std::int64_t samples = 0;
  std::optional<double> p90, p99;
  std::string verdict;              // parity: "MATCH", ...; empty: nothing was compared
  std::optional<double> headroom;   // of the suite, or of the cases that cover a row
  std::optional<double> fraction;   // of the floor that the hardware's measured limits allow
  std::optional<double> seconds;    // that the suite or the run took
  std::optional<double> clock_mhz;  // median SM clock while it was timed
  // What hardly ever changes: counts of a timed unit or of cases, bytes and FLOPs.
  std::map<std::string, double> facts;
  std::string kernels;  // digest of their names
  std::string note;     // reason, or where the first comparison left its tolerance
};

struct History {
  std::vector<HistoryRun> runs;  // by start
  std::vector<HistoryCell> cells;
  std::vector<HistoryPoint> points;  // by run
};

// Seconds since 1970 of RFC 3339 in UTC; throws ReportError for text that is no time. Fractions count.
double SecondsOf(const std::string& time);

// The run of a report, whose text has this digest, and what it found. Points name cells by their place in `cells`.
HistoryRun RunOf(const Report& report, std::string sha256, std::string path);
struct RunPoints {
  std::vector<HistoryCell> cells;
  std::vector<HistoryPoint> points;  // one a cell
};
RunPoints PointsOf(const Report& report);

}  // namespace assay
