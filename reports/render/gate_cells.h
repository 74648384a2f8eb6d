// Cells of a gate for readers: in order, with the words for what was decided.
#pragma once

#include <string>
#include <vector>

#include "reports/format/report.h"

namespace assay {

struct CellRow {
  const GateCell* cell;
  CellDecision decision;
  std::string verdict;  // "pass", "pass, faster", "missing: the candidate has no such row"
  std::string cause;    // "+3.41 % (+2.90 to +3.92) in 6+12 rounds, limit 3.00 %, p 0.00024"; why there is no value
};
// Worst first: missing, regressions, unstable, inconclusive, passed; each by how much slower. `record` must outlive it.
std::vector<CellRow> CellRows(const GateRecord& record, const GateDecisions& decisions);

// What a test runner would call it: a regression fails, a cell without an answer errs.
Status StatusOf(CellVerdict verdict);

std::string Change(double fraction);  // "+3.41 %"
std::string Share(double fraction);   // "3.41 %"

}  // namespace assay
