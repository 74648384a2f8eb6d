// Route against the host: choices, ties, few rows and tiles of rows.
#include <cmath>

#include "suites/ops/side.h"

namespace assay {
namespace {

struct Routed {
  std::vector<std::int32_t> expert;
  std::vector<float> weight;
};

Routed Choose(Side& side, const std::vector<float>& x, const std::vector<float>& router,
              const std::vector<float>& router_scale, const std::vector<float>& expert_scale, int rows, int hidden,
              int experts, int top_k) {
  const auto count = static_cast<std::size_t>(rows * top_k);
  std::int32_t* expert = side.OutInts(count);
  float* weight = side.Out(count);
  side.ops().Route({expert, weight, side.In(x), side.In(router), side.In(router_scale),
                    expert_scale.empty() ? nullptr : side.In(expert_scale), rows, hidden, experts, top_k, 1e-6f});
  side.Check();
  return {side.Read(expert, count), side.Read(weight, count)};
}

TEST(RouteTest, MatchesHost) {
  ASSAY_SIDES(sides, Precision::kFp32);
  struct {
    int rows, hidden, experts, top_k;
  } const shapes[] = {{40, 1536, 32, 4}, {1, 2816, 128, 8}, {7, 2816, 128, 8}, {33, 2816, 128, 8},
                      {70, 64, 8, 2},    {3, 30, 5, 5},     {2, 128, 300, 4}};
  // The first one's tiles take 48 KiB of shared memory, to which the kernel adds its own; a larger one before it would
  // have asked for what it needs.
  for (const auto& s : shapes) {
    sides.Clear();
    const auto hidden = static_cast<std::size_t>(s.hidden), rows = static_cast<std::size_t>(s.rows),
               experts = static_cast<std::size_t>(s.experts);
    const auto x = Numbers(1, rows * hidden, 4.0f), router = Numbers(2, experts * hidden),
               router_scale = Numbers(3, hidden, 0.2f, 1.0f);
    const auto expert_scale = s.rows % 2 == 0 ? std::vector<float>{} : Numbers(4, experts, 0.3f, 1.0f);
    const auto found =
        Choose(*sides.device, x, router, router_scale, expert_scale, s.rows, s.hidden, s.experts, s.top_k);
    const auto expected =
        Choose(*sides.host, x, router, router_scale, expert_scale, s.rows, s.hidden, s.experts, s.top_k);
    EXPECT_EQ(found.expert, expected.expert) << s.rows << " rows";
    ExpectClose(found.weight, expected.weight, 1e-5, 3e-5, "weights");
  }
}

// Equal experts: the lower index first, and the weights split evenly.
TEST(RouteTest, TiesGoToTheLowerIndex) {
  ASSAY_SIDES(sides, Precision::kFp32);
  for (const int rows : {2, 40}) {
    sides.Clear();
    const int hidden = 64, experts = 40;
    std::vector<float> router;
    const auto base = Numbers(9, 3 * 64);
    for (int e = 0; e < experts; ++e)  // three distinct experts, repeated
      router.insert(router.end(), base.begin() + e % 3 * 64, base.begin() + (e % 3 + 1) * 64);
    const auto x = Numbers(10, static_cast<std::size_t>(rows * hidden));
    const auto found = Choose(*sides.device, x, router, Numbers(11, 64, 0.0f, 1.0f), {}, rows, hidden, experts, 4);
    for (int r = 0; r < rows; ++r)
      for (int k = 0; k < 4; ++k) {
        const auto at = static_cast<std::size_t>(4 * r + k);
        EXPECT_EQ(found.expert[at], found.expert[at - static_cast<std::size_t>(k)] + 3 * k) << "row " << r;
        EXPECT_LT(found.expert[at - static_cast<std::size_t>(k)], 3) << "row " << r;
        EXPECT_NEAR(found.weight[at], 0.25f, 1e-6f);
      }
  }
}

}  // namespace
}  // namespace assay
