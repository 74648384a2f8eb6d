// The parity of two kept reports: what a newer one lost.
#pragma once

#include <string>
#include <vector>

#include "reports/format/report.h"

namespace assay {

struct ParityChanges {
  std::vector<std::string> broken;    // passed, and fails or errs now
  std::vector<std::string> lost;      // passed, and is skipped or absent now; or the newer report is not complete
  std::vector<std::string> crept;     // headroom that rose by more than its spread
  std::vector<std::string> coverage;  // cases whose argmax is judged on fewer rows
  std::vector<std::string> added;     // not in the older report: said, never judged
  std::vector<std::string> mended;    // did not pass and does now
  std::vector<std::string> slower;    // rows of comparable reports: may warn alone, since they are not paired
  std::size_t compared = 0;           // cases that pass in both
  std::string verdict;  // "PASS", "FAIL" (broken, crept, coverage), "INCOMPLETE" (lost, nothing to compare)
};

// A headroom crept when it rose by more than kLeastCreep of the tolerance and by more than kSpreadsOfCreep Huberised
// spreads beyond what the headrooms of the same suite, case and metric did; where all of them rose alike the rise of
// the group, its Hodges-Lehmann estimate, is held against kLeastCreep itself.
inline constexpr double kLeastCreep = 0.05;
inline constexpr double kSpreadsOfCreep = 3;
// From here on a stored speed is worth a warning.
inline constexpr double kWarnedSlowdown = 0.05;

// From what is left of the lists.
void SetVerdict(ParityChanges* changes);

ParityChanges CompareParity(const Report& older, const Report& newer);

}  // namespace assay
