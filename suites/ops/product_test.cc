// Products against the host: exact integers to the last bit for every number of rows, random values within float32's
// rounding, gated and PLE finishes, invariance over batch sizes, repeatability with a poisoned workspace.
#include <algorithm>

#include "engine/base/check.h"
#include "engine/ops/cuda_ops.h"
#include "suites/ops/side.h"
#include "suites/ops/tensors.h"

namespace assay {
namespace {

#ifdef ASSAY_HAS_CUDA
void Poison(Side& side) {
  if (!side.ops().on_host()) PoisonWorkspace(side.ops());
}
#else
void Poison(Side&) {}
#endif

struct Subject {
  Precision precision;
  DType type;
};
std::string NameOf(const testing::TestParamInfo<Subject>& s) {
  return fmt::format("{}_{}", Name(s.param.precision), Name(s.param.type));
}

std::vector<Subject> Subjects() {
  std::vector<Subject> all;
  for (const Precision p : {Precision::kFp32, Precision::kFp16, Precision::kBf16}) {
    all.push_back({p, OperandType(p)});
    all.push_back({p, DType::kQ8_0});
    all.push_back({p, DType::kQ4_0});
  }
  all.push_back({Precision::kBf16, DType::kF16});
  all.push_back({Precision::kFp32, DType::kF16});
  all.push_back({Precision::kFp32, DType::kBF16});
  return all;
}

bool Blocked(DType type) { return IsQuantised(type); }

// Relative error of the weights when many rows make the library take them rounded to the mode's type.
double WeightRounding(const Subject& s) {
  return Blocked(s.type) && s.precision != Precision::kFp32 ? 0.5 * RoundingOf(s.precision) : 0.0;
}

// Relative error of a whole product in float32. Tensor cores cut off what lies below the accumulator when they align
// addends, 16 products a time: a bias, up to half an ulp of the sum each time, so linear in the number of columns.
double Accumulation(const Subject& s, std::int64_t cols) {
  return 4e-6 + (s.precision == Precision::kFp32 ? 0.0 : static_cast<double>(cols) / 16 * 0x1p-24);
}

class ProductTest : public testing::TestWithParam<Subject> {
 protected:
  std::unique_ptr<Weight> Prepared(Side& side, const std::vector<HostTensor>& parts,
                                   WeightUse use = WeightUse::kMatrix) {
    return side.ops().Prepare(parts, use);
  }
  // MatMul on one side; every array guarded, the workspace poisoned.
  std::vector<float> MatMul(Side& side, const Weight& w, const std::vector<float>& x, int rows) {
    const auto count = static_cast<std::size_t>(rows * w.rows);
    Poison(side);
    float* out = side.Out(count);
    side.ops().MatMul(out, w, side.InOperand(x), rows);
    side.Check();
    return side.Read(out, count);
  }
  std::vector<float> Gated(Side& side, const Weight& w, const std::vector<float>& x, int rows, Activation activation) {
    const auto count = static_cast<std::size_t>(rows * w.rows / 2);
    Poison(side);
    void* out = side.OutOperand(count);
    side.ops().GatedMatMul(out, w, side.InOperand(x), rows, activation);
    side.Check();
    return side.ReadOperand(out, count);
  }
};

std::vector<float> FirstRows(const std::vector<float>& all, std::int64_t rows, std::int64_t width) {
  return {all.begin(), all.begin() + rows * width};
}

TEST_P(ProductTest, ExactIntegers) {
  ASSAY_SIDES(sides, GetParam().precision);
  std::vector<TensorShape> shapes = {{1, 16, 32},  {1, 33, 96},    {1, 5, 160},   {1, 130, 256},
                                     {1, 48, 704}, {1, 257, 2560}, {1, 20, 10240}};
  if (!Blocked(GetParam().type))
    shapes.insert(shapes.end(), {{1, 7, 1}, {1, 9, 7}, {1, 64, 41}, {1, 100, 40}, {1, 3, 1000}});
  for (const TensorShape& shape : shapes) {
    const HostTensor tensor = IntegerTensor(GetParam().type, shape, 11);
    const auto device = Prepared(*sides.device, {tensor}), host = Prepared(*sides.host, {tensor});
    const int most = shape.cols > 3000 ? 70 : 130;
    const std::vector<float> x = Integers(12, static_cast<std::size_t>(most * shape.cols), 2);
    sides.Clear();
    const std::vector<float> expected = MatMul(*sides.host, *host, x, most);
    for (int rows = 1; rows <= most;
         rows += rows < 20 || (rows > 30 && rows < 34) || (rows > 61 && rows < 66) ? 1 : 5) {
      sides.Clear();
      const std::vector<float> found = MatMul(*sides.device, *device, FirstRows(x, rows, shape.cols), rows);
      const std::vector<float> wanted = FirstRows(expected, rows, shape.rows);
      const auto at = std::mismatch(found.begin(), found.end(), wanted.begin());
      ASSERT_TRUE(at.first == found.end())
          << "[" << shape.rows << ", " << shape.cols << "] times " << rows << " rows: element "
          << at.first - found.begin() << " is " << *at.first << ", expected " << *at.second;
    }
  }
}

TEST_P(ProductTest, Random) {
  ASSAY_SIDES(sides, GetParam().precision);
  for (const TensorShape& shape :
       {TensorShape{1, 256, 2560}, {1, 2560, 256}, {1, 640, 10240}, {1, 1000, 2112}, {1, 4100, 704}}) {
    const HostTensor tensor = RandomTensor(GetParam().type, shape, 21);
    const auto device = Prepared(*sides.device, {tensor}), host = Prepared(*sides.host, {tensor});
    for (const int rows : {1, 2, 3, 4, 5, 8, 9, 16, 17, 33, 64, 65, 150}) {
      sides.Clear();
      const std::vector<float> x = Numbers(22, static_cast<std::size_t>(rows * shape.cols));
      const double rounding = rows > 16 ? WeightRounding(GetParam()) : 0.0;
      ExpectClose(MatMul(*sides.device, *device, x, rows), MatMul(*sides.host, *host, x, rows),
                  Accumulation(GetParam(), shape.cols) + rounding, 2e-5 + 2 * rounding,
                  fmt::format("[{}, {}] times {}", shape.rows, shape.cols, rows));
    }
  }
}

TEST_P(ProductTest, StackedParts) {
  ASSAY_SIDES(sides, GetParam().precision);
  const std::vector<HostTensor> parts = {IntegerTensor(GetParam().type, {1, 48, 256}, 31),
                                         IntegerTensor(GetParam().type, {1, 7, 256}, 32),
                                         IntegerTensor(GetParam().type, {1, 9, 256}, 33)};
  const auto device = Prepared(*sides.device, parts), host = Prepared(*sides.host, parts);
  EXPECT_EQ(device->rows, 64);
  for (const int rows : {1, 6, 80}) {
    sides.Clear();
    const std::vector<float> x = Integers(34, static_cast<std::size_t>(rows) * 256, 2);
    EXPECT_EQ(MatMul(*sides.device, *device, x, rows), MatMul(*sides.host, *host, x, rows)) << rows;
  }
}

TEST_P(ProductTest, Gated) {
  ASSAY_SIDES(sides, GetParam().precision);
  const double rounding = RoundingOf(GetParam().precision);
  for (const TensorShape& shape :
       {TensorShape{1, 2 * 33, 64}, {1, 2 * 704, 2816}, {1, 2 * 2112, 256}, {1, 2 * 1, 32}}) {
    const std::vector<HostTensor> parts = {RandomTensor(GetParam().type, {1, shape.rows / 2, shape.cols}, 41),
                                           RandomTensor(GetParam().type, {1, shape.rows / 2, shape.cols}, 42)};
    const auto device = Prepared(*sides.device, parts, WeightUse::kGated),
               host = Prepared(*sides.host, parts, WeightUse::kGated);
    for (const int rows : {1, 2, 4, 7, 16, 17, 40, 64, 70})
      for (const Activation activation : {Activation::kSilu, Activation::kGeluTanh}) {
        sides.Clear();
        const std::vector<float> x = Numbers(43, static_cast<std::size_t>(rows * shape.cols), 2.0f);
        const double weights = rows > 16 ? 2 * WeightRounding(GetParam()) : 0.0;
        ExpectClose(Gated(*sides.device, *device, x, rows, activation), Gated(*sides.host, *host, x, rows, activation),
                    1e-5 + rounding + weights, 4e-5 + rounding + 4 * weights,
                    fmt::format("[{}, {}] times {}", shape.rows, shape.cols, rows));
      }
  }
}

TEST_P(ProductTest, PleGate) {
  ASSAY_SIDES(sides, GetParam().precision);
  const double rounding = RoundingOf(GetParam().precision);
  for (const TensorShape& shape : {TensorShape{1, 256, 2560}, {1, 32, 64}, {1, 17, 96}}) {
    const HostTensor tensor = RandomTensor(GetParam().type, shape, 51);
    const auto device = Prepared(*sides.device, {tensor}), host = Prepared(*sides.host, {tensor});
    const std::int64_t stride = 3 * shape.rows + 5;
    for (const int rows : {1, 5, 16, 40, 66}) {
      sides.Clear();
      const std::vector<float> x = Numbers(52, static_cast<std::size_t>(rows * shape.cols)),
                               ple = Numbers(53, static_cast<std::size_t>(rows * stride));
      const auto count = static_cast<std::size_t>(rows * shape.rows);
      const auto run = [&](Side& side, const Weight& w) {
        Poison(side);
        void* out = side.OutOperand(count);
        side.ops().PleGate(
            {out, &w, side.InOperand(x), side.In(ple) + shape.rows, stride, rows, Activation::kGeluTanh});
        side.Check();
        return side.ReadOperand(out, count);
      };
      const double weights = rows > 16 ? 2 * WeightRounding(GetParam()) : 0.0;
      ExpectClose(run(*sides.device, *device), run(*sides.host, *host), 1e-5 + rounding + weights,
                  4e-5 + rounding + 4 * weights, std::to_string(rows));
    }
  }
}

// In batch-invariant mode a row's bits do not depend on how many rows there are or on which place it has.
TEST_P(ProductTest, BatchInvariance) {
  Sides sides = MakeSides(GetParam().precision, /*batch_invariant=*/true);
  if (!sides.missing.empty()) GTEST_SKIP() << sides.missing;
  Side& side = *sides.device;
  for (const TensorShape& shape : {TensorShape{1, 256, 2560}, {1, 2560, 2048}, {1, 512, 10240}, {1, 34, 704}}) {
    const auto w = Prepared(side, {RandomTensor(GetParam().type, shape, 61)});
    const auto gated = Prepared(side, {RandomTensor(GetParam().type, shape, 62)}, WeightUse::kGated);
    const int most = 140;
    const std::vector<float> x = Numbers(63, static_cast<std::size_t>(most * shape.cols));
    sides.Clear();
    const std::vector<float> all = MatMul(side, *w, x, most),
                             all_gated = Gated(side, *gated, x, most, Activation::kGeluTanh);
    for (int rows = 1; rows <= 64; rows += rows < 18 ? 1 : 7)
      for (const int from : {0, 51}) {
        sides.Clear();
        const std::vector<float> part(x.begin() + from * shape.cols, x.begin() + (from + rows) * shape.cols);
        const std::vector<float> found = MatMul(side, *w, part, rows),
                                 found_gated = Gated(side, *gated, part, rows, Activation::kGeluTanh);
        ASSERT_TRUE(std::equal(found.begin(), found.end(), all.begin() + from * shape.rows))
            << shape.cols << " columns, rows " << from << " + " << rows;
        ASSERT_TRUE(std::equal(found_gated.begin(), found_gated.end(), all_gated.begin() + from * shape.rows / 2))
            << "gated, " << shape.cols << " columns, rows " << from << " + " << rows;
      }
  }
}

TEST_P(ProductTest, RepeatsBitForBit) {
  ASSAY_SIDES(sides, GetParam().precision);
  Side& side = *sides.device;
  const auto w = Prepared(side, {RandomTensor(GetParam().type, {1, 256, 2560}, 71)});
  for (const int rows : {1, 3, 16, 32, 100}) {
    const std::vector<float> x = Numbers(72, static_cast<std::size_t>(rows) * 2560);
    const std::vector<float> first = MatMul(side, *w, x, rows);
    for (int run = 0; run < 20; ++run) {
      sides.Clear();
      ASSERT_EQ(MatMul(side, *w, x, rows), first) << rows << " rows, run " << run;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, ProductTest, testing::ValuesIn(Subjects()), NameOf);

}  // namespace
}  // namespace assay
