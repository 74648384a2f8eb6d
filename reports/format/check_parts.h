// The parts of ConsistencyProblems: what a report of the right shape may still get wrong.
#pragma once

#include <string>
#include <vector>

#include "reports/format/report.h"

namespace assay {

using Problems = std::vector<std::string>;

void CheckCases(const Report& report, Problems* problems);
void CheckRows(const Report& report, Problems* problems);
void CheckEnvironment(const Report& report, Problems* problems);

}  // namespace assay
