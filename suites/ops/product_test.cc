// Products on the device alone: rows do not depend on how many there are, and runs repeat bit for bit with a poisoned
// workspace.
#include <algorithm>

#include "suites/ops/cases/tensors.h"
#include "suites/ops/checks.h"

namespace assay {
namespace {

class ProductTest : public testing::TestWithParam<ProductSubject> {
 protected:
  std::unique_ptr<Weight> Prepared(DeviceFixture& fixture, const std::vector<HostTensor>& parts,
                                   WeightUse use = WeightUse::kMatrix) {
    return fixture.ops().Prepare(parts, use);
  }
  // MatMul on one fixture; every array guarded, the workspace poisoned.
  std::vector<float> MatMul(DeviceFixture& fixture, const Weight& w, const std::vector<float>& x, int rows) {
    const auto count = static_cast<std::size_t>(rows * w.rows);
    fixture.PoisonScratch();
    float* out = fixture.Out(count);
    fixture.ops().MatMul(out, w, fixture.InOperand(x), rows);
    ExpectUndamaged(fixture);
    return fixture.Read(out, count);
  }
  std::vector<float> Gated(DeviceFixture& fixture, const Weight& w, const std::vector<float>& x, int rows,
                           Activation activation) {
    const auto count = static_cast<std::size_t>(rows * w.rows / 2);
    fixture.PoisonScratch();
    void* out = fixture.OutOperand(count);
    fixture.ops().GatedMatMul(out, w, fixture.InOperand(x), rows, activation);
    ExpectUndamaged(fixture);
    return fixture.ReadOperand(out, count);
  }
};

// In batch-invariant mode a row's bits do not depend on how many rows there are or on which place it has.
TEST_P(ProductTest, BatchInvariance) {
  HostAndDevice both = MakeHostAndDevice(GetParam().precision, /*batch_invariant=*/true);
  if (!both.missing.empty()) GTEST_SKIP() << both.missing;
  DeviceFixture& fixture = *both.device;
  // The last two: as many tiles as two blocks a multiprocessor take whole, and more. Of many rows the first of them are
  // streamed in the largest tiles.
  for (const TensorShape& shape :
       {TensorShape{1, 256, 2560}, {1, 2560, 2048}, {1, 512, 10240}, {1, 34, 704}, {1, 17024, 96}, {1, 34048, 64}}) {
    const auto w = Prepared(fixture, {RandomTensor(GetParam().stored, shape, 61)});
    const auto gated = Prepared(fixture, {RandomTensor(GetParam().stored, shape, 62)}, WeightUse::kGated);
    const int most = shape.rows > 10000 ? 512 : 140;  // more than a tile holds, but for the largest
    const std::vector<float> x = Numbers(63, static_cast<std::size_t>(most * shape.cols));
    both.Clear();
    const std::vector<float> all = MatMul(fixture, *w, x, most),
                             all_gated = Gated(fixture, *gated, x, most, Activation::kGeluTanh);
    for (int rows = 1; rows <= 87; rows += rows < 18 ? 1 : 7)
      for (const int from : {0, 51}) {
        both.Clear();
        const std::vector<float> part(x.begin() + from * shape.cols, x.begin() + (from + rows) * shape.cols);
        const std::vector<float> found = MatMul(fixture, *w, part, rows),
                                 found_gated = Gated(fixture, *gated, part, rows, Activation::kGeluTanh);
        ASSERT_TRUE(std::equal(found.begin(), found.end(), all.begin() + from * shape.rows))
            << shape.cols << " columns, rows " << from << " + " << rows;
        ASSERT_TRUE(std::equal(found_gated.begin(), found_gated.end(), all_gated.begin() + from * shape.rows / 2))
            << "gated, " << shape.cols << " columns, rows " << from << " + " << rows;
      }
  }
}

TEST_P(ProductTest, RepeatsBitForBit) {
  ASSAY_HOST_AND_DEVICE(both, GetParam().precision);
  DeviceFixture& fixture = *both.device;
  const auto w = Prepared(fixture, {RandomTensor(GetParam().stored, {1, 256, 2560}, 71)});
  for (const int rows : {1, 3, 16, 32, 100}) {
    const std::vector<float> x = Numbers(72, static_cast<std::size_t>(rows) * 2560);
    const std::vector<float> first = MatMul(fixture, *w, x, rows);
    for (int run = 0; run < 20; ++run) {
      both.Clear();
      ASSERT_EQ(MatMul(fixture, *w, x, rows), first) << rows << " rows, run " << run;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, ProductTest, testing::ValuesIn(ProductSubjects()), SubjectName);

}  // namespace
}  // namespace assay
