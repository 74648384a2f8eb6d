// Statistics of paired log-ratios: what a gate decides with. Pure: numbers in, numbers out.
//
// A log-ratio is ln(candidate / baseline) of a pair of processes; positive is slower. Functions throw
// std::invalid_argument for too few numbers and for numbers that are not finite.
#pragma once

#include <cstdint>
#include <vector>

namespace assay {

// One-sided p of the sign-flip test (Fisher's randomisation test of paired differences): on how many of all 2^n
// choices of signs the sum is at least the one observed. Exact whatever the noise is like, as long as the order within
// each pair was drawn by a coin: then a pair's ratio is as likely as its inverse where nothing changed. The sum is of
// ratios clipped at one and a half of their median size, so that one outlier does not outweigh all others; clipping
// looks at sizes only, which leaves the test exact. At most 40 numbers: both halves are enumerated, sorted and counted
// together (Horowitz and Sahni's split).
double SignFlipP(const std::vector<double>& ratios);

// The mean of the two in the middle where their count is even; 0 of none.
double MedianOf(std::vector<double> values);

// The median of the means of all pairs, each number with itself included (Hodges and Lehmann 1963).
double HodgesLehmann(const std::vector<double>& ratios);

// The spread of one number about `center`: Huber's Proposal 2 with k = 1.5, scaled so that it estimates the standard
// deviation of normal noise; n - 1 degrees of freedom. 0 where the numbers are equal.
double HuberScale(const std::vector<double>& ratios, double center);

// The spread of a Hodges-Lehmann estimate of `count` numbers of which one has this scale: sqrt(pi / 3 / count), the
// estimate's asymptotic efficiency under normal noise.
double EstimateScale(double scale, std::size_t count);

// The quantile of Student's t: probability and degrees of freedom.
double StudentQuantile(double probability, double degrees);

// A coin whose tosses are the same on every machine (splitmix64 by Steele, Lea and Flood 2014): toss `index` of the
// coin with this seed.
bool Toss(std::uint64_t seed, std::uint64_t index);

}  // namespace assay
