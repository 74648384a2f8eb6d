// Captured steps, counters, memory and what goes wrong: a step is one launch without host synchronisation, and failures
// leave the ops usable.
#include "engine/base/check.h"
#include "engine/ops/ops_factory.h"
#include "suites/ops/side.h"
#include "suites/ops/tensors.h"

namespace assay {
namespace {

struct Chain {
  std::unique_ptr<Weight> up, down;
  int rows;
  const void* x;
  void* middle;
  float* out;
};

constexpr std::int64_t kHidden = 512, kFfn = 768;

Chain MakeChain(Side& side, int rows, DType up = DType::kBF16, DType down = DType::kBF16, std::int64_t ffn = kFfn) {
  const auto tensor = [](DType type, const TensorShape& shape, int seed) {
    return IsQuantised(type) ? BlockTensor(type, shape, seed) : RandomTensor(type, shape, seed);
  };
  Chain c;
  c.rows = rows;
  c.up = side.ops().Prepare({tensor(up, {1, 2 * ffn, kHidden}, 1)}, WeightUse::kGated);
  c.down = side.ops().Prepare({tensor(down, {1, kHidden, ffn}, 2)}, WeightUse::kMatrix);
  c.x = side.InOutOperand(Numbers(3, static_cast<std::size_t>(rows * kHidden)));
  c.middle = side.OutOperand(static_cast<std::size_t>(rows * ffn));
  c.out = side.Out(static_cast<std::size_t>(rows * kHidden));
  return c;
}

void RunChain(Side& side, const Chain& c) {
  side.ops().GatedMatMul(c.middle, *c.up, c.x, c.rows, Activation::kGeluTanh);
  side.ops().MatMul(c.out, *c.down, c.middle, c.rows);
}

OpsLimits ChainLimits(int rows, std::int64_t ffn = kFfn) {
  OpsLimits limits;
  limits.max_rows = rows;
  limits.max_sessions = rows;
  limits.max_width = 2 * ffn;
  limits.max_heads = 8;
  limits.max_head_dim = 64;
  limits.max_slots = 128;
  limits.vocab = 1000;
  return limits;
}

class GraphRowsTest : public testing::TestWithParam<int> {};

TEST_P(GraphRowsTest, ReplayEqualsCalls) {
  ASSAY_SIDES(sides, Precision::kBf16);
  Side& side = *sides.device;
  const int rows = GetParam();
  const Chain c = MakeChain(side, rows);
  const auto count = static_cast<std::size_t>(rows * kHidden);
  side.ops().Reserve(ChainLimits(rows));
  RunChain(side, c);
  const std::vector<float> expected = side.Read(c.out, count);
  const auto graph = side.ops().Capture([&] { RunChain(side, c); });
  side.ops().memory().Fill(c.out, 0xff, count * sizeof(float));
  side.ops().Synchronize();
  const OpsCounters before = side.ops().counters();
  for (int run = 0; run < 50; ++run) graph->Launch();
  const OpsCounters after = side.ops().counters();
  EXPECT_EQ(after.graph_launches - before.graph_launches, 50);
  EXPECT_EQ(after.host_syncs, before.host_syncs);
  EXPECT_EQ(after.kernel_launches, before.kernel_launches);
  EXPECT_EQ(side.Read(c.out, count), expected);
  EXPECT_GE(graph->nodes(), 2);
  side.Check();
}

INSTANTIATE_TEST_SUITE_P(Rows, GraphRowsTest, testing::Values(1, 4, 16, 40, 90), testing::PrintToStringParamName());

TEST(GraphTest, ClockTimesWhatLiesBetweenMarks) {
  ASSAY_SIDES(sides, Precision::kBf16);
  for (Side* side : {sides.host.get(), sides.device.get()}) {
    const Chain c = MakeChain(*side, 4);
    RunChain(*side, c);
    const std::unique_ptr<OpsClock> clock = side->ops().MakeClock();
    EXPECT_TRUE(clock->Intervals().empty());
    for (int round = 0; round < 2; ++round) {
      clock->Mark();
      clock->Mark();
      for (int i = 0; i < 20; ++i) RunChain(*side, c);
      clock->Mark();
      const std::vector<double> seconds = clock->Intervals();
      ASSERT_EQ(seconds.size(), 2u);
      EXPECT_GE(seconds[0], 0);
      EXPECT_GT(seconds[1], seconds[0]);
      EXPECT_LT(seconds[1], 10);
    }
  }
}

TEST(GraphTest, ReplayReadsFreshInputs) {
  ASSAY_SIDES(sides, Precision::kBf16);
  Side& side = *sides.device;
  const Chain c = MakeChain(side, 3);
  const auto count = static_cast<std::size_t>(3 * kHidden);
  side.ops().Reserve(ChainLimits(3));
  const auto graph = side.ops().Capture([&] { RunChain(side, c); });
  const Chain other = MakeChain(side, 3);
  const void* fresh = side.InOutOperand(Numbers(99, count));
  side.ops().memory().Copy(const_cast<void*>(c.x), fresh, count * 2);
  graph->Launch();
  side.ops().memory().Copy(const_cast<void*>(other.x), fresh, count * 2);
  RunChain(side, other);
  EXPECT_EQ(side.Read(c.out, count), side.Read(other.out, count));
}

// A workspace that would have to grow inside a capture is an error, not a hidden allocation; the ops go on.
TEST(GraphTest, RefusesToGrowInsideACapture) {
  ASSAY_SIDES(sides, Precision::kBf16);
  Side& side = *sides.device;
  const Chain c = MakeChain(side, 90);  // the library path needs workspace for gate and up
  EXPECT_THROW((void)side.ops().Capture([&] { RunChain(side, c); }), Error);
  RunChain(side, c);
  const std::vector<float> expected = side.Read(c.out, static_cast<std::size_t>(90 * kHidden));
  const auto graph = side.ops().Capture([&] { RunChain(side, c); });
  graph->Launch();
  EXPECT_EQ(side.Read(c.out, expected.size()), expected);
}

// What Reserve sets aside is enough for a weight that the library needs expanded, whatever it is used for. Expanded,
// these are larger than all else that so few rows need.
TEST(GraphTest, ExpandedWeightsFitWhatIsReserved) {
  constexpr int kRows = 70;
  constexpr std::int64_t kWide = 16384;
  for (const auto& [up, down] : {std::pair{DType::kQ8_0, DType::kBF16}, std::pair{DType::kBF16, DType::kQ8_0}}) {
    ASSAY_SIDES(sides, Precision::kBf16);
    Side& side = *sides.device;
    const Chain c = MakeChain(side, kRows, up, down, kWide);
    side.ops().Reserve(ChainLimits(kRows, kWide));
    const auto graph = side.ops().Capture([&] { RunChain(side, c); });
    graph->Launch();
    const std::vector<float> recorded = side.Read(c.out, static_cast<std::size_t>(kRows * kHidden));
    RunChain(side, c);
    EXPECT_EQ(side.Read(c.out, recorded.size()), recorded);
  }
}

TEST(GraphTest, ABodyThatThrowsLeavesTheOpsUsable) {
  ASSAY_SIDES(sides, Precision::kBf16);
  Side& side = *sides.device;
  const Chain c = MakeChain(side, 2);
  side.ops().Reserve(ChainLimits(2));
  EXPECT_THROW((void)side.ops().Capture([&] {
    RunChain(side, c);
    throw InputError("half-way");
  }),
               InputError);
  RunChain(side, c);
  side.Check();
}

TEST(GraphTest, OutOfMemoryNamesNeedAndFree) {
  ASSAY_SIDES(sides, Precision::kBf16);
  Side& side = *sides.device;
  try {
    const Buffer huge(side.ops().memory(), std::size_t{1} << 50, "a petabyte");
    FAIL() << "a petabyte was allocated";
  } catch (const OutOfMemory& error) {
    EXPECT_EQ(error.needed, std::size_t{1} << 50);
    EXPECT_GT(error.free, 0u);
    EXPECT_NE(std::string(error.what()).find("a petabyte"), std::string::npos) << error.what();
  }
  const Chain c = MakeChain(side, 2);
  RunChain(side, c);
  side.Check();
}

TEST(GraphTest, UnknownDeviceIsRefusedByName) { EXPECT_THROW((void)ResolveDevice("tpu"), InputError); }

TEST(GraphTest, MissingDeviceSaysWhy) {
  const Support support = DeviceAvailable(Device::Cuda());
  if (support) GTEST_SKIP() << "there is a CUDA device";
  EXPECT_NE(support.reason.find("no CUDA device"), std::string::npos) << support.reason;
  EXPECT_ANY_THROW((void)MakeOps(Device::Cuda(), Precision::kBf16));
}

}  // namespace
}  // namespace assay
