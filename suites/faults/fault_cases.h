// The catalogue as cases: each plants its fault, runs the suites that must see it, and passes when they turned red and
// the fault was in effect. What fails is a survivor.
#pragma once

#include <cstdint>
#include <vector>

#include "suites/faults/catalogue.h"
#include "suites/support/case.h"

namespace assay {

struct FaultOptions {
  Device device{};
  std::uint64_t seed = 0;
  int seeds = 1;     // each fault must be seen under each
  bool all = false;  // all suites run, not those alone that must turn red; the case says which did
};
// Ids are "Faults.ID/model/dtype/device".
std::vector<Case> FaultCases(const FaultOptions& options);

}  // namespace assay
