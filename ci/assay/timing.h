// What is timed together: the benchmarks of one target, as `assay bench` and plans list them.
#pragma once

#include <string>
#include <vector>

#include "bench/cases/cases.h"
#include "reports/merge/plan.h"
#include "suites/support/case.h"

namespace assay {

struct TimingGroup {
  Target target;
  std::vector<BenchCase> rows;
};

// `inputs.what` may hold wildcards. Throws InputError.
std::vector<TimingGroup> TimingGroupsOf(Workbench& bench, const SuiteInputs& targets, const TimingInputs& inputs);

// The cases that cover the group, each once.
std::vector<Case> CoveringCases(Workbench& bench, const TimingGroup& group);

}  // namespace assay
