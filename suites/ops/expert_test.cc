// Expert products against the host: few and many rows, skewed and even routing, all stored forms.
#include <algorithm>

#include "engine/base/check.h"
#include "engine/base/random.h"
#include "engine/ops/cuda_ops.h"
#include "suites/ops/side.h"
#include "suites/ops/tensors.h"

namespace assay {
namespace {

struct Subject {
  Precision precision;
  DType type;
};
std::string NameOf(const testing::TestParamInfo<Subject>& s) {
  return fmt::format("{}_{}", Name(s.param.precision), Name(s.param.type));
}

struct Layer {
  int experts, top_k;
  std::int64_t hidden, ffn;
};
constexpr Layer kLayers[] = {{8, 2, 64, 32}, {4, 4, 96, 64}, {16, 8, 256, 704}, {128, 8, 128, 32}};

// Distinct experts a row; `skew`: as many rows as possible share the same.
std::vector<std::int32_t> Routes(int rows, const Layer& layer, bool skew) {
  std::vector<std::int32_t> chosen;
  for (int r = 0; r < rows; ++r) {
    const auto start = skew ? 0
                            : static_cast<int>(RandomBits(5, static_cast<std::uint64_t>(r)) %
                                               static_cast<std::uint64_t>(layer.experts));
    const int step = skew || layer.experts % 3 == 0 ? 1 : 3;
    for (int k = 0; k < layer.top_k; ++k) chosen.push_back((start + k * step) % layer.experts);
  }
  return chosen;
}

class ExpertTest : public testing::TestWithParam<Subject> {
 protected:
  std::vector<float> Gated(Side& side, const Weight& w, const std::vector<float>& x,
                           const std::vector<std::int32_t>& expert, int rows, int top_k) {
    const auto count = static_cast<std::size_t>(rows * top_k * w.rows / 2);
#ifdef ASSAY_HAS_CUDA
    if (!side.ops().on_host()) PoisonWorkspace(side.ops());
#endif
    void* out = side.OutOperand(count);
    side.ops().ExpertGated({out, &w, side.InOperand(x), side.In(expert), rows, top_k, Activation::kGeluTanh});
    side.Check();
    return side.ReadOperand(out, count);
  }
  std::vector<float> Down(Side& side, const Weight& w, const std::vector<float>& x,
                          const std::vector<std::int32_t>& expert, const std::vector<float>& weight, int rows,
                          int top_k) {
    const auto count = static_cast<std::size_t>(rows * w.rows);
#ifdef ASSAY_HAS_CUDA
    if (!side.ops().on_host()) PoisonWorkspace(side.ops());
#endif
    float* out = side.Out(count);
    side.ops().ExpertDown({out, &w, side.InOperand(x), side.In(expert), side.In(weight), rows, top_k});
    side.Check();
    return side.Read(out, count);
  }
};

TEST_P(ExpertTest, MatchesHost) {
  ASSAY_SIDES(sides, GetParam().precision);
  const double rounding = RoundingOf(GetParam().precision);
  for (const Layer& layer : kLayers) {
    const HostTensor up = RandomTensor(GetParam().type, {layer.experts, 2 * layer.ffn, layer.hidden}, 1);
    const HostTensor down = IntegerTensor(GetParam().type, {layer.experts, layer.hidden, layer.ffn}, 2);
    const auto device_up = sides.device->ops().Prepare({up}, WeightUse::kGated),
               host_up = sides.host->ops().Prepare({up}, WeightUse::kGated);
    const auto device_down = sides.device->ops().Prepare({down}, WeightUse::kMatrix),
               host_down = sides.host->ops().Prepare({down}, WeightUse::kMatrix);
    for (const int rows : {1, 3, 8, 9, 20, 64, 150})
      for (const bool skew : {false, true}) {
        sides.Clear();
        const std::string what = fmt::format("{} experts, {} rows{}", layer.experts, rows, skew ? ", skewed" : "");
        const std::vector<std::int32_t> expert = Routes(rows, layer, skew);
        const std::vector<float> x = Numbers(3, static_cast<std::size_t>(rows * layer.hidden));
        ExpectClose(Gated(*sides.device, *device_up, x, expert, rows, layer.top_k),
                    Gated(*sides.host, *host_up, x, expert, rows, layer.top_k), 1e-5 + rounding, 4e-5 + rounding,
                    fmt::format("gated: {}", what));
        // Integers and powers of two: exact.
        const std::vector<float> y = Integers(4, expert.size() * static_cast<std::size_t>(layer.ffn), 2);
        std::vector<float> weight(expert.size());
        for (std::size_t i = 0; i < weight.size(); ++i) weight[i] = std::array{0.5f, 0.25f, 1.0f, 2.0f}[i % 4];
        EXPECT_EQ(Down(*sides.device, *device_down, y, expert, weight, rows, layer.top_k),
                  Down(*sides.host, *host_down, y, expert, weight, rows, layer.top_k))
            << "down: " << what;
      }
  }
}

TEST_P(ExpertTest, BatchInvariance) {
  Sides sides = MakeSides(GetParam().precision, /*batch_invariant=*/true);
  if (!sides.missing.empty()) GTEST_SKIP() << sides.missing;
  Side& side = *sides.device;
  const Layer layer = kLayers[2];
  const auto up = side.ops().Prepare({RandomTensor(GetParam().type, {layer.experts, 2 * layer.ffn, layer.hidden}, 1)},
                                     WeightUse::kGated);
  const auto down = side.ops().Prepare({RandomTensor(GetParam().type, {layer.experts, layer.hidden, layer.ffn}, 2)},
                                       WeightUse::kMatrix);
  const int most = 100;
  const std::vector<std::int32_t> expert = Routes(most, layer, false);
  const std::vector<float> x = Numbers(3, static_cast<std::size_t>(most * layer.hidden)),
                           y = Numbers(4, expert.size() * static_cast<std::size_t>(layer.ffn)),
                           weight = Numbers(5, expert.size());
  const std::vector<float> all_up = Gated(side, *up, x, expert, most, layer.top_k),
                           all_down = Down(side, *down, y, expert, weight, most, layer.top_k);
  for (int rows = 1; rows <= 64; rows += rows < 18 ? 1 : 7) {
    sides.Clear();
    const auto assignments = rows * layer.top_k;
    const std::vector<std::int32_t> some(expert.begin(), expert.begin() + assignments);
    const auto found_up = Gated(side, *up, {x.begin(), x.begin() + rows * layer.hidden}, some, rows, layer.top_k);
    const auto found_down = Down(side, *down, {y.begin(), y.begin() + assignments * layer.ffn}, some,
                                 {weight.begin(), weight.begin() + assignments}, rows, layer.top_k);
    ASSERT_TRUE(std::equal(found_up.begin(), found_up.end(), all_up.begin())) << rows << " rows, gated";
    ASSERT_TRUE(std::equal(found_down.begin(), found_down.end(), all_down.begin())) << rows << " rows, down";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Types, ExpertTest,
    testing::Values(Subject{Precision::kFp32, DType::kF32}, Subject{Precision::kFp16, DType::kF16},
                    Subject{Precision::kBf16, DType::kBF16}, Subject{Precision::kBf16, DType::kQ8_0},
                    Subject{Precision::kBf16, DType::kQ4_0}, Subject{Precision::kFp16, DType::kQ8_0},
                    Subject{Precision::kFp32, DType::kQ4_0}, Subject{Precision::kFp32, DType::kBF16}),
    NameOf);

}  // namespace
}  // namespace assay
