// Which index Logits takes where values tie or are NaN; host and device against what the contract says.
#include <limits>

#include "suites/ops/checks.h"

namespace assay {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// Saturated caps tie: the lowest index wins. NaN never does; zeros of both signs are equal; all NaN gives 0.
TEST(LogitsTest, TiesAndNan) {
  ASSAY_HOST_AND_DEVICE(both, Precision::kBf16);
  const int vocab = 5000;
  struct {
    std::vector<std::pair<int, float>> at;
    float fill, cap;
    std::int32_t best;
  } const cases[] = {
      {{{4999, 5.0f}, {3000, 5.0f}, {3001, 5.0f}}, 1.0f, 0.0f, 3000},
      {{{4000, 1e6f}, {70, 1e5f}}, 0.0f, 30.0f, 70},
      {{{0, kNan}, {4999, -3.0f}}, kNan, 0.0f, 4999},
      {{}, kNan, 0.0f, 0},
      {{}, -kInf, 0.0f, 0},
      {{{0, kNan}, {1, kNan}}, -kInf, 0.0f, 2},
      {{{10, -0.0f}, {11, 0.0f}}, -1.0f, 0.0f, 10},
      {{{2048, kInf}, {2047, 3e38f}}, 0.0f, 0.0f, 2048},
  };
  for (const auto& c : cases) {
    both.Clear();
    std::vector<float> raw(static_cast<std::size_t>(vocab), c.fill);
    for (const auto& [i, v] : c.at) raw[static_cast<std::size_t>(i)] = v;
    for (DeviceFixture* fixture : {both.device.get(), both.host.get()}) {
      std::int32_t* best = fixture->OutInts(1);
      fixture->ops().Logits({nullptr, best, fixture->In(raw), 1, vocab, c.cap});
      ExpectUndamaged(*fixture);
      EXPECT_EQ(fixture->Read(best, 1)[0], c.best) << fixture->ops().device();
    }
  }
}

}  // namespace
}  // namespace assay
