// The gate's rule: which change of a cell's time is a regression, decided on rounds of paired processes. Pure.
//
// Screen: every cell on a few rounds. One whose slowdown is shown to be small passes; the others are confirmed on fresh
// rounds, looked at several times. Control of the whole run: the sign-flip test is exact, and its level is shared among
// the cells that are confirmed and the looks at each (Bonferroni), which is legitimate because those cells were chosen
// on rounds that the test does not see. So the chance of any false regression in a run is at most `alpha`.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace assay {

// Changes are fractions of the baseline: 0.03 is 3 % slower.
struct GateRule {
  double alpha = 0.008;     // chance of any false regression in a run
  double threshold = 0.03;  // a pass shows that a cell is less than this slower
  bool automatic = false;   // each cell's threshold follows from its spread in the screen; at most `threshold`
  int screen_rounds = 6;    // of every cell
  std::vector<int> looks = {8, 12, 16, 24};  // fresh rounds of a cell that the screen did not pass, ascending
  double confidence = 0.975;                 // of the limit that a pass rests on, one-sided

  // Below this a slowdown is none of the gate's business: half the threshold.
  double MinimumEffect(double of_threshold) const { return of_threshold / 2; }
  // A pass has an estimate below this: a third of the threshold.
  double PassEstimate(double of_threshold) const { return of_threshold / 3; }
};

// The least threshold that follows from a spread, and how many spreads of one round a threshold is. A cell of which
// single rounds scatter by 0.3 % is gated at 1 %, as is any that is quieter: over days, quiet cells moved by that.
inline constexpr double kLeastThreshold = 0.01;
inline constexpr double kSpreadsOfThreshold = 3;

// Timed repeats of a row that a process needs for its median to count.
inline constexpr int kLeastSamples = 20;

// Of spoilt rounds, at most a quarter of those drawn are drawn anew: 2 beside 6 that count.
int MostSpoilt(int rounds);

// Empty, or what is wrong with the rule: a level outside (0, 0.5), looks that do not ascend, ...
std::string_view RuleProblem(const GateRule& rule);

// Keeps the looks that `rounds` reach; without one, a single look there.
void LimitRounds(int rounds, GateRule* rule);

enum class CellVerdict : std::uint8_t {
  kPass,          // shown to be less than the threshold slower
  kRegression,    // shown to be slower, by at least the minimum effect
  kInconclusive,  // neither, after all rounds
  kUnstable,      // more than a quarter of its rounds were spoilt
  kMissing,       // one side has no speed
};
inline constexpr CellVerdict kCellVerdicts[] = {CellVerdict::kPass, CellVerdict::kRegression,
                                                CellVerdict::kInconclusive, CellVerdict::kUnstable,
                                                CellVerdict::kMissing};
std::string_view Name(CellVerdict verdict);  // "pass", "regression", "inconclusive", "unstable", "missing"
std::optional<CellVerdict> CellVerdictFromName(std::string_view name);

// What rounds say of a cell. Changes are fractions of the baseline.
struct CellDecision {
  std::optional<CellVerdict> verdict;      // nothing: more rounds are needed
  int rounds = 0;                          // that it rests on
  double threshold = 0;                    // of this cell
  double estimate = 0, low = 0, high = 0;  // Hodges-Lehmann and its two-sided interval (95 % at confidence 0.975)
  double spread = 0;                       // Huberised, of one round
  double p = 1;                            // of the sign-flip test for slower; 1 where the estimate made it needless
  double level = 0;                        // that p is held against; 0 in the screen
  double detectable = 0;                   // minimum detectable effect: see DetectableEffect
  bool faster = false;  // the limit on this side says so, by at least the minimum effect: never gated
};

// Of the first rounds of a cell: pass, or nothing (it is to be confirmed). `ratios` are ln(candidate / baseline) of the
// rounds that count; exactly rule.screen_rounds.
CellDecision Screen(const std::vector<double>& ratios, const GateRule& rule);

// The threshold of a cell, from the rounds of its screen.
double ThresholdOf(const std::vector<double>& screen, const GateRule& rule);

// Of fresh rounds of a cell, the first that decides of the looks that they reach. `family` is how many cells are
// confirmed in the run. Nothing while the last look is not reached; inconclusive after it.
CellDecision Confirm(const std::vector<double>& fresh, double threshold, std::size_t family, const GateRule& rule);

// The slowdown that the whole rule finds 95 times of 100 in a cell of this spread (of one round) when `family` cells
// are confirmed: the test's critical value, or the minimum effect if that is more, and a one-sided 97.5 % quantile of
// the estimate's noise at the last look; the other 2.5 of 100 may pass at an earlier one. By Student's t, whose tails
// are a little longer than those of the sign-flip test. A simulation holds the formula to its promise.
double DetectableEffect(double spread, double threshold, std::size_t family, const GateRule& rule);

// How cells moved in the screen, whatever became of them: a harness that favours one side shows here.
struct Symmetry {
  std::int64_t slower = 0, faster = 0;  // cells whose estimate is beyond the estimate of a pass, either way
  // Two-sided, of the sum of all cells' mean ratios over their thresholds when the sides of whole rounds are exchanged:
  // the cells of a round ran in the same two processes and move together, so they are no independent tosses. All
  // exchanges of up to ten rounds, 1024 of more.
  double p = 1;
};
// `screens`: by cell, ln(candidate / baseline) of every screen round in the order of rounds, NaN where it does not
// count.
Symmetry SymmetryOf(const std::vector<std::vector<double>>& screens, const GateRule& rule);

}  // namespace assay
