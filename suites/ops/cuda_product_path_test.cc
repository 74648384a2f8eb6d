// Which path a product takes depends on its size, and most cases are small: here all of them go through the paths that
// are chosen by size.
#include <fmt/core.h>

#include <memory>
#include <tuple>

#include "engine/ops/cuda_ops.h"
#include "engine/ops/host_ops.h"
#include "suites/ops/checks.h"
#include "suites/ops/cuda_shapes.h"

namespace assay {
namespace {

// More blocks than run at a time: a block of a streamed product must not need one that has not begun.
constexpr int kManyMultiprocessors = 1000;
// So few that prompts of some hundred rows take the largest tiles, and that blocks of skinny products have several.
constexpr int kFewMultiprocessors = 16;

const char* NameOf(GemmPath path) {
  return path == GemmPath::kDot         ? "dot"
         : path == GemmPath::kSkinny    ? "skinny"
         : path == GemmPath::kSkinnyTma ? "skinny_tma"
         : path == GemmPath::kTiled     ? "tiled"
                                        : "stream";
}

struct ProductPath {
  OpCaseList list;
  GemmPath path = GemmPath::kAuto;
  int sm_count = 0;
};

std::vector<ProductPath> ProductPaths() {
  std::vector<ProductPath> all;
  for (const auto& lists : {ProductCases(), ExpertCases()}) {
    for (const OpCaseList& list : lists) {
      if (list.precision.operands == DType::kF32) continue;  // has none of these
      for (const GemmPath path : {GemmPath::kSkinny, GemmPath::kStream}) all.push_back({list, path});
      for (const int sm_count : {kFewMultiprocessors, kManyMultiprocessors})
        all.push_back({list, GemmPath::kStream, sm_count});
    }
  }
  for (const OpCaseList& list : ProductCases()) {  // experts do not take it
    if (list.precision.operands == DType::kF32) continue;
    const bool quantised = list.name.ends_with("Q8_0") || list.name.ends_with("Q4_0");
    for (const int sm_count : {0, kFewMultiprocessors})
      all.push_back({list, quantised ? GemmPath::kSkinnyTma : GemmPath::kTiled, sm_count});
  }
  return all;
}

class ProductPathTest : public testing::TestWithParam<ProductPath> {};

TEST_P(ProductPathTest, MatchesHost) {
  if (const Support support = CudaOpsAvailable(0); !support) GTEST_SKIP() << support.reason;
  const Precision precision = GetParam().list.precision;
  DeviceFixture host(std::make_unique<HostOps>(precision)),
      device(MakeCudaOps({.precision = precision, .gemm_path = GetParam().path, .sm_count = GetParam().sm_count}));
  for (const OpCase& item : GetParam().list.cases()) {
    SCOPED_TRACE(item.id());
    ExpectMatchesHost(item, host, device);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, ProductPathTest, testing::ValuesIn(ProductPaths()),
                         [](const testing::TestParamInfo<ProductPath>& path) {
                           return path.param.list.name + "_" + NameOf(path.param.path) +
                                  (path.param.sm_count == kManyMultiprocessors  ? "_many"
                                   : path.param.sm_count == kFewMultiprocessors ? "_few"
                                                                                : "");
                         });

// So many weight rows that tiles of the parameter's fill 16 multiprocessors: alone, in clusters of two, of four; and so
// many that blocks take several tiles, of whatever height.
class TiledProductTest : public testing::TestWithParam<int> {};

TEST_P(TiledProductTest, MatchesHost) {
  if (const Support support = CudaOpsAvailable(0); !support) GTEST_SKIP() << support.reason;
  DeviceFixture host(std::make_unique<HostOps>(Precision::kBf16)),
      device(MakeCudaOps({.gemm_path = GemmPath::kTiled, .sm_count = kFewMultiprocessors}));
  struct Tiles {
    int count, cols;
  };
  for (const Tiles tiles : {Tiles{16, 200}, {33, 136}, {8, 4096}, {3, 4096}}) {
    const std::int64_t out = std::int64_t{tiles.count} * GetParam();
    const auto parts = [&](const std::vector<std::int64_t>& rows, WeightUse use) {
      std::vector<HostTensor> tensors;
      for (const std::int64_t r : rows)
        tensors.push_back(RandomTensor(DType::kBF16, {1, r, tiles.cols}, 73 + tensors.size()));
      return PreparedFrom(std::make_shared<WeightParts>(WeightParts{tensors, use}));
    };
    const WeightsOf plain = parts({out}, WeightUse::kMatrix), odd = parts({out - 3}, WeightUse::kMatrix);
    for (const int rows : {3, 16, 64, 70, 128, 131}) {
      const Values x = LazyNumbers(72, static_cast<std::size_t>(rows * tiles.cols));
      std::vector<OpCase> cases = {MatMulCase({DType::kBF16, out, tiles.cols, rows}, plain, x),
                                   MatMulCase({DType::kBF16, out - 3, tiles.cols, rows}, odd, x)};
      if (out % 16 == 0)
        cases.push_back(GatedCase({DType::kBF16, out, tiles.cols, rows}, parts({out / 2, out / 2}, WeightUse::kGated),
                                  x, Activation::kGeluTanh));
      for (const OpCase& item : cases) {
        SCOPED_TRACE(item.id());
        ExpectMatchesHost(item, host, device);
        if (HasFatalFailure()) return;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, TiledProductTest,
                         testing::Values(16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 112, 128, 160),
                         testing::PrintToStringParamName());

// Kernels of a gated product of 20480 x 2560 as a plan launches them: one with tiles or mma.sync, two with the library,
// whose sums an epilogue of its own reads.
std::int64_t GatedLaunches(const CudaShape& shape, int rows) {
  const std::unique_ptr<Ops> ops = MakeCudaPlanningOps({}, shape);
  HostTensor half;
  half.type = DType::kBF16;
  half.rows = 10240;
  half.cols = 2560;
  half.fill = SyntheticFill{1, 0.02f, 0.0f};
  const auto weight = ops->Prepare({half, half}, WeightUse::kGated);
  const auto before = ops->counters().kernel_launches;
  ops->GatedMatMul(nullptr, *weight, nullptr, rows, Activation::kGeluTanh);
  return ops->counters().kernel_launches - before;
}

// Needs no GPU.
TEST(GatedProducts, AreTilesUpTo128Rows) {
  const CudaShape h100 = H100Shape(), l40s = L40sShape();
  // Where there is such code, so many rows are streamed.
  if (GatedLaunches(h100, 513) == 2) GTEST_SKIP() << "this build has no code for compute capability 9.0";
  for (const int rows : {1, 8, 9, 16, 17, 64, 128}) EXPECT_EQ(GatedLaunches(h100, rows), 1) << rows;
  EXPECT_EQ(GatedLaunches(h100, 129), 2) << "a second launch would read all weights again";
  EXPECT_EQ(GatedLaunches(l40s, 16), 1);
  EXPECT_EQ(GatedLaunches(l40s, 17), 2) << "there is no such path";
}

class ProductOrderTest : public testing::TestWithParam<std::tuple<GemmPath, DType>> {};

// Activations hold NaN until the kernel before the product writes them. A product may start before that kernel has
// ended; in a build with late blocks its last one is late.
TEST_P(ProductOrderTest, WaitsForWhatMakesItsActivations) {
  if (const Support support = CudaOpsAvailable(0); !support) GTEST_SKIP() << support.reason;
  constexpr int kCols = 2560, kOut = 8320;  // more than rings hold
  const auto& [path, stored] = GetParam();
  DeviceFixture fixture(MakeCudaOps({.gemm_path = path}));
  Ops& ops = fixture.ops();
  const auto weight = ops.Prepare({RandomTensor(stored, {1, kOut, kCols}, 61)}, WeightUse::kMatrix);
  const float* const norm = fixture.In(Numbers(62, kCols, 0.3f, 1.0f));
  for (const int rows : {1, 8, 70}) {
    SCOPED_TRACE(rows);
    const auto operands = static_cast<std::size_t>(rows) * kCols, results = static_cast<std::size_t>(rows) * kOut;
    const float* const x = fixture.In(Numbers(63, operands));
    void* const operand = fixture.OutOperand(operands);
    float *const behind = fixture.Out(results), *const alone = fixture.Out(results);
    const auto make_activations = [&] { ops.Norm({operand, x, norm, rows, kCols, 1e-6f}); };
    make_activations();
    ops.Synchronize();
    ops.MatMul(alone, *weight, operand, rows);
    // Recorded, because launched one by one the product may come when the kernel before it has long ended.
    const std::unique_ptr<StepGraph> graph = ops.Capture([&] {
      make_activations();
      ops.MatMul(behind, *weight, operand, rows);
    });
    ops.memory().Fill(operand, 0xff, operands * sizeof(std::uint16_t));
    ops.Synchronize();
    graph->Launch();
    EXPECT_EQ(fixture.Read(behind, results), fixture.Read(alone, results));
  }
}

// Those that take the weight themselves, not on behalf of another.
std::vector<std::tuple<GemmPath, DType>> OrderedProducts() {
  std::vector<std::tuple<GemmPath, DType>> all;
  for (const DType stored : {DType::kBF16, DType::kQ8_0, DType::kQ4_0})
    for (const GemmPath path : {GemmPath::kDot, GemmPath::kSkinny, GemmPath::kStream,
                                stored == DType::kBF16 ? GemmPath::kTiled : GemmPath::kSkinnyTma})
      all.emplace_back(path, stored);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Ops, ProductOrderTest, testing::ValuesIn(OrderedProducts()), [](const auto& product) {
  return fmt::format("{}_{}", NameOf(std::get<0>(product.param)), Name(std::get<1>(product.param)));
});

class InvariantProductTest : public testing::TestWithParam<OpCaseList> {};

// In batch-invariant mode results are those of the host, and the number of multiprocessors, which differs between
// devices and their slices, decides nothing.
TEST_P(InvariantProductTest, MatchesHostAndGivesTheSameBitsOnFewerMultiprocessors) {
  if (const Support support = CudaOpsAvailable(0); !support) GTEST_SKIP() << support.reason;
  const CudaOptions whole{.precision = GetParam().precision, .batch_invariant = true};
  CudaOptions slice = whole;
  slice.sm_count = kFewMultiprocessors;
  DeviceFixture host(std::make_unique<HostOps>(GetParam().precision)), on_whole(MakeCudaOps(whole)),
      on_slice(MakeCudaOps(slice));
  for (const OpCase& item : GetParam().cases()) {
    SCOPED_TRACE(item.id());
    host.Clear();
    on_whole.Clear();
    on_slice.Clear();
    const PreparedOp wanted = item.prepare(host), op = item.prepare(on_whole), same = item.prepare(on_slice);
    const auto found = Outputs(on_whole, op);
    ExpectAgree(op, found, Outputs(host, wanted));
    if (HasFatalFailure()) return;
    ASSERT_EQ(Outputs(on_slice, same), found);
  }
}

std::vector<OpCaseList> SplitCases() {
  std::vector<OpCaseList> all;
  for (const auto& lists : {ProductCases(), ExpertCases(), AttentionCases()})
    all.insert(all.end(), lists.begin(), lists.end());
  return all;
}

INSTANTIATE_TEST_SUITE_P(Ops, InvariantProductTest, testing::ValuesIn(SplitCases()),
                         [](const testing::TestParamInfo<OpCaseList>& list) { return list.param.name; });

}  // namespace
}  // namespace assay
