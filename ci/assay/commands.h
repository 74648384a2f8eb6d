// The commands behind `assay`. Each returns the process's exit code; bad input is thrown.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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
  bool json = false;  // of list
  RunControl control;
};
int RunCommand(const RunArguments& arguments, const Invocation& invocation);

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
  RunControl control;
};
int GoldenCommand(const GoldenArguments& arguments, const Invocation& invocation);

struct BenchArguments {
  std::vector<std::string> models = {"gemma4-nano"}, dtypes = {"bf16"}, what = {"decode"},
                           prompts = {"512", "2048", "32x64"};
  std::vector<int> sessions = {1, 8, 32}, contexts = {512};
  std::string device = "auto";
  bool batch_invariant = false;
  double seconds = 5;  // of a row
  std::uint64_t seed = 0;
  std::string report;
  ExportArguments exports;
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
};
int FuzzCommand(const FuzzArguments& arguments);

struct GateArguments {
  std::string baseline, candidate;   // programs, build folders or git revisions
  std::vector<std::string> reports;  // two kept reports instead of two builds
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
};
int GateCommand(const GateArguments& arguments, const Invocation& invocation);
// The parity of two kept reports.
int GateReportsCommand(const GateArguments& arguments);

// Suites, models, presets and devices; or the ids of the cases that `arguments` select; or the groups that may be
// placed.
enum class ListWhat { kOverview, kCases, kGroups };
int ListCommand(const RunArguments& arguments, ListWhat what);

struct InspectArguments {
  std::vector<std::string> models;
  bool json = false;
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

}  // namespace assay
