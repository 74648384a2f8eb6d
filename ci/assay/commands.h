// The commands behind `assay`. Each returns the process's exit code; bad input is thrown.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "reports/format/report.h"
#include "reports/merge/plan.h"

namespace assay {

// Codes are part of the interface: never a count.
enum ExitStatus : int {
  kExitPass = 0,
  kExitFailure = 1,
  kExitUsage = 2,  // command line, configuration, unreadable or unsupported input
  kExitInconclusive = 3,
  kExitIncomplete = 4,     // something selected did not run; nothing was selected; all was skipped
  kExitNotComparable = 5,  // a report of another major version
  kExitInternal = 6,
};

struct Case;
struct SuiteInputs;
class Workbench;
// Lists the cases of a selection: ListCases of suites/suites.h, or what a test puts in its place.
using CaseLister = std::function<std::vector<Case>(Workbench& bench, const SuiteInputs& inputs,
                                                   const std::vector<std::string>& suites)>;

struct Invocation {  // as typed, for provenance
  int argc = 0;
  const char* const* argv = nullptr;
};

// How cases are run and what is said about it, whichever command selects them.
struct RunControl {
  std::string require;   // a device on which some case must have run; empty: none
  int max_failures = 0;  // so many end the run; 0: none do
  int durations = 0;     // so many of the slowest cases are listed
  double timeout_s = 0;  // of a case; 0: none
  bool quiet = false;    // failures and the last line alone
};

// A run's report for other programs, beside the report itself.
struct ExportArguments {
  std::string junit, summary;  // files; empty: none
  bool github = false;         // annotations on stdout
};

// What is judged: the engine of this tree, or a process that speaks the protocol.
struct SystemArguments {
  std::string command;    // for /bin/sh; empty: the engine of this tree
  double timeout_s = 60;  // of a request
};

struct RunArguments {
  std::vector<std::string> models, suites, dtypes;
  std::vector<std::string> patterns, excluded;  // of case ids
  std::string device = "auto";
  std::uint64_t seed = 0;
  int repeat = 1;  // seeds, from `seed` on
  bool batch_invariant = false;
  std::string rerun;   // report whose failed cases are selected; empty: none
  std::string report;  // file to write; empty: none
  ExportArguments exports;
  std::vector<RunMeasure> measures;
  SystemArguments system;
  bool json = false;  // of list
  RunControl control;
};

// How a run is spread over worker processes. All defaults: it is not, and its cases run in this process.
struct SpreadArguments {
  int jobs = 0;                          // workers; 0: one a GPU, or one on a host
  std::string executor;                  // "local", "files", "slurm"; empty: none, or local where another member is set
  std::string folder;                    // of the run; empty: a temporary one, removed after a whole run
  std::string plan;                      // file; empty: made of the selection
  bool resume = false;                   // the folder's run goes on
  std::int64_t bundle = -1, group = -1;  // of files: what this process runs
  std::int64_t attempt = 1;              // of files
  std::string durations_from;            // report: how long cases took
  std::vector<std::string> sbatch;       // of slurm: further options
  std::int64_t bundles = 0;              // of slurm: array elements; 0: one a group, at most 256
  bool asked() const {
    return jobs > 0 || !executor.empty() || !folder.empty() || !plan.empty() || resume || bundle >= 0 || group >= 0;
  }
};
int RunCommand(const RunArguments& arguments, const SpreadArguments& spread, const Invocation& invocation,
               const CaseLister& list);

// What is timed where nothing else is asked for.
inline TimingInputs UsualTiming(std::vector<std::string> what) {
  return {std::move(what), {"512", "2048", "32x64"}, {1, 8, 32}, {512}, 5};
}

struct PlanArguments {
  std::string out;             // file
  std::int64_t bundles = 0;    // 0: none
  std::int64_t workers = 0;    // groups are cut for so many; 0: a group a model
  std::string gpu;             // what the name of each GPU must hold
  std::string durations_from;  // report whose durations are taken for those to come; empty: rough ones
  TimingInputs timing = UsualTiming({});
};
int PlanCommand(const RunArguments& arguments, const PlanArguments& plan, const Invocation& invocation,
                const CaseLister& list);

struct WorkerArguments {
  std::string plan;
  std::int64_t group = -1;  // below 0: assignments come on standard input
  std::string lease;        // by hand: echoed, so that records can be told apart
};
int WorkerCommand(const WorkerArguments& arguments, const CaseLister& list);

struct MergeArguments {
  std::string folder;  // of the run, or of shard files
  std::string plan;    // file; empty: the folder's
  std::string report;  // to write; of verify: to check
  bool allow_partial = false;
};
int MergeCommand(const MergeArguments& arguments, const CaseLister& list);
int VerifyCommand(const MergeArguments& arguments, const CaseLister& list);

// How far a run is, from its folder alone.
int StatusCommand(const std::string& folder);

// One element of a Slurm array: runs the groups that its grant names.
int ElementCommand(const std::string& folder, std::int64_t generation);

struct GoldenArguments {
  std::string model, goldens;  // goldens: empty = the file beside the model
  std::string recorded_in;     // what the recording was computed in; empty: as its logits say
  bool padding = false;        // columns of the recording beyond the model's vocabulary are padding
  std::vector<std::string> dtypes;
  std::vector<std::string> patterns, excluded;
  std::string device = "auto";
  std::uint64_t seed = 0;
  std::string report;
  ExportArguments exports;
  std::vector<RunMeasure> measures;
  SystemArguments system;
  RunControl control;
};
int GoldenCommand(const GoldenArguments& arguments, const Invocation& invocation);

struct BenchArguments {
  std::vector<std::string> models = {"gemma4-nano"}, dtypes = {"bf16"};
  TimingInputs timing = UsualTiming({"decode"});
  std::string device = "auto";
  bool batch_invariant = false;
  std::uint64_t seed = 0;
  std::string evidence;  // an earlier report of this build on this device; empty: none
  std::string report;
  ExportArguments exports;
  std::vector<RunMeasure> measures;
  SystemArguments system;
};
int BenchCommand(const BenchArguments& arguments, const Invocation& invocation);

struct MutateArguments {
  std::vector<std::string> faults;  // of the catalogue; none: all
  std::string device = "auto", shard, report;
  std::uint64_t seed = 0;
  int seeds = 1;
  bool all = false;  // run every suite under each fault
  ExportArguments exports;
  RunControl control;
  SystemArguments system;  // refused: faults are planted inside
};
int MutateCommand(const MutateArguments& arguments, const Invocation& invocation);

// Where the failures of a report begin; `pattern` of their ids, empty: all.
int BisectCommand(const std::string& report, const std::string& pattern);

struct FuzzArguments {
  std::string model;     // empty: random ones
  std::string schedule;  // play this one alone
  std::string fault;     // of the catalogue, planted: to see the fuzzer find it
  std::string device = "host", dtype = "fp32";
  std::uint64_t seed = 0;
  double seconds = 60;
  SystemArguments system;
};
int FuzzCommand(const FuzzArguments& arguments);

struct SoakArguments {
  std::vector<std::string> models = {"tiny-gemma4-moe", "tiny-gemma4-ple", "gemma4-nano", "qwen3-nano"};
  std::string device = "auto", dtype = "bf16", report;
  double minutes = 30;  // of all models together
  std::uint64_t seed = 0;
  ExportArguments exports;
  RunControl control;
};
int SoakCommand(const SoakArguments& arguments, const Invocation& invocation);

struct GateArguments {
  std::string baseline, candidate;                // programs, build folders or git revisions
  std::string baseline_system, candidate_system;  // what this program judges instead; empty: that build's own engine
  std::vector<std::string> reports;               // two kept reports instead of two builds
  std::vector<std::string> models, suites, dtypes, what, prompts;
  std::vector<int> sessions, contexts;
  std::string device;                 // empty: the policy's, or auto
  double seconds = 1;                 // of a row in each process
  double timeout_s = 600;             // of a process
  int rounds = 0;                     // most fresh rounds of a cell that the screen did not pass; 0: the rule's
  double budget_s = 0;                // of all rounds; 0: none
  std::string threshold;              // percent, or "auto"; empty: the policy's, or 3
  std::optional<std::uint64_t> seed;  // of the coin; absent: a random one
  std::string policy;                 // file; empty: none
  std::string report;
  ExportArguments exports;
};
int GateCommand(const GateArguments& arguments, const Invocation& invocation);
// The parity of two kept reports.
int GateReportsCommand(const GateArguments& arguments);

// The engine of this tree as a system of another process, on descriptor 3.
int ServeCommand();

// Every request of the protocol, every refusal, limits, junk and time-outs: does a system speak it?
int SystemCheckCommand(const SystemArguments& system, const std::string& model);

// Suites, models, presets and devices; or the ids of the cases that `arguments` select; or the groups that may be
// placed.
enum class ListWhat { kOverview, kCases, kGroups };
int ListCommand(const RunArguments& arguments, ListWhat what, const CaseLister& list);

struct InspectArguments {
  std::vector<std::string> models;
  bool json = false;
  bool whole_identity = false;
  int context = 0;  // positions a session may hold; 0: what the model supports, at most 4096
  int max_chunk = 256;
};
int InspectCommand(const InspectArguments& arguments);

struct ValidateArguments {
  std::vector<std::string> files;  // "-": standard input
  bool require_pass = false;
  std::string comparable;  // another report, or "here": must the two be comparable? Empty: not asked
};
int ValidateCommand(const ValidateArguments& arguments);

// A report that holds, as another program's text.
int ExportCommand(const std::string& format, const std::string& report, const std::string& out);

// What this machine can run, and what is missing.
int DoctorCommand();

int RenderHistoryCommand(const std::string& folder);

// The database of runs. `db` empty: where HistoryStore::DefaultPath says.
struct HistoryArguments {
  std::string db;
  std::vector<std::string> reports;  // to add: files, and folders for every report below them
  std::string run;                   // to show: the beginning of a digest, run id or commit
  std::string format = "csv";        // to export: csv or json
  std::string out;                   // file; empty: standard output
  std::string before;                // to prune: a date
  bool dry = false;                  // say what would be pruned
  std::size_t limit = 50;            // newest runs that are listed
};
int AddHistoryCommand(const HistoryArguments& arguments);
int ListHistoryCommand(const HistoryArguments& arguments);
int ShowHistoryCommand(const HistoryArguments& arguments);
int ExportHistoryCommand(const HistoryArguments& arguments);
int PruneHistoryCommand(const HistoryArguments& arguments);

struct TrendArguments {
  std::string db, out;               // the page; empty: a view for the terminal
  bool check = false;                // exit by verdict
  std::vector<std::string> cells;    // patterns; empty: all
  std::vector<std::string> metrics;  // empty: all
  int days = 400;                    // before the newest run
  int recent = 14;                   // nights in which a change is news
  std::string reference;             // commit that creep is held against
  double creep_percent = 3;
  double silent_hours = 0;  // 0: by each machine's habit
  std::string source;       // git repository that commits' subjects are read from; empty: none
  std::string now;          // RFC 3339; empty: now
  std::size_t limit = 30;   // series in the terminal
};
int TrendCommand(const TrendArguments& arguments);

}  // namespace assay
