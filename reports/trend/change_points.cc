#include "reports/trend/change_points.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace assay {
namespace {

constexpr double kNormal = 1.4826;         // median absolute deviation to standard deviation
constexpr double kFar = 4;                 // standard deviations that noise explains
constexpr std::size_t kNeighbours = 2;     // on each side
constexpr double kLengths = 0.7071067811;  // of seeded intervals, from one to the next

struct Interval {
  std::size_t begin = 0, end = 0;
};
struct Split {
  Interval of;
  std::size_t at = 0;
  double before = 0, after = 0, p = 1;
};

class Sums {
 public:
  explicit Sums(const std::vector<double>& values) : sums_{0}, squares_{0} {
    // About their middle, so that differences of sums of squares keep their digits.
    const double middle = values.empty() ? 0 : values[values.size() / 2];
    middle_ = middle;
    for (const double value : values) {
      sums_.push_back(sums_.back() + (value - middle));
      squares_.push_back(squares_.back() + (value - middle) * (value - middle));
    }
  }
  double Mean(Interval of) const { return middle_ + Offset(of); }
  // Sum of squares about the mean.
  double Scatter(Interval of) const {
    const double mean = Offset(of);
    const double sum = squares_[of.end] - squares_[of.begin] - mean * mean * static_cast<double>(of.end - of.begin);
    const double least = 1e-13 * squares_.back();  // what is left of equal values
    return sum > least ? sum : 0;
  }

 private:
  double Offset(Interval of) const {
    return (sums_[of.end] - sums_[of.begin]) / static_cast<double>(of.end - of.begin);
  }
  std::vector<double> sums_, squares_;
  double middle_ = 0;
};

double TwoSidedP(double t, double degrees) {
  if (!std::isfinite(t)) return 0;
  return 2 * boost::math::cdf(boost::math::complement(boost::math::students_t(degrees), std::abs(t)));
}

// The split with the largest t of those that leave a segment on either side.
Split BestSplit(const Sums& sums, Interval of, std::size_t segment) {
  Split best{.of = of, .at = of.begin};
  const std::size_t count = of.end - of.begin;
  if (count < 2 * segment) return best;
  double most = 0;
  const double degrees = static_cast<double>(count - 2);
  for (std::size_t at = of.begin + segment; at + segment <= of.end; ++at) {
    const double left = static_cast<double>(at - of.begin), right = static_cast<double>(of.end - at);
    const double before = sums.Mean({of.begin, at}), after = sums.Mean({at, of.end});
    if (before == after) continue;
    const double variance = (sums.Scatter({of.begin, at}) + sums.Scatter({at, of.end})) / degrees;
    const double t = std::abs(after - before) / std::sqrt(variance * (1 / left + 1 / right));
    if (t <= most) continue;
    most = t;
    best.at = at;
    best.before = before;
    best.after = after;
  }
  if (most > 0) best.p = TwoSidedP(most, degrees);
  return best;
}

double Relative(double before, double after) {
  if (before == after) return 0;
  if (before == 0) return std::copysign(std::numeric_limits<double>::infinity(), after);
  return (after - before) / std::abs(before);
}

bool Counts(const Split& split, const ChangeRule& rule, double level) {
  return split.p < level && std::abs(Relative(split.before, split.after)) >= rule.magnitude;
}

std::vector<Interval> SeededIntervals(std::size_t count, std::size_t least) {
  std::vector<Interval> intervals;
  for (double length = static_cast<double>(count); length >= static_cast<double>(least); length *= kLengths) {
    const auto pieces = static_cast<std::size_t>(2 * std::ceil(static_cast<double>(count) / length) - 1);
    const double step = pieces > 1 ? (static_cast<double>(count) - length) / static_cast<double>(pieces - 1) : 0;
    for (std::size_t i = 0; i < pieces; ++i) {
      const double begin = step * static_cast<double>(i);
      intervals.push_back(
          {static_cast<std::size_t>(begin), std::min(count, static_cast<std::size_t>(std::ceil(begin + length)))});
    }
  }
  return intervals;
}

// The smallest p first; every candidate that holds a place that was taken goes, and the two sides of the place are new
// candidates.
std::vector<std::size_t> Candidates(const Sums& sums, std::size_t count, const ChangeRule& rule, double level) {
  std::vector<Split> splits;
  const auto offer = [&](Interval of) {
    const Split split = BestSplit(sums, of, rule.segment);
    if (Counts(split, rule, level)) splits.push_back(split);
  };
  for (const Interval& of : SeededIntervals(count, 2 * rule.segment)) offer(of);
  std::vector<std::size_t> places;
  std::vector<Interval> open = {{0, count}};
  while (!splits.empty()) {
    const auto best =
        std::min_element(splits.begin(), splits.end(), [](const Split& a, const Split& b) { return a.p < b.p; });
    const std::size_t at = best->at;
    places.push_back(at);
    std::erase_if(splits, [&](const Split& split) { return split.of.begin < at && at < split.of.end; });
    const auto within =
        std::find_if(open.begin(), open.end(), [&](const Interval& of) { return of.begin < at && at < of.end; });
    if (within == open.end()) continue;
    const Interval left{within->begin, at}, right{at, within->end};
    *within = left;
    open.push_back(right);
    offer(left);
    offer(right);
  }
  std::sort(places.begin(), places.end());
  return places;
}

}  // namespace

