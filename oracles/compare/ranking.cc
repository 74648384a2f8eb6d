#include "oracles/compare/ranking.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/base/check.h"
#include "oracles/compare/tensors.h"

namespace assay {
namespace {

// The largest value, or `least` where none is larger. Lanes, because a compiler keeps the order of floats: one chain of
// comparisons would wait for each of them.
template <class Real>
Real Largest(std::span<const Real> values, Real least) {
  constexpr std::size_t kLanes = 16;
  std::array<Real, kLanes> lanes;
  lanes.fill(least);
  std::size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes)
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      lanes[lane] = values[i + lane] > lanes[lane] ? values[i + lane] : lanes[lane];
  for (; i < values.size(); ++i) lanes[0] = values[i] > lanes[0] ? values[i] : lanes[0];
  return *std::max_element(lanes.begin(), lanes.end());
}

template <class Real>
int LowestArgMax(std::span<const Real> logits) {
  Require(!logits.empty(), "argmax of no logits");
  constexpr std::size_t kBlock = 2048;
  Real largest = -std::numeric_limits<Real>::infinity();
  std::size_t block = 0;  // the first that holds it
  for (std::size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const Real found = Largest(logits.subspan(begin, std::min(kBlock, logits.size() - begin)), largest);
    if (found > largest) largest = found, block = begin;
  }
  const auto at = std::find(logits.begin() + static_cast<std::ptrdiff_t>(block), logits.end(), largest);
  return at == logits.end() ? 0 : static_cast<int>(at - logits.begin());
}

double LogSumExp(std::span<const double> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

// Index of the neighbour that explains why the candidate chose `token`, or -1.
int Explainer(double own_distance, std::span<const double> candidate, int token, Neighbours neighbours) {
  for (std::size_t n = 0; n < neighbours.size(); ++n)
    if (ArgMax(neighbours[n]) == token && Compare(neighbours[n], candidate).rms < own_distance)
      return static_cast<int>(n);
  return -1;
}

}  // namespace

int ArgMax(std::span<const double> logits) { return LowestArgMax(logits); }
int ArgMax(std::span<const float> logits) { return LowestArgMax(logits); }

std::vector<int> TopK(std::span<const double> logits, int k) {
  std::vector<int> order;
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (!std::isnan(logits[i])) order.push_back(static_cast<int>(i));
  const auto kept = std::min<std::size_t>(order.size(), static_cast<std::size_t>(std::max(k, 0)));
  const auto before = [&](int a, int b) {
    const double x = logits[a], y = logits[b];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(), before);
  order.resize(kept);
  return order;
}

double TopGap(std::span<const double> logits) {
  const std::vector<int> best = TopK(logits, 2);
  if (best.size() < 2) return std::numeric_limits<double>::infinity();
  return logits[best[0]] - logits[best[1]];
}

bool Decides(std::span<const double> reference, const LogitTolerance& tolerance) {
  const std::vector<int> best = TopK(reference, tolerance.top_k + 1);
  if (std::ssize(best) <= tolerance.top_k) return true;
  return reference[best.front()] - reference[best.back()] > 2 * tolerance.tie;
}

Judgement JudgeArgmax(std::span<const double> reference, std::span<const double> candidate,
                      const LogitTolerance& tolerance, const Place& where, Neighbours neighbours) {
  const Difference d = Compare(reference, candidate);
  const Bound bound{0, 2 * tolerance.tie, tolerance.max_abs.from};
  if (d.count == 0 || d.reference_nonfinite > 0)
    return Void("argmax", bound,
                fmt::format("no reference decision ({} logits, {} not finite)", d.count, d.reference_nonfinite));
  const int a = ArgMax(reference), b = ArgMax(candidate);
  std::string detail, fault;
  if (a != b || d.nonfinite > 0) {
    const std::vector<int> best = TopK(reference, tolerance.top_k);
    const int explainer = Explainer(d.rms, candidate, b, neighbours);
    if (d.nonfinite > 0)
      fault = fmt::format("{} candidate logits are not finite", d.nonfinite);
    else if (std::find(best.begin(), best.end(), b) == best.end())
      fault = fmt::format("not among the reference's best {}", tolerance.top_k);
    else if (explainer >= 0)
      fault = fmt::format("it is the answer of neighbour {}, which these logits fit better", explainer);
    detail = fmt::format("expected token {}, found {}; the reference's gap is {:.3g}, a tie is at most {:.3g}", a, b,
                         reference[a] - reference[b], bound.hard);
  }
  Judgement j = Judged("argmax", reference[a] - reference[b], bound, where.With("token", b), detail, Verdict::kTieFlip);
  j.soft_probability = FlipProbability(TopGap(reference), tolerance.sigma);
  if (!fault.empty()) j.verdict = Verdict::kWrong, j.worst = where.With("token", b), j.detail = detail;
  j.fault = std::move(fault);
  return j;
}

double FlipProbability(double gap, double sigma) {
  if (sigma <= 0) return 0;
  return 0.5 * std::erfc(gap / (2 * sigma));  // Phi(-z) = erfc(z / sqrt 2) / 2 with z = gap / (sigma sqrt 2)
}

double KlDivergence(std::span<const double> reference, std::span<const double> candidate) {
  Require(reference.size() == candidate.size() && !reference.empty(), "KL divergence of {} and {} logits",
          reference.size(), candidate.size());
  const double p_norm = LogSumExp(reference), q_norm = LogSumExp(candidate);
  double kl = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double log_p = reference[i] - p_norm;
    kl += std::exp(log_p) * (log_p - (candidate[i] - q_norm));
  }
  return std::max(kl, 0.0);
}

}  // namespace assay
