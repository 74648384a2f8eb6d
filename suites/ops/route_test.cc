// Which experts Route takes where they tie.
#include <cmath>

#include "suites/ops/checks.h"

namespace assay {
namespace {

struct Routed {
  std::vector<std::int32_t> expert;
  std::vector<float> weight;
};

Routed Choose(DeviceFixture& fixture, const std::vector<float>& x, const std::vector<float>& router,
              const std::vector<float>& router_scale, const std::vector<float>& expert_scale, int rows, int hidden,
              int experts, int top_k) {
  const auto count = static_cast<std::size_t>(rows * top_k);
  std::int32_t* expert = fixture.OutInts(count);
  float* weight = fixture.Out(count);
  fixture.ops().Route({expert, weight, fixture.In(x), fixture.In(router), fixture.In(router_scale),
                       expert_scale.empty() ? nullptr : fixture.In(expert_scale), rows, hidden, experts, top_k, 1e-6f});
  ExpectUndamaged(fixture);
  return {fixture.Read(expert, count), fixture.Read(weight, count)};
}

// Equal experts: the lower index first, and the weights split evenly.
TEST(RouteTest, TiesGoToTheLowerIndex) {
  ASSAY_HOST_AND_DEVICE(both, Precision::kFp32);
  for (const int rows : {2, 40}) {
    both.Clear();
    const int hidden = 64, experts = 40;
    std::vector<float> router;
    const auto base = Numbers(9, 3 * 64);
    for (int e = 0; e < experts; ++e)  // three distinct experts, repeated
      router.insert(router.end(), base.begin() + e % 3 * 64, base.begin() + (e % 3 + 1) * 64);
    const auto x = Numbers(10, static_cast<std::size_t>(rows * hidden));
    const auto found = Choose(*both.device, x, router, Numbers(11, 64, 0.0f, 1.0f), {}, rows, hidden, experts, 4);
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
