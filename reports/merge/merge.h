// Shard files in, one report out, or every reason against it by name.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reports/format/report_text.h"
#include "reports/merge/leases.h"
#include "reports/merge/plan.h"

namespace assay {

enum class MergeFault : std::uint8_t {
  kLost,         // no file speaks for a group
  kDuplicated,   // two files under one lease
  kEmpty,        // a file of 0 bytes
  kTruncated,    // a file that breaks off, or has no end
  kEdited,       // a line that is not as it was written, or a record that is none
  kForeign,      // of another run
  kStale,        // of this run's id, but of an earlier beginning
  kRecut,        // of another cut of this run
  kOtherBuild,   // written by another build than the plan's
  kUnleased,     // under a token that was never given
  kWrongGpu,     // on a GPU that the plan does not allow
  kMissingCase,  // a case of the group is not in its file
  kDoubledCase,  // a case is there twice
  kUnknownCase,  // a case that the plan does not name there
  kPopulation,   // the plan's cases are not those that the build lists
};
std::string_view Name(MergeFault fault);  // "lost", "duplicated", ...

struct MergeProblem {
  MergeFault fault;
  std::optional<std::int64_t> group{};
  std::int64_t attempt = 0;  // 0: unknown
  std::string host{}, file{}, why{};
};

struct MergeInput {
  const Plan& plan;
  std::vector<std::string> population;  // ids, listed independently of the plan
  // Every lease that was given; absent: the run had no coordinator, and the newest attempt speaks for its group.
  std::optional<std::vector<Lease>> leases;
  std::vector<std::string> files;                       // names
  std::function<std::string(const std::string&)> read;  // text of a file; throws ReportError
  // The command that runs a group again, whose newest attempt is this one (0: there was none).
  std::function<std::string(std::int64_t group, std::int64_t attempt)> rerun_line;
};

// Of what could be merged: the same input gives the same report, byte for byte.
struct MergeResult {
  std::vector<MergeProblem> problems;  // empty: the report is whole
  // All of the report but its cases. It names the problems and is complete when there are none.
  Report rest;
  CaseTotals totals;
  // Reads the files again, one at a time. Throws ReportError when one is no longer what it was.
  CaseSource cases;
};

// Checks every file and holds one at a time, whatever there is of cases. `input` outlives the result.
MergeResult Merge(const MergeInput& input);
// The report with all its cases.
Report WholeReport(const MergeResult& merged);

// One line for a person: what, where, who, and the command that mends it.
std::string Describe(const MergeProblem& problem, const MergeInput& input);

}  // namespace assay