double NoiseOf(const std::vector<double>& values) {
  std::vector<double> differences;
  for (std::size_t i = 1; i < values.size(); ++i) differences.push_back(std::abs(values[i] - values[i - 1]));
  return kNormal * MedianOf(std::move(differences)) / std::sqrt(2.0);
}

std::vector<double> WithoutExcursions(const std::vector<double>& values) {
  if (values.size() < 2 * kNeighbours + 1) return values;
  const double most = kFar * NoiseOf(values);
  std::vector<double> clean;
  for (std::size_t i = 0; i < values.size(); ++i) {
    // As many neighbours at the ends, where they are all on one side.
    const std::size_t first = std::min(i < kNeighbours ? 0 : i - kNeighbours, values.size() - 2 * kNeighbours - 1);
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(first);
    const double center = MedianOf({begin, begin + 2 * kNeighbours + 1});
    clean.push_back(std::abs(values[i] - center) > most ? center : values[i]);
  }
  return clean;
}

std::vector<Change> FindChanges(const std::vector<double>& values, const ChangeRule& rule) {
  if (!std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); }))
    throw std::invalid_argument("a value of a series is not finite");
  if (rule.segment < 1) throw std::invalid_argument("a segment needs a value");
  const std::size_t count = values.size();
  if (count < 2 * rule.segment || count < 3) return {};
  const double level = rule.p * std::min(1.0, kCalibratedNights / static_cast<double>(count));
  const Sums sums(WithoutExcursions(values));
  std::vector<std::size_t> places = Candidates(sums, count, rule, level);
  // Between its neighbours each is looked for again; the weakest of those that no longer count goes, until all do.
  while (true) {
    std::vector<Split> splits;
    for (std::size_t i = 0; i < places.size(); ++i) {
      const Interval of{i == 0 ? 0 : places[i - 1], i + 1 == places.size() ? count : places[i + 1]};
      splits.push_back(BestSplit(sums, of, rule.segment));
      places[i] = splits.back().at;
    }
    std::size_t weakest = splits.size();
    for (std::size_t i = 0; i < splits.size(); ++i)
      if (!Counts(splits[i], rule, level) && (weakest == splits.size() || splits[i].p >= splits[weakest].p))
        weakest = i;
    if (weakest < splits.size()) {
      places.erase(places.begin() + static_cast<std::ptrdiff_t>(weakest));
      continue;
    }
    std::vector<Change> changes;
    for (const Split& split : splits)
      changes.push_back({split.at, split.before, split.after, Relative(split.before, split.after), split.p});
    return changes;
  }
}

}  // namespace assay
