// Timings of bodies whose times are known, and the figures that follow.
#include "bench/support/timing.h"

#include <gtest/gtest.h>

#include "engine/base/check.h"

namespace assay {
namespace {

TEST(Timing, EveryRepeatIsASample) {
  double next = 0;
  EXPECT_EQ(RunTimed("counting", 5, [&] { return next += 1; }), (std::vector<double>{1, 2, 3, 4, 5}));
  EXPECT_EQ(RunTimed("again", 2, [] { return 0.5; }).size(), 2u) << "one run must not repeat another's";
}

TEST(Timing, WhatTheBodyThrowsArrives) {
  int calls = 0;
  EXPECT_THROW(RunTimed("throws", 9,
                        [&]() -> double {
                          if (++calls == 3) throw InputError("third");
                          return 1;
                        }),
               InputError);
  EXPECT_EQ(calls, 3);
}

TEST(Timing, WarmUpEndsWhenTheTimeIsFlat) {
  const std::vector<double> falling = {9, 8, 7, 6, 5, 5.01, 5.02, 5, 5};
  std::size_t calls = 0;
  const auto body = [&] { return falling[std::min(calls++, falling.size() - 1)]; };
  EXPECT_EQ(WarmUp(body, 200), 5.02);
  EXPECT_EQ(calls, 7u);
  calls = 0;
  WarmUp(body, 5 * 45.1);
  EXPECT_EQ(calls, 8u) << "flat, but not settled";
  double grows = 1;
  int more = 0;
  WarmUp([&] { return ++more, grows *= 2; }, 100);
  EXPECT_EQ(more, 6) << "never flat: 2 + 4 + ... + 64 passes 100";
  int few = 0;
  WarmUp([&] { return double{1000} * ++few; }, 1);
  EXPECT_EQ(few, 3) << "three times whatever the limit";
}

TEST(Timing, RepeatsFitTheBudget) {
  EXPECT_EQ(RepeatsWithin(6, 0.001), 30);
  EXPECT_EQ(RepeatsWithin(6, 0.5), 12);
  EXPECT_EQ(RepeatsWithin(6, 100), 3);
  EXPECT_EQ(RepeatsWithin(6, 0, 12, 1), 12);
}

TEST(Timing, FiguresFollowFromSamplesCostAndLimits) {
  std::vector<double> seconds;
  for (int i = 100; i >= 1; --i) seconds.push_back(i * 1e-3);
  StepCost cost;
  cost.weight_bytes = 3e9;
  cost.kv_bytes = 1e9;
  cost.linear_flops = 5e9;
  const HardwareLimits limits{"fp32", 4e11, 5e11, 1e12, ""};
  ReportBenchmark row;
  FillNeeds(&row, cost, limits, 8);
  row.series = {{std::vector(seconds.begin(), seconds.begin() + 40), {}},
                {std::vector(seconds.begin() + 40, seconds.end()), {}}};
  const Figures figures = FiguresOf(row, {limits});
  EXPECT_EQ(figures.samples, 100);
  EXPECT_DOUBLE_EQ(figures.p50_s, 0.050);
  EXPECT_DOUBLE_EQ(figures.p90_s, 0.090);
  EXPECT_DOUBLE_EQ(figures.p99_s, 0.099);
  EXPECT_DOUBLE_EQ(row.bytes, 4e9);
  EXPECT_DOUBLE_EQ(row.flops, 5e9);
  EXPECT_DOUBLE_EQ(row.floor_s, 0.010) << "4 GB at 400 GB/s take longer than 5 GFLOP at 1 TFLOP/s";
  EXPECT_DOUBLE_EQ(figures.fraction_of_floor, 0.2);
  EXPECT_DOUBLE_EQ(figures.fraction_of_copy, 0.2);
  EXPECT_DOUBLE_EQ(figures.fraction_of_gemm, 0.1);
  EXPECT_DOUBLE_EQ(figures.rate, 160);
}

}  // namespace
}  // namespace assay
