// What a run found, as plain data, and its JSON form. Nothing of the engine is needed to read or write a report.
// report.schema.json is the exact shape of the current version.
//
// A report has at most kLargestReport bytes of text; a larger file is not read.
//
// Numbers are SI (seconds, bytes, FLOP, Hz but for clocks in MHz) and finite; a value that was not finite is left out
// and named in "non_finite". Nothing that follows from something else is stored: it is written for readers and
// recomputed by whoever checks (check.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oracles/verdict/verdict.h"
#include "reports/format/axes.h"
#include "reports/format/environment.h"
#include "reports/format/gate.h"
#include "reports/format/status.h"

namespace assay {

inline constexpr const char* kReportSchemaName = "assay.report";
inline constexpr std::size_t kLargestReport = std::size_t{1} << 30;
inline constexpr const char* kReportSchemaVersion = "2.5.0";

// A report that cannot be read or written. The message names the file or the field.
class ReportError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
// A report of a major version this build does not know.
class ReportVersionError : public ReportError {
 public:
  using ReportError::ReportError;
};

// Rows on which the argmax could have been judged, and on which it was: the others' reference decides nothing at the
// mode's precision.
struct ArgmaxRows {
  std::int64_t judged = 0, rows = 0;
};

struct ReportCase {
  std::string suite, name;
  Axes axes;
  Status status = Status::kError;
  std::string reason;  // never empty unless status is pass
  double duration_s = 0;
  std::vector<Judgement> judgements;  // the worst of each metric
  ArgmaxRows argmax;
  std::string digest;  // SHA-256 of the rows that were compared bit for bit; in batch-invariant mode
  std::string replay;  // one shell line that runs this case alone
  std::string id() const { return PrintId(suite, name, axes); }
};

// Not a match, or one that used half of its tolerance: worth a place and a detail in the file.
bool IsTelling(const Judgement& judgement);
// The judgement that speaks for a case: the worst; null without judgements.
const Judgement* Worst(const ReportCase& item);
// Its verdict; VOID without judgements: nothing was compared.
Verdict CaseVerdict(const ReportCase& item);

// Smallest, median and largest of what was sampled.
struct Spread {
  double min = 0, median = 0, max = 0;
};
// What the device did while a series was timed.
struct DeviceActivity {
  Spread sm_clock_mhz{}, memory_clock_mhz{}, power_w{}, temperature_c{};
  std::uint64_t throttle_reasons = 0;   // NVML's clock event bits, or-ed
  std::int64_t samples = 0;             // 0: nothing was read
  std::vector<std::int64_t> xids = {};  // errors that the driver reported since the series before
};
// Repeats that were timed back to back.
struct TimedSeries {
  std::vector<double> seconds;  // of each repeat
  DeviceActivity activity;
};

// The figures of a row, from all its samples.
struct Figures {
  std::int64_t samples = 0;
  double p50_s = 0, p90_s = 0, p99_s = 0;
  double fraction_of_floor = 0;  // floor_s / p50_s
  double fraction_of_copy = 0;   // bytes / p50_s over the measured copy bandwidth
  double fraction_of_gemm = 0;   // flops / p50_s over the measured peak of a large product
  double rate = 0;               // units of work per second at p50_s
};

// What the hardware at hand can do, measured in the run that is compared with it.
struct HardwareLimits {
  std::string dtype;  // of the product
  double copy_bytes_per_s = 0, read_bytes_per_s = 0, gemm_flops_per_s = 0;
  std::string how;  // sizes and repeats
};

// One timed row. A case that is not right has no speed: parity comes from the same process, before timing, and a row
// whose status is not pass holds no figures.
struct ReportBenchmark {
  std::string name;  // "decode"
  Axes axes;         // model, dtype, device, n, context, ...
  Status status = Status::kPass;
  std::string reason;                          // never empty unless status is pass
  double bytes = 0, flops = 0;                 // needed by one timed unit, from the spec
  double floor_s = 0;                          // the time the measured hardware limits allow
  double work = 0;                             // units of work in one timed unit
  std::string unit;                            // of work: "token", "byte"
  std::string contains;                        // what one timed unit includes
  std::map<std::string, std::int64_t> counts;  // "graph_launches", "host_syncs", ...: of one timed unit, the most seen
  std::vector<TimedSeries> series;
  Verdict parity = Verdict::kVoid;          // of the cases that cover the row
  std::vector<std::string> covering_cases;  // their ids
  std::string kernels;                      // digest of the names of the kernels of one timed unit; empty on the host
  // What two correct computations of the row may differ by; 0: not at all.
  double logit_spread = 0;  // in any logit
  double logit_tie = 0;     // between the best logit and another that is chosen
  std::string id() const { return PrintId("bench", name, axes); }
};
// The limits a row is held against: those of its dtype axis; of a row without one, the only ones there are. Null when
// none were measured.
const HardwareLimits* LimitsOf(const ReportBenchmark& row, const std::vector<HardwareLimits>& limits);
// bytes over the copy bandwidth or flops over the peak of a product, whichever is longer; 0 without limits.
double FloorOf(const ReportBenchmark& row, const std::vector<HardwareLimits>& limits);
// All 0 for a row whose status is not pass, and without samples. Percentiles are nearest-rank.
Figures FiguresOf(const ReportBenchmark& row, const std::vector<HardwareLimits>& limits);

struct ModelInfo {
  std::string name;      // the model axis
  std::string format;    // "safetensors", "gguf", "synthetic"
  std::string identity;  // digest of what was loaded
};

// A number about a run as a whole that whoever started it knows: how long the build took, how large the program is, how
// many planted faults were found.
struct RunMeasure {
  std::string name;  // "build_time"; unique in a report
  double value = 0;
  std::string unit;  // "s", "byte"; empty: a number
  bool higher_is_better = false;
  friend bool operator==(const RunMeasure&, const RunMeasure&) = default;
};
// "build_time=312.5:s", "faults_found=26::higher". Throws ReportError that says what was expected.
RunMeasure MeasureFrom(const std::string& text);
// One attempt of a worker's supervisor at a group of cases.
struct ShardAttempt {
  std::int64_t attempt = 0;
  std::string state;  // "merged", "superseded" (an older lease: kept, never merged), "refused"
  std::string host, gpu, file, file_sha256;
  std::int64_t workers = 0, leftovers = 0;  // processes started; of them, groups that outlived their worker
};
struct ShardGroup {
  std::string model;
  std::int64_t cases = 0;
  std::vector<ShardAttempt> attempts;
};
// A case whose worker died before it had an outcome, and how it died, each time.
struct RetriedCase {
  std::string id;
  std::vector<std::string> deaths;
};
// What a report was merged of.
struct Distribution {
  std::string plan_hash, nonce;
  std::vector<ShardGroup> groups;
  std::vector<RetriedCase> retried;
};

struct Report {
  std::string run_id;
  std::string kind;  // "run", "golden", "bench", "gate"
  std::vector<std::string> argv;
  std::string evidence;           // run id of the earlier report whose cases and limits are this one's; empty: its own
  std::string started, finished;  // RFC 3339; finished is empty while the run is not
  double duration_s = 0;
  std::uint64_t seed = 0;
  Environment environment;
  std::vector<HardwareLimits> limits;
  std::vector<ModelInfo> models;
  std::vector<RunMeasure> measures;
  std::int64_t listed = 0, selected = 0;  // cases that exist for these inputs; cases asked for
  std::vector<ReportCase> cases;
  std::vector<ReportBenchmark> benchmarks;
  std::optional<GateRecord> gate;            // of kind "gate": cases are those of the candidate's parity
  std::optional<Distribution> distribution;  // of a run that was spread over workers
  bool complete = false;
  std::vector<std::string> problems;  // why it is not complete
  // The version this was converted from; empty when it was written as it stands. What that version did not record is
  // absent, and the rules that need it are not applied.
  std::string converted_from;
};

// What follows from cases and rows alone. Written into the file, recomputed by whoever checks it.
struct ReportSummary {
  std::map<Status, std::int64_t> statuses;                              // of cases; every status, also with 0
  std::map<Verdict, std::int64_t> verdicts;                             // of cases; every verdict, also with 0
  ArgmaxRows argmax;                                                    // of all cases
  std::vector<std::pair<std::string, std::vector<std::string>>> skips;  // reason, ids; cases, then rows
  std::string verdict;  // "PASS", "FAIL", "INCONCLUSIVE", "INCOMPLETE"; of a gate REGRESSION, NOT_COMPARABLE
};
ReportSummary Summarise(const Report& report);

// The same of cases that are counted one by one, so that nobody need hold them all.
class CaseTally {
 public:
  CaseTally();
  void Add(const ReportCase& item);
  void Add(const CaseTally& behind);  // of cases that come behind these
  std::int64_t cases() const;
  // Of a report that has these cases, and of `rest` everything else.
  ReportSummary Summarise(const Report& rest) const;

 private:
  ReportSummary summary_;               // without a verdict, and without skipped rows
  std::map<std::string, bool> ran_on_;  // by device: a case was not skipped there
};

// 0 PASS, 1 FAIL and REGRESSION, 3 INCONCLUSIVE, 4 INCOMPLETE, 5 NOT_COMPARABLE.
int ExitCode(std::string_view run_verdict);

// The report as a reader of its text sees it. Numbers of judgements keep 6 significant digits, or all when rounding
// would change the verdict; samples keep 5. Judgements that match with half their tolerance to spare keep no place and
// no detail, passing and skipped cases no replay line, and no judgement the probability its budget was made from.
Report AsWritten(Report report);
ReportCase AsWritten(ReportCase item);
std::string ToJson(const Report& report);
// Throws ReportError for text that is no report of this major version, naming the field; summary parts are not read.
Report FromJson(std::string_view text);

}  // namespace assay
