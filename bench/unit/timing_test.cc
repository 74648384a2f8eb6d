// Timings of bodies whose times are known, and the figures that follow.
#include "bench/support/timing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "reports/format/activity.h"

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

// Says of each repeat what was made up for it, and of those beyond the last entry what that says.
class MadeUpActivity final : public ActivitySampler {
 public:
  explicit MadeUpActivity(std::vector<DeviceActivity> repeats)
      : ActivitySampler(Device::Host()), repeats_(std::move(repeats)) {}
  void Start() override { running_ = true; }
  DeviceActivity Stop() override {
    EXPECT_TRUE(std::exchange(running_, false)) << "stopped without a start";
    return repeats_[std::min(next_++, repeats_.size() - 1)];
  }
  bool running() const { return running_; }

 private:
  std::vector<DeviceActivity> repeats_;
  std::size_t next_ = 0;
  bool running_ = false;
};

constexpr std::uint64_t kPowerCap = 0x4, kIdle = 0x1;  // NVML's bits

DeviceActivity Throttle(std::uint64_t reasons) {
  DeviceActivity activity;
  activity.sm_clock_mhz = {1980, 1980, 1980};
  activity.throttle_reasons = reasons;
  activity.samples = 20;
  return activity;
}

class Paced : public testing::Test {
 protected:
  static constexpr int kRepeats = 4, kLeast = 3;
  PacedSeries Time(std::vector<DeviceActivity> repeats) {
    MadeUpActivity activity(std::move(repeats));
    return TimePaced(
        "paced", kRepeats, kLeast,
        [&] {
          EXPECT_TRUE(activity.running()) << "what is not watched is not timed";
          return ++calls_ * 1e-5;
        },
        activity);
  }
  static std::int64_t Free(const PacedSeries& paced) {
    return std::count_if(paced.series.begin(), paced.series.end(), [](const TimedSeries& series) {
      return LoweringReasons(series.activity.throttle_reasons) == 0;
    });
  }
  int calls_ = 0;
  const DeviceActivity free_ = Throttle(0), capped_ = Throttle(kPowerCap);
};

// Series of two units that take 0.1 s each: three warm up, which is half of the budget, and five fit into another.
TEST(Timing, SeriesAreCountedAndWatchedWhenWarm) {
  MadeUpActivity activity({Throttle(0)});
  int calls = 0, warm_after = 0;
  const auto body = [&] {
    EXPECT_EQ(activity.running(), warm_after > 0) << "what warms up is not watched, what is timed is";
    ++calls;
    return std::vector<double>{0.1, 0.1};
  };
  const auto series = TimeSeries("series", 1.0, 2, body, activity, [&] { warm_after = calls; });
  EXPECT_EQ(warm_after, 3);
  ASSERT_EQ(series.size(), 5u);
  EXPECT_EQ(calls, 8);
  EXPECT_EQ(series[4].seconds, (std::vector<double>{0.1, 0.1}));
  EXPECT_EQ(series[4].activity.samples, 20);
  EXPECT_EQ(TimeSeries(
                "few", 0.1, 2, [] { return std::vector<double>{1.0}; }, activity)
                .size(),
            2u);
  EXPECT_EQ(TimeSeries(
                "many", 9, 2, [] { return std::vector<double>{0.001}; }, activity)
                .size(),
            12u);
}

TEST_F(Paced, WhatRunsFreelyIsTimedOnceWithoutRest) {
  const PacedSeries paced = Time({free_, Throttle(kIdle)});  // idleness lowers nothing that matters
  EXPECT_EQ(calls_, kRepeats);
  EXPECT_EQ(paced.rest, 0);
  EXPECT_EQ(paced.discarded, 0);
  ASSERT_EQ(paced.series.size(), 4u);
  for (int i = 0; i < kRepeats; ++i) {
    ASSERT_EQ(paced.series[i].seconds.size(), 1u);
    EXPECT_DOUBLE_EQ(paced.series[i].seconds[0], (i + 1) * 1e-5);
    EXPECT_EQ(paced.series[i].activity.samples, 20);
  }
}

TEST_F(Paced, AHostOfWhichNothingIsReadIsNotHeldAgainstIt) {
  const PacedSeries paced = Time({DeviceActivity()});
  EXPECT_EQ(calls_, kRepeats);
  EXPECT_EQ(paced.series.size(), 4u);
}

