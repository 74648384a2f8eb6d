// The catalogue as cases: each plants its fault, runs the suites that must see it, and passes when they turned red and
// the fault was in effect. What fails is a survivor.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "suites/faults/catalogue.h"
#include "suites/support/case.h"

namespace assay {

// What a run of the catalogue has found, fault by fault.
struct FaultTally {
  struct Fault {
    Seam seam{};
    int runs = 0, caught = 0;            // under how many seeds; by all the suites that must see it
    bool in_effect = true;               // under every seed
    std::set<std::string> rules{};       // published ones that call it wrong, under any seed
    std::set<std::string> judged_red{};  // metrics that were WRONG in the cases that turned red
  };
  std::map<std::string, Fault> faults;  // by id
};

struct FaultOptions {
  Device device{};
  std::uint64_t seed = 0;
  int seeds = 1;                        // each fault must be seen under each
  bool all = false;                     // all suites run, not those alone that must turn red; the case says which did
  std::shared_ptr<FaultTally> tally{};  // null: nobody asks
};
// Ids are "Faults.ID/model/dtype/device".
std::vector<Case> FaultCases(const FaultOptions& options);

}  // namespace assay
