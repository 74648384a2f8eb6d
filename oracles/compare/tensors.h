// Element-wise comparison of arrays: by error, and bit by bit. Non-finite values are counted first and never pass
// through a maximum, where a NaN would vanish. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "oracles/verdict/verdict.h"

namespace assay {

struct Difference {
  std::size_t count = 0;
  std::size_t nonfinite = 0;            // NaN or infinite in the candidate
  std::size_t first_nonfinite = 0;      // lowest such index; meaningless when there is none
  std::size_t reference_nonfinite = 0;  // an oracle without an answer
  double max_abs = 0;                   // over the elements finite on both sides
  std::size_t worst = 0;                // lowest index of max_abs
  double rms = 0;
  double reference_max = 0;  // largest finite |reference|
};

// Throws InputError when the sizes differ.
Difference Compare(std::span<const double> reference, std::span<const double> candidate);

enum class Measure { kAbsolute, kRelative };  // relative: to the largest |reference| of the array

// VOID when there is nothing to compare or the reference itself is not finite; WRONG when the candidate is not finite;
// else the maximal error judged by `bound`, DRIFT between its soft and hard value (with the probability of a calibrated
// quantile). `where` is the array's place; the element is added to it.
Judgement JudgeTensor(std::span<const double> reference, std::span<const double> candidate, const Bound& bound,
                      std::string metric, const Place& where, Measure measure = Measure::kAbsolute);

// Steps between two floats on the ordered line of float32 bit patterns: 0 means the same bits but for +0 and -0, which
// are 1 apart.
std::int64_t UlpDistance(float a, float b);

// 0 ulp: every bit pattern equal, NaN payloads included. VOID when empty, WRONG at the first difference.
Judgement JudgeBits(std::span<const float> expected, std::span<const float> found, const Place& where);
Judgement JudgeBits(std::span<const double> expected, std::span<const double> found, const Place& where);

// The values as float64: what comparisons take.
std::vector<double> Widen(std::span<const float> values);

}  // namespace assay
