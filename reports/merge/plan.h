// The plan of a run that is spread over workers: which cases there are, how they are cut into groups, and by which
// build. Made once; whoever takes part holds its hash against it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reports/format/report.h"

namespace assay {

inline constexpr const char* kPlanSchemaName = "assay.plan";
inline constexpr const char* kPlanSchemaVersion = "2.0.0";

// What is timed beside the cases: benchmarks by name, and the shapes they are timed at.
struct TimingInputs {
  std::vector<std::string> what, prompts;        // prompts: "2048", "32x64"
  std::vector<std::int64_t> sessions, contexts;  // contexts: in tokens
  double seconds = 0;                            // of timed repeats of a row
  friend bool operator==(const TimingInputs&, const TimingInputs&) = default;
};

// What a selection was asked for: listing it again gives the population.
struct PlanInputs {
  std::vector<std::string> models, suites, dtypes, patterns, excluded;
  std::string device;  // kind: "host", "cuda"
  std::uint64_t seed = 0;
  std::int64_t seeds = 1;
  bool batch_invariant = false;
  TimingInputs timing;
  friend bool operator==(const PlanInputs&, const PlanInputs&) = default;
};

// Cases of one loaded model on one device: what a worker takes, and what one shard file holds.
struct PlanGroup {
  std::string model, device;      // label, kind
  std::int64_t memory_bytes = 0;  // of the device
  double seconds = 0;             // expected
  double case_timeout_s = 0;      // a case that takes longer is ended
  std::vector<std::string> cases;
  // Benchmarks, timed by the process that ran the cases before, which cover them. A group that has some has its device
  // for itself.
  std::vector<std::string> rows{};
};
// Cases, then rows: what has an index within a group.
std::int64_t ItemsOf(const PlanGroup& group);
const std::string& ItemOf(const PlanGroup& group, std::int64_t index);

struct Plan {
  std::string run_id, nonce, created;
  std::vector<std::string> argv;
  BuildInfo build;
  PlanInputs inputs;
  std::vector<ModelInfo> models;
  std::string gpu;          // what the name of each GPU must hold; empty: any
  std::int64_t listed = 0;  // cases before selection
  std::vector<PlanGroup> groups;
  std::vector<std::vector<std::int64_t>> bundles;  // of groups, for executors that place several at once; or none
};

// Canonical: one plan has one text. The text holds its own hash.
std::string PlanText(const Plan& plan);
// SHA-256 of the canonical plan.
std::string PlanHash(const Plan& plan);
// Throws ReportError naming the field, or that the text was changed after it was written; ReportVersionError for
// another major version.
Plan PlanFrom(std::string_view text);
// The same of a file; messages name it.
Plan ReadPlan(const std::string& path);

std::int64_t CasesOf(const Plan& plan);
// What the report of the run takes from its plan: id, kind, argv, begin, seed, counts, models.
void TakeFrom(const Plan& plan, Report* report);

// `count` bundles of about equal duration: the longest group first, each into the bundle that has least. No bundle is
// empty: there may be fewer.
std::vector<std::vector<std::int64_t>> Bundled(const std::vector<PlanGroup>& groups, std::size_t count);
// Indices of the groups, the longest first: the order in which they are best begun.
std::vector<std::int64_t> LongestFirst(const std::vector<PlanGroup>& groups);
// Which of `left` (the longest first, not empty) a worker that has read the model `held` begins next: one of that model
// if it is at least half as long as the longest, as to read another model takes time too. An index into `left`.
std::size_t NextFor(const std::string& held, const std::vector<PlanGroup>& groups, std::span<const std::int64_t> left);

}  // namespace assay