TEST_F(Paced, OneThrottledRepeatMakesAllAnewWithRest) {
  const PacedSeries paced = Time({free_, capped_, free_});
  EXPECT_EQ(calls_, 2 * kRepeats);
  EXPECT_DOUBLE_EQ(paced.rest, 4e-5) << "four times the first repeat";
  EXPECT_EQ(paced.series.size(), 4u);
  EXPECT_EQ(Free(paced), 4);
  EXPECT_DOUBLE_EQ(paced.series[0].seconds[0], 5e-5) << "of the first lot none counts";
  EXPECT_EQ(paced.discarded, 0);
}

TEST_F(Paced, ThrottledRepeatsAreDiscardedAndCounted) {
  // Four without rest, then with rest: one of four, two of four and one more that is free.
  const PacedSeries paced =
      Time({capped_, free_, free_, free_, capped_, capped_, capped_, free_, free_, capped_, capped_, free_, free_});
  EXPECT_EQ(calls_, 4 * kRepeats) << "the third lot is made whole";
  EXPECT_EQ(paced.discarded, 5);
  EXPECT_EQ(paced.series.size(), 4u) << "no more than were asked for";
  EXPECT_EQ(Free(paced), 4);
}

TEST_F(Paced, AsManyAsAreNeededAreEnough) {
  std::vector<DeviceActivity> repeats(4 + 9, capped_);
  repeats.insert(repeats.end(), 3, free_);
  const PacedSeries paced = Time(repeats);
  EXPECT_EQ(paced.series.size(), 3u);
  EXPECT_EQ(Free(paced), 3);
  EXPECT_EQ(paced.discarded, 9);
}

TEST_F(Paced, TooFewFreeOnesAreReturnedWithTheOthersSoThatTheRowSaysWhy) {
  std::vector<DeviceActivity> repeats(4 + 10, capped_);
  repeats.insert(repeats.end(), 2, free_);
  const PacedSeries paced = Time(repeats);
  EXPECT_EQ(calls_, 4 * kRepeats);
  EXPECT_EQ(paced.series.size(), 12u);
  EXPECT_EQ(Free(paced), 2);
  EXPECT_EQ(paced.discarded, 0) << "nothing was thrown away";
}

TEST_F(Paced, AClockOutsideItsBandIsNoFreeRun) {
  DeviceActivity sagging = free_;
  sagging.sm_clock_mhz = {1400, 1500, 1980};
  Time({sagging, free_});
  EXPECT_EQ(calls_, 2 * kRepeats);
}

TEST(Timing, FiguresFollowFromSamplesNeedsAndLimits) {
  TimedSeries slow, fast;
  for (int i = 100; i >= 1; --i) (i > 60 ? slow : fast).seconds.push_back(i * 1e-3);
  StepCost cost;
  cost.weight_bytes = 3e9;
  cost.kv_bytes = 1e9;
  cost.linear_flops = 5e9;
  HardwareLimits limits;
  limits.dtype = "bf16";
  limits.copy_bytes_per_s = 4e11;
  limits.read_bytes_per_s = 5e11;
  limits.gemm_flops_per_s = 1e12;
  ReportBenchmark row;
  row.axes.Set("dtype", "bf16");
  row.series = {slow, fast};
  FillNeeds(&row, cost, limits, 8);
  EXPECT_DOUBLE_EQ(row.bytes, 4e9);
  EXPECT_DOUBLE_EQ(row.flops, 5e9);
  EXPECT_DOUBLE_EQ(row.work, 8);
  EXPECT_DOUBLE_EQ(row.floor_s, 0.010) << "4 GB at 400 GB/s take longer than 5 GFLOP at 1 TFLOP/s";
  EXPECT_DOUBLE_EQ(row.floor_s, FloorOf(row, {limits})) << "what a checker derives again";
  const Figures figures = FiguresOf(row, {limits});
  EXPECT_EQ(figures.samples, 100);
  EXPECT_DOUBLE_EQ(figures.p50_s, 0.050);
  EXPECT_DOUBLE_EQ(figures.p90_s, 0.090);
  EXPECT_DOUBLE_EQ(figures.p99_s, 0.099);
  EXPECT_DOUBLE_EQ(figures.fraction_of_floor, 0.2);
  EXPECT_DOUBLE_EQ(figures.fraction_of_copy, 0.2);
  EXPECT_DOUBLE_EQ(figures.fraction_of_gemm, 0.1);
  EXPECT_DOUBLE_EQ(figures.rate, 160);
}

}  // namespace
}  // namespace assay
