// A benchmark: one thing to time, what must cover it, and the rule that it is right before it is timed.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "bench/support/activity_sampler.h"
#include "engine/base/check.h"
#include "reports/format/report.h"
#include "suites/support/case.h"

namespace assay {

// What a benchmark measures with and against.
struct BenchSetting {
  HardwareLimits limits;
  double seconds = 5;  // of timed repeats of a row; as long again at most to warm up
  // What two correct computations of one row may differ by; 0: not at all.
  double spread = 0;  // in any logit
  double tie = 0;     // between the best logit and another that is chosen
};

struct BenchState {
  Workbench& bench;
  const Target& target;
  const BenchSetting& setting;
  ActivitySampler& activity;
};

// A row and the names of the kernels that ran in it; none on a host, and none where no step of the engine is timed.
struct TimedRow {
  ReportBenchmark row;
  std::vector<std::string> kernels;
};

struct BenchCase {
  std::string name;  // "decode"
  Axes axes;         // of the target, then the case's own: n, context, ...
  Target target;
  // The cases that must pass before: they run the same step at the same shape.
  std::function<std::vector<Case>(Workbench&)> covering;
  // Rows with their series. Throws WrongResult when what it timed is not right, OutOfMemory when it does not fit.
  std::function<std::vector<TimedRow>(const BenchCase&, BenchState&)> time;
  int Number(const char* axis) const { return static_cast<int>(axes.Number(axis).value_or(0)); }
  std::string id() const { return PrintId("bench", name, axes); }
};

// A row that names the case and holds nothing yet.
ReportBenchmark RowOf(const BenchCase& item);

// What was timed does not compute what it should.
class WrongResult : public Error {
 public:
  using Error::Error;
};

// What the covering cases of a benchmark have shown.
struct Coverage {
  Status status = Status::kSkip;  // of the worst of them
  std::string reason = "nothing was compared";
  Verdict verdict = Verdict::kVoid;
  std::vector<std::string> cases;  // ids
  std::set<std::string> kernels;   // that ran in them
  // Where an earlier process ran the cases: its rows by id, and the digest of the kernels of each.
  std::map<std::string, std::string> timed_before = {};
};

// Times a case that its coverage lets pass. A case that does not pass, does not fit, breaks or turns out wrong while it
// is timed becomes one row without a speed that says so; so does a row in which a kernel ran that its coverage has not
// seen, or that was timed while the device was throttled. Never throws.
std::vector<ReportBenchmark> TimeIfRight(const BenchCase& item, const Coverage& coverage, BenchState& state);

}  // namespace assay
