// What a run found, as plain data, and its JSON form. Nothing of the engine is needed to read or write a report:
// verdicts, devices and types are names here. report.schema.json is the exact shape of the current version.
//
// Numbers are SI (seconds, bytes, FLOP) and finite; a value that was not finite is left out and named in "non_finite".
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

inline constexpr const char* kReportSchemaName = "assay.report";
inline constexpr const char* kReportSchemaVersion = "1.1.0";

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

struct ReportJudgement {
  std::string verdict;  // "MATCH" .. "WRONG"
  std::string metric;
  double value = 0;
  double bound = 0;
  double headroom = 0;  // error used / error allowed
  std::string worst, detail, bound_from;
};

struct ReportCase {
  std::string id, suite, name, params, model, dtype, device;
  std::string status;  // "pass", "fail", "skip", "error"
  std::string reason;  // never empty unless status is "pass"
  double duration_s = 0;
  std::vector<ReportJudgement> judgements;
  std::string replay;  // one shell line that runs this case alone
};

// A headroom to compare by: one that is no number is larger than any.
double HeadroomRank(double headroom);
// By verdict, then by headroom.
bool IsWorse(const ReportJudgement& a, const ReportJudgement& b);
// The judgement that speaks for a case: the worst; null without judgements.
const ReportJudgement* Worst(const ReportCase& item);
// Its verdict; "VOID" without judgements: nothing was compared.
std::string CaseVerdict(const ReportCase& item);

// One timed row. A case that is not right has no speed: parity comes from the same process, before timing, and a row
// whose status is not "pass" holds no samples and no figures that follow from them.
struct ReportBenchmark {
  std::string name, model, dtype, device;      // name: "decode/n8_ctx512", with the others unique in a report
  std::map<std::string, std::int64_t> params;  // "n", "context", ...
  std::string status = "pass";                 // "pass", "fail", "skip", "error"
  std::string reason;                          // never empty unless status is "pass"
  double bytes = 0, flops = 0;                 // needed, from the spec
  double floor_s = 0;                          // the time the measured hardware limits allow
  double p50_s = 0, p90_s = 0, p99_s = 0;
  double fraction_of_floor = 0;                // floor_s / p50_s
  double fraction_of_copy = 0;                 // bytes / p50_s over the measured copy bandwidth
  double fraction_of_gemm = 0;                 // flops / p50_s over the measured peak of a large product
  double rate = 0;                             // units of work per second at p50_s
  std::string unit;                            // of work: "token", "byte"
  std::string contains;                        // what one timed unit includes
  std::map<std::string, std::int64_t> counts;  // "graph_launches", "host_syncs", ...: of one timed unit, the most seen
  std::int64_t samples = 0;
  std::string parity;  // verdict name
};

// What the row is called in messages and in the skip ledger.
std::string RowId(const ReportBenchmark& row);

struct BuildInfo {
  std::string version, commit, build_id, compiler, build_type, flags, sanitizers;
  bool dirty = false;
  std::string cuda, cublas, cuda_architectures;  // empty: built without CUDA
};
struct HostInfo {
  std::string name, cpu, os, kernel;
  std::int64_t cores = 0;
  std::int64_t memory_bytes = 0;
};
struct DeviceInfo {
  std::string kind;  // "host", "cuda"
  std::string name;
  std::map<std::string, std::string> facts;  // "roofs_bf16", "unavailable", ...
};
struct ModelInfo {
  std::string name;      // as --model takes it
  std::string format;    // "safetensors", "gguf", "synthetic"
  std::string identity;  // WeightStore::Identity
};
// A kind of bound used in the run: where it comes from, how often and how large.
struct ToleranceInfo {
  std::string metric, bound_from;
  double largest_bound = 0;
  std::int64_t comparisons = 0;
};

struct Report {
  std::string run_id;
  std::string kind;  // "run", "golden", "bench"
  std::vector<std::string> argv;
  std::string started, finished;  // RFC 3339; finished is empty while the run is not
  double duration_s = 0;
  std::uint64_t seed = 0;
  BuildInfo build;
  HostInfo host;
  std::vector<DeviceInfo> devices;
  std::vector<ModelInfo> models;
  std::int64_t listed = 0, selected = 0;  // cases that exist for these inputs; cases asked for
  std::vector<ReportCase> cases;
  std::vector<ReportBenchmark> benchmarks;
  bool complete = false;
  std::vector<std::string> problems;  // why it is not complete
};

// What follows from the cases alone. Written into the file, recomputed by whoever checks it.
struct ReportSummary {
  std::map<std::string, std::int64_t> statuses;            // every status name, also with 0
  std::map<std::string, std::int64_t> verdicts;            // every verdict name, also with 0
  std::vector<std::pair<std::string, std::string>> skips;  // id, reason, in order; cases, then rows
  std::vector<ToleranceInfo> tolerances;                   // by metric, then source
  std::string verdict;                                     // "PASS", "FAIL", "INCONCLUSIVE", "INCOMPLETE"
};
ReportSummary Summarise(const Report& report);

// 0 PASS, 1 FAIL, 3 INCONCLUSIVE, 4 INCOMPLETE.
int ExitCode(std::string_view run_verdict);

std::string ToJson(const Report& report);
// Throws ReportError for text that is no report of this major version, naming the field; summary parts are not read.
Report FromJson(std::string_view text);

}  // namespace assay
