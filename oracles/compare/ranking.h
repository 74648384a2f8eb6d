// Decisions read off logits: argmax with lowest-index ties, whether a different argmax is a tie or a fault, and how far
// two distributions are apart. Pure functions.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "oracles/compare/tolerance.h"
#include "oracles/verdict/verdict.h"

namespace assay {

// Lowest index of the largest value; NaN never wins; 0 when all are NaN. Throws InputError when empty.
int ArgMax(std::span<const double> logits);
int ArgMax(std::span<const float> logits);
// The k best, best first, ties to the lower index. Without NaN.
std::vector<int> TopK(std::span<const double> logits, int k);
// Best minus second best; infinity for a vocabulary of one.
double TopGap(std::span<const double> logits);

// Whether a row's argmax can be judged: no more than top_k tokens stand within the 2 eps that noise alone may turn
// round. Where more do, neither an argmax that agrees nor one that differs says anything.
bool Decides(std::span<const double> reference, const LogitTolerance& tolerance);

// The reference logits of other rows of the same step, against which a flip is checked for leakage.
using Neighbours = std::span<const std::span<const double>>;

// The decision rule. MATCH when both argmaxes agree. TIE_FLIP when the reference prefers its own by at most 2 eps, the
// candidate's token is among the reference's `top_k`, and no neighbour explains it: a neighbour explains it when its
// reference argmax is that token and its logits are closer to the candidate's than the row's own are. Else WRONG. value
// = the reference's gap; nothing is allowed softly, 2 eps hard.
Judgement JudgeArgmax(std::span<const double> reference, std::span<const double> candidate,
                      const LogitTolerance& tolerance, const Place& where, Neighbours neighbours = {});

// P(noise of standard deviation sigma on each of two logits reverses a gap) = Phi(-gap / (sigma sqrt 2)).
double FlipProbability(double gap, double sigma);

// KL(softmax(reference) || softmax(candidate)) in nats. If every logit is within eps it is at most eps^2 / 2
// (Hoeffding).
double KlDivergence(std::span<const double> reference, std::span<const double> candidate);

}  // namespace assay
