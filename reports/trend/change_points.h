// Where the level of a series of nights changed. Pure: numbers in, changes out.
#pragma once

#include <cstddef>
#include <vector>

#include "reports/gate/statistics.h"  // MedianOf, for those who describe levels

namespace assay {

struct ChangeRule {
  std::size_t segment = 3;  // fewest values on either side of a change
  double magnitude = 0.01;  // least change that counts, as a fraction of the level before
  // Of Student's t at the best split, two-sided, in a series of up to kCalibratedNights values; the level of a longer
  // one is less in proportion, so that a steady series is flagged about as rarely however long it is.
  double p = 1e-5;
};
inline constexpr double kCalibratedNights = 50;

struct Change {
  std::size_t at = 0;            // the first value of the new level
  double before = 0, after = 0;  // means of the levels on its two sides, up to the next changes
  double change = 0;             // (after - before) / |before|; infinite where that was 0
  double p = 1;                  // of the split
};

// The changes of `values`, in order. Candidates are the best splits of seeded intervals of all lengths (Kovács et al.,
// Biometrika 2023), so that a level that came and went is found too; of what remains each is put to the test again
// between its neighbours. An excursion of one or two values is no change: values farther from the median of their
// neighbours than noise explains are replaced by it before anything is tested (Hampel's filter).
// Throws std::invalid_argument for a number that is not finite.
std::vector<Change> FindChanges(const std::vector<double>& values, const ChangeRule& rule = {});

// `values` as they are tested: without excursions.
std::vector<double> WithoutExcursions(const std::vector<double>& values);

// The spread of one value about its level, robustly and whatever the level does: from differences of neighbours.
double NoiseOf(const std::vector<double>& values);

}  // namespace assay
