// Plans made of a selection, and the cases that a plan names.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ci/assay/commands.h"
#include "ci/assay/timing.h"
#include "reports/merge/plan.h"
#include "suites/support/case.h"

namespace assay {

// Throws InputError, and ReportError for a report of durations that cannot be read.
Plan MakePlan(const RunArguments& arguments, const PlanArguments& plan, const Invocation& invocation,
              const CaseLister& list);

// What a plan's selection lists here and now. Cases that cover what is timed are run with it, and not among the others.
struct Listing {
  std::vector<Case> cases;
  std::vector<TimingGroup> timing;
};
Listing ListingOf(const PlanInputs& inputs, Workbench& bench, const CaseLister& list);
// Of every plan of this build the same population: the ids of all that is listed.
std::vector<std::string> PopulationOf(const PlanInputs& inputs, const CaseLister& list);

// Throws InputError unless this build made the plan.
void RequireOwnPlan(const Plan& plan, const std::string& file);

}  // namespace assay
