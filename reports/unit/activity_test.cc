// Whether a device ran freely, and the figures of what was timed.
#include "reports/format/activity.h"

#include <gtest/gtest.h>

#include "reports/format/json.h"
#include "reports/unit/sample.h"

namespace assay {
namespace {

DeviceActivity Clocks(double min, double median, double max) {
  return {.sm_clock_mhz = {min, median, max}, .samples = 10};
}

TEST(Activity, AFreeDeviceIsStable) {
  EXPECT_TRUE(StableActivity(Clocks(1980, 1980, 1980), nullptr));
  EXPECT_TRUE(StableActivity({}, nullptr)) << "nothing was read";
}

TEST(Activity, TheClockStaysInItsBand) {
  std::string why;
  EXPECT_TRUE(StableActivity(Clocks(850, 900, 1000), &why));
  EXPECT_FALSE(StableActivity(Clocks(850, 899, 1000), &why));
  EXPECT_EQ(why, "SM clock outside its band while timed: median 899 of 1000 MHz, expected 90 % of it");
  EXPECT_FALSE(StableActivity(Clocks(849, 1000, 1000), &why));
  EXPECT_EQ(why, "SM clock outside its band while timed: 849 of 1000 MHz, expected 85 % of it");
}

TEST(Activity, ReasonsThatLowerClocksAreToldFromOthers) {
  DeviceActivity activity = Clocks(1980, 1980, 1980);
  for (const std::uint64_t harmless : {0x1, 0x2, 0x10, 0x13}) {
    activity.throttle_reasons = harmless;
    EXPECT_TRUE(StableActivity(activity, nullptr)) << harmless;
  }
  for (const std::uint64_t lowering : {0x4, 0x8, 0x20, 0x40, 0x80, 0x100, 0x200, 0x5}) {
    activity.throttle_reasons = lowering;
    EXPECT_FALSE(StableActivity(activity, nullptr)) << lowering;
  }
  std::string why;
  activity.throttle_reasons = 0x4 | 0x1 | 0x40;
  EXPECT_FALSE(StableActivity(activity, &why));
  EXPECT_EQ(why, "throttled while timed: sw_power_cap, hw_thermal_slowdown");
  EXPECT_EQ(ThrottleReasonNames(0x201), (std::vector<std::string>{"gpu_idle", "bit_9"}));
}

TEST(Activity, AnErrorOfTheDriverSpoilsASeries) {
  DeviceActivity activity = Clocks(1980, 1980, 1980);
  activity.xids = {63, 94};
  std::string why;
  EXPECT_FALSE(StableActivity(activity, &why));
  EXPECT_EQ(why, "the driver reported Xid 63, 94 while it was timed");
  activity.samples = 0;
  EXPECT_FALSE(StableActivity(activity, nullptr)) << "also where clocks could not be read";
  ReportBenchmark row = MakeRow();
  row.series[0].activity = activity;
  EXPECT_EQ(BenchmarkFrom(BenchmarkJson(row, {})).series[0].activity.xids, activity.xids);
}

TEST(Figures, AreOfAllSamplesByNearestRank) {
  ReportBenchmark row = MakeRow();
  row.series[0].seconds = {5, 1, 3};
  row.series.push_back({{2, 4}, {}});
  const std::vector<HardwareLimits> limits = {{"bf16", 1, 1, 1, ""}, {"fp32", 1e9, 9e9, 4e9, ""}};
  row.floor_s = FloorOf(row, limits);
  EXPECT_EQ(row.floor_s, 4);
  const Figures figures = FiguresOf(row, limits);
  EXPECT_EQ(figures.samples, 5);
  EXPECT_EQ(figures.p50_s, 3);
  EXPECT_EQ(figures.p90_s, 5);
  EXPECT_EQ(figures.p99_s, 5);
  EXPECT_DOUBLE_EQ(figures.fraction_of_floor, 4.0 / 3);
  EXPECT_DOUBLE_EQ(figures.fraction_of_copy, 4.0 / 3);
  EXPECT_DOUBLE_EQ(figures.fraction_of_gemm, 1e9 / 3 / 4e9);
  EXPECT_DOUBLE_EQ(figures.rate, 8.0 / 3);
  row.flops = 2e10;
  EXPECT_EQ(FloorOf(row, limits), 5) << "products take longer than the copy";
}

TEST(Figures, OnlyARowThatPassesHasAny) {
  const std::vector<HardwareLimits> limits = {{"fp32", 2e12, 2.5e12, 6e14, ""}};
  EXPECT_GT(FiguresOf(MakeRow(), limits).samples, 0);
  for (const Status status : {Status::kUnstable, Status::kSkip, Status::kFail, Status::kError})
    EXPECT_EQ(FiguresOf(MakeRow(status), limits).samples, 0) << Name(status);
}

TEST(Figures, LimitsAreOfTheRowsType) {
  const std::vector<HardwareLimits> one = {{"bf16", 1, 1, 1, ""}}, two = {one[0], {"fp32", 2, 2, 2, ""}};
  ReportBenchmark row = MakeRow();
  EXPECT_EQ(LimitsOf(row, two), &two[1]);
  EXPECT_EQ(LimitsOf(row, one), nullptr);
  EXPECT_EQ(FloorOf(row, one), 0);
  row.axes = {};
  EXPECT_EQ(LimitsOf(row, one), &one[0]);
  EXPECT_EQ(LimitsOf(row, two), nullptr);
}

}  // namespace
}  // namespace assay
