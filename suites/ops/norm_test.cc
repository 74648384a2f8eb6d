// Norm, Residual and Join against the host: widths of real models, tails that are no multiple of four, wide rows.
#include "suites/ops/side.h"

namespace assay {
namespace {

constexpr int kWidths[] = {1, 7, 32, 64, 250, 1536, 2560, 3840, 4096, 5376, 8192, 8196, 16384};
constexpr float kEps = 1e-6f;

class NormTest : public testing::TestWithParam<Precision> {
 protected:
  double whole() const { return GetParam() == Precision::kFp32 ? 2e-6 : 0.5 * RoundingOf(GetParam()); }
  double worst() const { return GetParam() == Precision::kFp32 ? 5e-6 : RoundingOf(GetParam()); }
};

TEST_P(NormTest, Norm) {
  ASSAY_SIDES(sides, GetParam());
  for (const int width : kWidths)
    for (const int rows : {1, 5}) {
      sides.Clear();
      const auto count = static_cast<std::size_t>(rows * width);
      const auto x = Numbers(1, count, 3.0f), weight = Numbers(2, static_cast<std::size_t>(width), 0.3f, 1.0f);
      const auto run = [&](Side& side) {
        void* out = side.OutOperand(count);
        side.ops().Norm({out, side.In(x), side.In(weight), rows, width, kEps});
        side.Check();
        return side.ReadOperand(out, count);
      };
      ExpectClose(run(*sides.device), run(*sides.host), whole(), worst(), "width " + std::to_string(width));
    }
}

TEST_P(NormTest, Residual) {
  ASSAY_SIDES(sides, GetParam());
  for (const int width : kWidths)
    for (const int variant : {0, 1, 2, 3, 4}) {  // bits: post norm, next norm; 4: no operand
      sides.Clear();
      const int rows = 3;
      const auto count = static_cast<std::size_t>(rows * width), one = static_cast<std::size_t>(width);
      const auto x = Numbers(3, count, 2.0f), delta = Numbers(4, count, 5.0f), post = Numbers(5, one, 0.2f, 1.0f),
                 next = Numbers(6, one, 0.2f, 1.0f);
      std::vector<float> operand[2];
      const auto run = [&](Side& side, std::vector<float>& rounded) {
        float* at = side.InOut(x);
        void* out = variant == 4 ? nullptr : side.OutOperand(count);
        side.ops().Residual({at, out, side.In(delta), (variant & 1) != 0 ? side.In(post) : nullptr,
                             (variant & 2) != 0 ? side.In(next) : nullptr, 0.37f, rows, width, kEps});
        side.Check();
        if (out != nullptr) rounded = side.ReadOperand(out, count);
        return side.Read(at, count);
      };
      const std::string what = "width " + std::to_string(width) + " variant " + std::to_string(variant);
      const auto found = run(*sides.device, operand[0]), expected = run(*sides.host, operand[1]);
      ExpectClose(found, expected, 2e-6, 5e-6, what);
      ExpectClose(operand[0], operand[1], whole(), worst(), what + " operand");
    }
}

TEST_P(NormTest, Join) {
  ASSAY_SIDES(sides, GetParam());
  for (const int width : {7, 64, 2816, 5376})
    for (const int alias : {0, 1, 2}) {  // sum is: an array of its own, a, b
      sides.Clear();
      const int rows = 4;
      const auto count = static_cast<std::size_t>(rows * width), one = static_cast<std::size_t>(width);
      const auto a = Numbers(7, count), b = Numbers(8, count, 4.0f), norm_a = Numbers(9, one, 0.3f, 1.0f),
                 norm_b = Numbers(10, one, 0.3f, 1.0f);
      const auto run = [&](Side& side) {
        float *at_a = side.InOut(a), *at_b = side.InOut(b),
              *sum = alias == 0   ? side.Out(count)
                     : alias == 1 ? at_a
                                  : at_b;
        side.ops().Join({sum, at_a, at_b, side.In(norm_a), side.In(norm_b), rows, width, kEps});
        side.Check();
        return side.Read(sum, count);
      };
      ExpectClose(run(*sides.device), run(*sides.host), 2e-6, 5e-6, "width " + std::to_string(width));
    }
}

TEST_P(NormTest, AddBias) {
  ASSAY_SIDES(sides, GetParam());
  for (const int width : {1, 7, 64, 5376})
    for (const int rows : {1, 33}) {
      sides.Clear();
      const auto count = static_cast<std::size_t>(rows * width);
      const auto x = Numbers(11, count, 3.0f), bias = Numbers(12, static_cast<std::size_t>(width));
      const auto run = [&](Side& side) {
        float* at = side.InOut(x);
        side.ops().AddBias(at, side.In(bias), rows, width);
        side.Check();
        return side.Read(at, count);
      };
      ExpectClose(run(*sides.device), run(*sides.host), 0, 0, "width " + std::to_string(width));
    }
}

INSTANTIATE_TEST_SUITE_P(Modes, NormTest, testing::Values(Precision::kFp32, Precision::kFp16, Precision::kBf16),
                         ModeName);

}  // namespace
}  // namespace assay
