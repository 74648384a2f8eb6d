// Decisions read off logits: argmax with lowest-index ties, whether a different argmax is a tie or a fault, how many
// flips noise explains, and how far two distributions are apart. Pure functions.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "oracles/compare/tolerance.h"
#include "oracles/compare/verdict.h"

namespace assay {

// Lowest index of the largest value; NaN never wins; 0 when all are NaN. Throws InputError when empty.
int ArgMax(std::span<const double> logits);
int ArgMax(std::span<const float> logits);
// The k best, best first, ties to the lower index. Without NaN.
std::vector<int> TopK(std::span<const double> logits, int k);
// Best minus second best; infinity for a vocabulary of one.
double TopGap(std::span<const double> logits);

// Whether the reference decides this row: its best is more than 2 eps above its (top_k + 1)-th, so that noise cannot
// turn round more than the best top_k. True when there are no more than top_k tokens.
bool Decides(std::span<const double> reference, const LogitTolerance& tolerance);

// The reference logits of other rows of the same step, against which a flip is checked for leakage.
using Neighbours = std::span<const std::span<const double>>;

// The decision rule. MATCH when both argmaxes agree. TIE_FLIP when the reference prefers its own by at most 2 eps, the
// candidate's token is among the reference's `top_k`, and no neighbour explains it: a neighbour explains it when its
// reference argmax is that token and its logits are closer to the candidate's than the row's own are. Else WRONG. value
// = the reference's gap, bound = 2 eps.
Judgement JudgeArgmax(std::span<const double> reference, std::span<const double> candidate,
                      const LogitTolerance& tolerance, std::string_view where, Neighbours neighbours = {});

// P(noise of standard deviation sigma on each of two logits reverses a gap) = Phi(-gap / (sigma sqrt 2)).
double FlipProbability(double gap, double sigma);
// Smallest n with P(Poisson(mean) <= n) >= p.
int PoissonQuantile(double mean, double p);
// Observed events against Poisson Q_0.999 of the expected number: WRONG above. VOID without rows.
Judgement JudgeBudget(int observed, double expected, int rows, std::string_view metric);

// KL(softmax(reference) || softmax(candidate)) in nats. If every logit is within eps it is at most eps^2 / 2
// (Hoeffding).
double KlDivergence(std::span<const double> reference, std::span<const double> candidate);

}  // namespace assay
