// A row of an expert product has the same bits whatever other rows there are.
#include <algorithm>

#include "suites/ops/cases/expert_routes.h"
#include "suites/ops/cases/tensors.h"
#include "suites/ops/checks.h"

namespace assay {
namespace {

class ExpertTest : public testing::TestWithParam<ProductSubject> {
 protected:
  std::vector<float> Gated(DeviceFixture& fixture, const Weight& w, const std::vector<float>& x,
                           const std::vector<std::int32_t>& expert, int rows, int top_k) {
    const auto count = static_cast<std::size_t>(rows * top_k * w.rows / 2);
    fixture.PoisonScratch();
    void* out = fixture.OutOperand(count);
    fixture.ops().ExpertGated({out, &w, fixture.InOperand(x), fixture.In(expert), rows, top_k, Activation::kGeluTanh});
    ExpectUndamaged(fixture);
    return fixture.ReadOperand(out, count);
  }
  std::vector<float> Down(DeviceFixture& fixture, const Weight& w, const std::vector<float>& x,
                          const std::vector<std::int32_t>& expert, const std::vector<float>& weight, int rows,
                          int top_k) {
    const auto count = static_cast<std::size_t>(rows * w.rows);
    fixture.PoisonScratch();
    float* out = fixture.Out(count);
    fixture.ops().ExpertDown({out, &w, fixture.InOperand(x), fixture.In(expert), fixture.In(weight), rows, top_k});
    ExpectUndamaged(fixture);
    return fixture.Read(out, count);
  }
};

TEST_P(ExpertTest, BatchInvariance) {
  HostAndDevice both = MakeHostAndDevice(GetParam().precision, /*batch_invariant=*/true);
  if (!both.missing.empty()) GTEST_SKIP() << both.missing;
  DeviceFixture& fixture = *both.device;
  const ExpertLayer layer{16, 8, 256, 704};
  const auto up = fixture.ops().Prepare(
      {RandomTensor(GetParam().stored, {layer.experts, 2 * layer.ffn, layer.hidden}, 1)}, WeightUse::kGated);
  const auto down = fixture.ops().Prepare(
      {RandomTensor(GetParam().stored, {layer.experts, layer.hidden, layer.ffn}, 2)}, WeightUse::kMatrix);
  const int most = 100;
  const std::vector<std::int32_t> expert = ExpertRoutes(most, layer, false);
  const std::vector<float> x = Numbers(3, static_cast<std::size_t>(most * layer.hidden)),
                           y = Numbers(4, expert.size() * static_cast<std::size_t>(layer.ffn)),
                           weight = Numbers(5, expert.size());
  const std::vector<float> all_up = Gated(fixture, *up, x, expert, most, layer.top_k),
                           all_down = Down(fixture, *down, y, expert, weight, most, layer.top_k);
  for (int rows = 1; rows <= 64; rows += rows < 18 ? 1 : 7) {
    both.Clear();
    const auto assignments = rows * layer.top_k;
    const std::vector<std::int32_t> some(expert.begin(), expert.begin() + assignments);
    const auto found_up = Gated(fixture, *up, {x.begin(), x.begin() + rows * layer.hidden}, some, rows, layer.top_k);
    const auto found_down = Down(fixture, *down, {y.begin(), y.begin() + assignments * layer.ffn}, some,
                                 {weight.begin(), weight.begin() + assignments}, rows, layer.top_k);
    ASSERT_TRUE(std::equal(found_up.begin(), found_up.end(), all_up.begin())) << rows << " rows, gated";
    ASSERT_TRUE(std::equal(found_down.begin(), found_down.end(), all_down.begin())) << rows << " rows, down";
  }
}

INSTANTIATE_TEST_SUITE_P(Types, ExpertTest, testing::ValuesIn(ExpertSubjects()), SubjectName);

}  // namespace
}  // namespace assay
