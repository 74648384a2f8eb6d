// How much error is allowed, and where the number comes from: a stated figure, or a calibrated twin (the simplest
// correct implementation at the engine's storage precision) measured against the float64 reference.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "oracles/verdict/tally.h"
#include "oracles/verdict/verdict.h"

namespace assay {

// A factor on the twin's error that another correct order of summation may use up; FlashAttention's figure.
inline constexpr double kKappa = 2.0;
// A flipped token must be among the reference's best so many.
inline constexpr int kTopK = 10;

// Nearest-rank quantile: the smallest value with at least `p` of all values at or below it. Throws InputError when
// empty.
double Quantile(std::vector<double> values, double p);

// The twin's errors over a calibration set, each figure over rows (one row: the logits after one token).
struct Calibration {
  int rows = 0;
  double max = 0;            // Q_0.999 of the row's largest absolute error
  double rms = 0;            // Q_0.999 of the row's RMS error
  double typical_rms = 0;    // median of the row's RMS error: sigma of the flip budget
  double kl = 0;             // Q_0.999 of KL(reference || twin)
  double largest = 0;        // the largest absolute error of all: what the twin itself needs
  double reference_max = 0;  // largest |logit| of the reference
  std::string provenance;    // weights, operand type, seed, number of rows
};

// Collects the rows of a calibration set.
class Calibrator {
 public:
  // Throws InputError when either side is not finite: nothing can be derived from it.
  void Add(std::span<const double> reference, std::span<const double> twin);
  // Throws InputError without rows.
  Calibration Finish(std::string provenance) const;

 private:
  std::vector<double> max_, rms_, kl_;
  double reference_max_ = 0;
};

// Everything a row of logits is judged by.
struct LogitTolerance {
  Bound max_abs;       // of any logit before the softcap
  Bound rms;           // over a row
  double tie = 0;      // eps of the decision rule: an argmax may differ where the reference's own gap is at most 2 eps
  double sigma = 0;    // noise of one logit, for the expected number of flips
  double mean_kl = 0;  // bound of the mean KL divergence
  int top_k = kTopK;

  // For a row at which the twin itself is `twin_error_ratio` (>= 1) times as far from the reference as the calibration
  // found it to be: the arithmetic, not the program, loses digits there. The hard bounds grow by that factor, to
  // kappa^2 times the twin's error at the row; up to there is DRIFT, counted against its budget.
  LogitTolerance At(double twin_error_ratio) const;

  // What two correct computations of one row may differ by in any logit: each may be off by max_abs.
  Bound Between() const;
  // How far below the best logit another may lie that one of them chooses: one tie for each of two logits, on each
  // side.
  double TieBetween() const;

  // Every logit within `bound`; argmax equal wherever the reference's gap exceeds `gap`.
  static LogitTolerance Fixed(double bound, double gap, const std::string& from);
  // kappa times the twin's quantiles; the hard bound is kappa times that again. Never less than `resolution` x the
  // largest reference logit: two correct float32 summation orders differ by some tens of units in the last place.
  static LogitTolerance From(const Calibration& calibration, double resolution = 0x1p-19);
};

}  // namespace assay
