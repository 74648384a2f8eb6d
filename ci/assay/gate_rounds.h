// Rounds of two builds: a fresh process of each, back to back, in an order that a coin draws.
#pragma once

#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "ci/assay/gate_child.h"
#include "reports/format/report.h"

namespace assay {

struct GateSelection {
  std::vector<std::string> models, suites, dtypes, what, prompts;
  std::vector<int> sessions, contexts;
  std::string device = "auto";
  double seconds = 1;      // of a row in each process
  double timeout_s = 600;  // of a process
};

struct GateBuilds {
  std::string baseline, candidate;  // programs; under names of one length
};

// Fills the record of a report. What ends a gate early is a problem of the report, or something of the record's
// `failures` and `not_comparable`.
class GateRounds {
 public:
  // `folder` takes what children write. `changed` is called after every round.
  GateRounds(GateSelection selection, GateBuilds builds, std::string folder, ChildStop* stop, Report* report,
             std::function<void()> changed);

  // Runs the suites on the candidate and takes its cases and environment into the report. False: no speed counts.
  bool Parity();
  // Six rounds of every cell, or what the rule says. False when something ended the gate.
  bool Screen();
  // Looks at fresh rounds of the cells that the screen did not pass until all are decided, or `deadline` does not
  // leave time for another round.
  bool Confirm(std::chrono::steady_clock::time_point deadline);

  double seconds_of_round() const { return seconds_of_round_; }  // of all models, the longest; 0 before the first

 private:
  bool Round(bool fresh, const std::set<std::string>& wanted);
  bool Pair(const std::string& model, bool fresh, const std::set<std::string>& wanted);
  std::vector<std::string> BenchCommand(bool of_candidate, const std::string& model,
                                        const std::set<std::string>& wanted) const;
  ChildReport Bench(bool candidate, const std::vector<std::string>& command);
  // One untimed process of each side on each model verifies its rows and measures the limits. The processes of rounds
  // take both from its report, so that they all allocate alike before they time. An older build takes no evidence:
  // then each process verifies for itself.
  bool GatherEvidence();
  bool TakesEvidence(const std::string& program);
  std::string EvidenceFile(bool of_candidate, const std::string& model) const;
  bool CheckSides(const Report& baseline, const Report& candidate);
  void Record(const Report& baseline, const Report& candidate, bool candidate_first, bool fresh,
              const std::set<std::string>& wanted);
  bool Stop(const std::string& problem);
  std::set<std::string> Undecided() const;  // ids
  GateRecord& record() { return *report_->gate; }

  const GateSelection selection_;
  const GateBuilds builds_;
  const std::string folder_;
  ChildStop* const stop_;
  Report* const report_;
  const std::function<void()> changed_;
  std::uint64_t tosses_ = 0;
  std::set<std::string> run_ids_;
  bool with_evidence_ = false;
  double seconds_of_round_ = 0;
};

}  // namespace assay
