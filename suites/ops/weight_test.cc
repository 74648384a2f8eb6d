// Weights on the device hold what the host reads from the same bytes: every stored type, stacking, recipes.
#include <cmath>

#include "engine/base/check.h"
#include "engine/base/quant.h"
#include "engine/base/random.h"
#include "suites/ops/cases/tensors.h"
#include "suites/ops/checks.h"

namespace assay {
namespace {

// All rows of a weight by the op that looks rows up, unscaled.
std::vector<float> AllRows(DeviceFixture& fixture, const Weight& w) {
  std::vector<std::int32_t> tokens;
  for (std::int64_t r = 0; r < w.rows; ++r) tokens.push_back(static_cast<std::int32_t>(r));
  const FixtureRows rows =
      fixture.MakeRows({{0, static_cast<std::int32_t>(w.rows), 0, 0}}, static_cast<int>(w.rows), tokens);
  const auto count = static_cast<std::size_t>(w.rows * w.cols);
  float* out = fixture.Out(count);
  fixture.ops().Embed({out, nullptr, &w, &rows.rows, 1.0f});
  ExpectUndamaged(fixture);
  return fixture.Read(out, count);
}

void ExpectSame(const std::vector<float>& found, const std::vector<float>& expected, const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (std::size_t i = 0; i < found.size(); ++i)
    ASSERT_TRUE(found[i] == expected[i]) << what << ": element " << i << " is " << found[i] << ", expected "
                                         << expected[i];
}

constexpr DType kStored[] = {DType::kF32,  DType::kF16,  DType::kBF16,   DType::kQ4_0,   DType::kQ4_1, DType::kQ5_0,
                             DType::kQ5_1, DType::kQ8_0, DType::kQ2_K,   DType::kQ3_K,   DType::kQ4_K, DType::kQ5_K,
                             DType::kQ6_K, DType::kQ8_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4};

// In fp32 mode nothing is rounded at load: what comes back is the dequantisation itself.
TEST(WeightTest, EveryTypeAsTheHostReadsIt) {
  ASSAY_HOST_AND_DEVICE(both, Precision::kFp32);
  for (const DType type : kStored)
    for (const WeightUse use : {WeightUse::kMatrix, WeightUse::kTable}) {
      both.Clear();
      const TensorShape shape{1, 37, 768};
      const HostTensor tensor = IsQuantised(type) ? BlockTensor(type, shape, 7) : RandomTensor(type, shape, 7);
      const auto w = both.device->ops().Prepare({tensor}, use);
      EXPECT_TRUE(IsQuantised(type) || w->format() == Name(type)) << Name(type) << " kept as " << w->format();
      ExpectSame(AllRows(*both.device, *w), Decoded(tensor),
                 fmt::format("{} {}", Name(type), use == WeightUse::kTable ? "table" : "matrix"));
    }
}

TEST(WeightTest, TailsOfSplitRows) {
  ASSAY_HOST_AND_DEVICE(both, Precision::kBf16);
  for (const DType type : {DType::kQ8_0, DType::kQ4_0})
    for (const std::int64_t cols : {32, 64, 96, 128, 160, 704, 2112}) {
      both.Clear();
      const HostTensor tensor = BlockTensor(type, {1, 19, cols}, 8);
      const auto w = both.device->ops().Prepare({tensor}, WeightUse::kMatrix);
      EXPECT_EQ(w->format(), Name(type));
      ExpectSame(AllRows(*both.device, *w), Decoded(tensor), fmt::format("{} {}", Name(type), cols));
    }
}

TEST(WeightTest, MixedPartsTakeTheModesType) {
  ASSAY_HOST_AND_DEVICE(both, Precision::kFp32);
  const HostTensor a = BlockTensor(DType::kQ4_K, {1, 10, 256}, 1), b = BlockTensor(DType::kQ6_K, {1, 5, 256}, 2),
                   c = RandomTensor(DType::kBF16, {1, 3, 256}, 3);
  const auto w = both.device->ops().Prepare({a, b, c}, WeightUse::kMatrix);
  EXPECT_EQ(w->format(), "Q4_K as F32, Q6_K as F32, BF16 as F32");
  std::vector<float> expected = Decoded(a);
  for (const HostTensor& part : {b, c}) {
    const std::vector<float> more = Decoded(part);
    expected.insert(expected.end(), more.begin(), more.end());
  }
  ExpectSame(AllRows(*both.device, *w), expected, "mixed parts");
}

// A recipe computed on the device has the bits that the host would have uploaded.
TEST(WeightTest, RecipesBitForBit) {
  ASSAY_HOST_AND_DEVICE(both, Precision::kBf16);
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0})
    for (const WeightUse use : {WeightUse::kMatrix, WeightUse::kTable}) {
      both.Clear();
      const TensorShape shape{1, 301, 1024};
      const SyntheticFill fill{0x1234567890abcdefull, 0.0217f, type == DType::kF32 ? 1.0f : 0.0f};
      std::vector<float> values(static_cast<std::size_t>(shape.count()));
      for (std::size_t i = 0; i < values.size(); ++i) {
        const float scaled = fill.scale * RandomNormalish(fill.key, i);
        values[i] = fill.offset + scaled;
      }
      const HostTensor made = Encoded(type, shape, values);
      HostTensor recipe = made;
      recipe.data = nullptr;
      recipe.fill = fill;
      const auto from_host = both.device->ops().Prepare({made}, use),
                 from_recipe = both.device->ops().Prepare({recipe}, use);
      ExpectSame(AllRows(*both.device, *from_recipe), AllRows(*both.device, *from_host), std::string(Name(type)));
    }
}

TEST(WeightTest, RefusesWhatCannotBeStacked) {
  ASSAY_HOST_AND_DEVICE(both, Precision::kBf16);
  Ops& ops = both.device->ops();
  EXPECT_THROW((void)ops.Prepare({}, WeightUse::kMatrix), InputError);
  EXPECT_THROW((void)ops.Prepare({RandomTensor(DType::kF32, {1, 4, 32}, 1), RandomTensor(DType::kF32, {1, 4, 64}, 1)},
                                 WeightUse::kMatrix),
               InputError);
  HostTensor nothing = RandomTensor(DType::kF32, {1, 4, 32}, 1);
  nothing.data = nullptr;
  EXPECT_THROW((void)ops.Prepare({nothing}, WeightUse::kMatrix), InputError);
}

TEST(WeightTest, RefusesAnotherOpsWeight) {
  ASSAY_HOST_AND_DEVICE(both, Precision::kBf16);
  const auto host = both.host->ops().Prepare({RandomTensor(DType::kBF16, {1, 16, 32}, 1)}, WeightUse::kMatrix);
  DeviceFixture& fixture = *both.device;
  EXPECT_THROW(fixture.ops().MatMul(fixture.Out(16), *host, fixture.InOperand(std::vector<float>(32)), 1), InputError);
}

}  // namespace
}  // namespace assay
