#include "reports/gate/statistics.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace assay {
namespace {

constexpr std::size_t kMostSigns = 40;
constexpr double kClip = 1.5;          // sizes beyond so many medians count as that
constexpr double kHuber = 1.5;         // Huber's k
constexpr int kScaleIterations = 200;  // each takes a constant share of what is left
constexpr double kScaleTolerance = 1e-9;

void Check(const std::vector<double>& values, std::size_t least) {
  if (values.size() < least) throw std::invalid_argument("too few numbers for a statistic");
  if (!std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); }))
    throw std::invalid_argument("a number of a statistic is not finite");
}

// All sums of sizes[begin, end) with every choice of signs, ascending. Adding a size merges two sorted lists, which
// keeps the whole linear in what it returns.
std::vector<double> SignedSums(const std::vector<double>& sizes, std::size_t begin, std::size_t end) {
  std::vector<double> sums = {0}, merged;
  for (std::size_t i = begin; i < end; ++i) {
    std::vector<double> up = sums, down = sums;
    for (double& sum : up) sum += sizes[i];
    for (double& sum : down) sum -= sizes[i];
    merged.resize(sums.size() * 2);
    std::merge(up.begin(), up.end(), down.begin(), down.end(), merged.begin());
    sums.swap(merged);
  }
  return sums;
}

// E[min(Z^2, k^2)] of a standard normal Z.
double NormalMean() {
  const boost::math::normal normal;
  const double tail = boost::math::cdf(boost::math::complement(normal, kHuber));
  return 1 - 2 * tail - 2 * kHuber * boost::math::pdf(normal, kHuber) + 2 * kHuber * kHuber * tail;
}

}  // namespace

double MedianOf(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

double SignFlipP(const std::vector<double>& ratios) {
  Check(ratios, 1);
  if (ratios.size() > kMostSigns) throw std::invalid_argument("too many numbers for an exact sign-flip test");
  std::vector<double> sizes;
  for (const double ratio : ratios) sizes.push_back(std::abs(ratio));
  const double most = kClip * MedianOf(sizes);
  double observed = 0, scale = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    sizes[i] = std::min(sizes[i], most);
    observed += std::copysign(sizes[i], ratios[i]);
    scale += sizes[i];
  }
  // Sums of the same numbers in another order differ in their last bits: the observed one must count itself.
  const double least = observed - 1e-12 * scale;
  const std::size_t half = sizes.size() / 2;
  const std::vector<double> low = SignedSums(sizes, 0, half), high = SignedSums(sizes, half, sizes.size());
  std::size_t first = high.size();
  double count = 0;
  for (const double sum : low) {
    while (first > 0 && sum + high[first - 1] >= least) --first;
    count += static_cast<double>(high.size() - first);
  }
  return count / std::ldexp(1.0, static_cast<int>(sizes.size()));
}

double HodgesLehmann(const std::vector<double>& ratios) {
  Check(ratios, 1);
  std::vector<double> means;
  means.reserve(ratios.size() * (ratios.size() + 1) / 2);
  for (std::size_t i = 0; i < ratios.size(); ++i)
    for (std::size_t j = i; j < ratios.size(); ++j) means.push_back((ratios[i] + ratios[j]) / 2);
  return MedianOf(std::move(means));
}

double HuberScale(const std::vector<double>& ratios, double center) {
  Check(ratios, 2);
  double square = 0;
  for (const double ratio : ratios) square += (ratio - center) * (ratio - center);
  const double freedom = static_cast<double>(ratios.size() - 1) * NormalMean();
  square /= freedom;  // not below the solution, which is approached from there
  for (int i = 0; i < kScaleIterations && square > 0; ++i) {
    double sum = 0;
    for (const double ratio : ratios) sum += std::min((ratio - center) * (ratio - center), kHuber * kHuber * square);
    const double next = sum / freedom;
    if (square - next <= kScaleTolerance * square) break;
    square = next;
  }
  return std::sqrt(square);
}

double EstimateScale(double scale, std::size_t count) {
  return scale * std::sqrt(std::numbers::pi / 3 / static_cast<double>(count));
}

double StudentQuantile(double probability, double degrees) {
  if (!(probability > 0 && probability < 1) || !(degrees > 0))
    throw std::invalid_argument("a quantile needs a probability between 0 and 1 and degrees of freedom");
  return boost::math::quantile(boost::math::students_t(degrees), probability);
}

bool Toss(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t bits = seed + (index + 1) * 0x9e3779b97f4a7c15u;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
  return ((bits ^ (bits >> 31)) >> 63) != 0;
}

}  // namespace assay
