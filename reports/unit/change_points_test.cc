// The change-point rule on made-up nights with fixed seeds: how often a steady series is flagged, how soon a step is
// found and where, and what is no change. A negative control shows that the simulation can tell a worse rule.
#include "reports/trend/change_points.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <random>
#include <stdexcept>
#include <string>

namespace assay {
namespace {

constexpr double kNoise = 0.007;

class Nights {
 public:
  explicit Nights(std::uint64_t seed) : random_(seed) {}
  double Uniform() { return (static_cast<double>(random_() >> 11) + 0.5) * 0x1p-53; }
  double Normal() { return std::sqrt(-2 * std::log(Uniform())) * std::cos(2 * std::numbers::pi * Uniform()); }
  double Laplace() {
    const double u = Uniform() - 0.5;
    return -std::copysign(std::log(1 - 2 * std::abs(u)), u) / std::numbers::sqrt2;
  }
  // Normal, and in one night of 20 ten times as wide.
  double Outlying() { return Normal() * (Uniform() < 0.05 ? 10 : 1); }
  double Night(double level, double noise) { return 4e-3 * level * std::exp(kNoise * noise); }

 private:
  std::mt19937_64 random_;
};

std::vector<double> Series(Nights* nights, int count, const std::function<double(int)>& level) {
  std::vector<double> values;
  for (int i = 0; i < count; ++i) values.push_back(nights->Night(level(i), nights->Normal()));
  return values;
}
double Steady(int) { return 1; }

double FlaggedShare(int series, int count, double (Nights::*noise)(), const ChangeRule& rule = {}) {
  Nights nights(7);
  int flagged = 0;
  for (int i = 0; i < series; ++i) {
    std::vector<double> values;
    for (int k = 0; k < count; ++k) values.push_back(nights.Night(1, (nights.*noise)()));
    flagged += !FindChanges(values, rule).empty();
  }
  const double share = static_cast<double>(flagged) / series;
  fmt::print("{} nights: {} of {} steady series flagged\n", count, flagged, series);
  return share;
}

TEST(ChangePoints, SteadySeriesAreNotFlagged) {
  EXPECT_LT(FlaggedShare(4000, 50, &Nights::Normal), 0.01);
  EXPECT_LT(FlaggedShare(4000, 50, &Nights::Laplace), 0.01);
  EXPECT_LT(FlaggedShare(4000, 50, &Nights::Outlying), 0.01);
  EXPECT_LT(FlaggedShare(400, 365, &Nights::Normal), 0.01);
}

// Whoever looks every night, and cries at the first change seen, cries about steady series as rarely.
TEST(ChangePoints, SteadySeriesAreNotFlaggedByLookingEveryNight) {
  Nights nights(8);
  int flagged = 0;
  constexpr int kSeries = 1000;
  for (int i = 0; i < kSeries; ++i) {
    const std::vector<double> values = Series(&nights, 50, Steady);
    for (int seen = 6; seen <= 50; ++seen)
      if (!FindChanges({values.begin(), values.begin() + seen}).empty()) {
        ++flagged;
        break;
      }
  }
  fmt::print("looking every night: {} of {} flagged\n", flagged, kSeries);
  EXPECT_LT(flagged, 0.01 * kSeries);
}

// The control: at the usual level every third steady series would have a change.
TEST(ChangePoints, AnUncalibratedLevelFlagsSteadySeries) {
  EXPECT_GT(FlaggedShare(500, 50, &Nights::Normal, {.magnitude = 0, .p = 0.01}), 0.2);
}

struct Found {
  int within = 0, near = 0, series = 0;
};
Found FindSteps(double step, int before, int nights_after) {
  Nights nights(9);
  Found found;
  for (found.series = 0; found.series < 2000; ++found.series) {
    const auto values = Series(&nights, before + nights_after, [&](int i) { return i < before ? 1 : 1 + step; });
    for (int seen = before + 3; seen <= before + nights_after; ++seen) {
      const std::vector<Change> changes = FindChanges({values.begin(), values.begin() + seen});
      if (changes.empty()) continue;
      ++found.within;
      found.near += std::abs(static_cast<int>(changes.back().at) - before) <= 1;
      break;
    }
  }
  fmt::print("step of {} % after {} nights: {} of {} found within {} nights, {} within one commit\n", 100 * step,
             before, found.within, found.series, nights_after, found.near);
  return found;
}

TEST(ChangePoints, AStepIsFoundSoonAndWhereItIs) {
  for (const double step : {0.02, -0.02})
    for (const int before : {50, 150}) {
      const Found found = FindSteps(step, before, 6);
      EXPECT_GE(found.within, 0.95 * found.series) << step << " after " << before;
      EXPECT_GE(found.near, 0.9 * found.series) << step << " after " << before;
    }
}

TEST(ChangePoints, ACreepIsFoundBeforeItIsThreePercent) {
  Nights nights(10);
  int found = 0;
  constexpr int kSeries = 500;
  double slowest = 0;
  for (int i = 0; i < kSeries; ++i) {
    const auto values = Series(&nights, 50 + 30, [](int night) { return 1 + 0.001 * std::max(0, night - 49); });
    for (int seen = 53; seen <= 80; ++seen)
      if (!FindChanges({values.begin(), values.begin() + seen}).empty()) {
        ++found;
        slowest = std::max(slowest, 0.001 * (seen - 50));
        break;
      }
  }
  fmt::print("creep: {} of {} found by 3 %; the last at {:.1f} %\n", found, kSeries, 100 * slowest);
  EXPECT_GE(found, 0.99 * kSeries);
}

TEST(ChangePoints, ALevelThatCameAndWentIsTwoChanges) {
  Nights nights(11);
  int both = 0;
  for (int i = 0; i < 200; ++i) {
    const auto values = Series(&nights, 365, [](int night) { return night >= 200 && night < 220 ? 1.03 : 1; });
    const std::vector<Change> changes = FindChanges(values);
    both += changes.size() == 2 && std::abs(static_cast<int>(changes[0].at) - 200) <= 1 &&
            std::abs(static_cast<int>(changes[1].at) - 220) <= 1;
  }
  EXPECT_GE(both, 190);
}

TEST(ChangePoints, ExcursionsAndSmallChangesAreNone) {
  Nights nights(12);
  for (int i = 0; i < 200; ++i) {
    auto values = Series(&nights, 60, Steady);
    values[30] *= 1.5;
    values[31] *= 1.5;
    values[59] *= 2;
    EXPECT_TRUE(FindChanges(values).empty());
  }
  // A quiet series whose level moved by 0.9 % moved surely, and by less than anybody asked to hear of.
  std::vector<double> quiet(20, 1.0);
  std::fill(quiet.begin() + 10, quiet.end(), 1.009);
  EXPECT_TRUE(FindChanges(quiet).empty());
  std::fill(quiet.begin() + 10, quiet.end(), 1.011);
  ASSERT_EQ(FindChanges(quiet).size(), 1u);
  EXPECT_EQ(FindChanges(quiet)[0].at, 10u);
}

TEST(ChangePoints, AnExcursionHidesNoStep) {
  Nights nights(13);
  int found = 0;
  for (int i = 0; i < 100; ++i) {
    auto values = Series(&nights, 60, [](int night) { return night < 48 ? 1 : 1.02; });
    values[20] *= 1.5;
    const std::vector<Change> changes = FindChanges(values);
    found += changes.size() == 1 && std::abs(static_cast<int>(changes[0].at) - 48) <= 1;
  }
  EXPECT_GE(found, 90);
}

TEST(ChangePoints, CountsAndZeros) {
  const std::vector<double> nodes = {512, 512, 512, 512, 604, 604, 604};
  const std::vector<Change> changes = FindChanges(nodes);
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].at, 4u);
  EXPECT_EQ(changes[0].p, 0);
  EXPECT_NEAR(changes[0].change, 92.0 / 512, 1e-12);
  const std::vector<Change> skips = FindChanges({0, 0, 0, 2, 2, 2});
  ASSERT_EQ(skips.size(), 1u);
  EXPECT_TRUE(std::isinf(skips[0].change));
  EXPECT_TRUE(FindChanges({0, 0, 0, 0, 0, 0, 0, 0}).empty());
}

TEST(ChangePoints, TooFewAndNotFinite) {
  EXPECT_TRUE(FindChanges({}).empty());
  EXPECT_TRUE(FindChanges({1}).empty());
  EXPECT_TRUE(FindChanges({1, 1, 1, 2, 2}).empty()) << "a segment has three values";
  EXPECT_THROW(FindChanges({1, std::numeric_limits<double>::quiet_NaN()}), std::invalid_argument);
}

}  // namespace
}  // namespace assay
