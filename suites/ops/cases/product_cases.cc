// Products: exact integers to the last bit for every number of rows, random values within float32's rounding, stacked
// parts, gated and PLE epilogues.
#include <fmt/format.h>

#include <array>
#include <span>

#include "engine/base/quant.h"
#include "suites/ops/cases/cases.h"
#include "suites/ops/cases/tensors.h"

namespace assay {
namespace {

// Relative error of the weights when many rows make the library take them rounded to the mode's type.
double WeightRounding(DType stored, Precision precision, int rows) {
  return rows > 16 && IsQuantised(stored) && precision.operands != DType::kF32 ? 0.5 * RoundingOf(precision) : 0.0;
}

// Tensor cores cut off what lies below the accumulator when they align addends, 16 products a time: a bias, up to half
// an ulp of the sum each time, so linear in the number of columns.
Tolerance PlainTolerance(const ProductShape& s, Precision precision) {
  if (s.exact) return {};
  const double weights = WeightRounding(s.stored, precision, s.rows);
  const double accumulation = precision.operands == DType::kF32 ? 0.0 : static_cast<double>(s.cols) / 16 * 0x1p-24;
  return {4e-6 + accumulation + weights, 2e-5 + 2 * weights};
}

Tolerance ActivatedTolerance(const ProductShape& s, Precision precision) {
  const double weights = 2 * WeightRounding(s.stored, precision, s.rows), rounding = RoundingOf(precision);
  return {1e-5 + rounding + weights, 4e-5 + rounding + 4 * weights};
}

OpCost CostOf(const ProductShape& s, const std::vector<std::shared_ptr<const Weight>>& weights) {
  OpCost cost;
  for (const auto& weight : weights)
    cost.bytes += static_cast<double>(weight->bytes()) / static_cast<double>(weights.size());
  cost.flops = 2.0 * s.rows * static_cast<double>(s.rows_out) * static_cast<double>(s.cols);
  return cost;
}

Axes AxesOf(const ProductShape& s) {
  return Axes({{"stored", std::string(Name(s.stored))}, {"out", s.rows_out}, {"cols", s.cols}, {"rows", s.rows}});
}

std::size_t Elements(int rows, std::int64_t width) { return static_cast<std::size_t>(rows * width); }

OpCase PleGateCase(const ProductShape& s, const WeightsOf& weights_of) {
  const std::int64_t stride = 3 * s.rows_out + 5;
  const Values x = LazyNumbers(52, Elements(s.rows, s.cols)), ple = LazyNumbers(53, Elements(s.rows, stride));
  const std::size_t count = Elements(s.rows, s.rows_out);
  OpCase made;
  made.op = "ple_gate";
  made.axes = AxesOf(s);
  made.prepare = [=](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    const auto weights = weights_of(fixture);
    void* out = fixture.OutOperand(count);
    const Ops::PleGateArgs args{out,    weights[0].get(), fixture.InOperand(x), fixture.In(ple) + s.rows_out,
                                stride, s.rows,           Activation::kGeluTanh};
    PreparedOp op;
    op.call = [args, weights, &ops] { ops.PleGate(args); };
    op.outputs = {{"operand", Output::Type::kOperand, out, count, ActivatedTolerance(s, ops.precision())}};
    op.cost = CostOf(s, weights);
    return op;
  };
  return made;
}

// Sums of integers in float64 from what the parts hold; exact in float32 as well.
void AddExactFormula(OpCase* item, const std::shared_ptr<const WeightParts>& parts, const Values& x, int rows) {
  item->formula = [=] {
    const std::vector<float> in = x.make();
    const auto cols = static_cast<std::size_t>(parts->parts[0].cols);
    std::vector<float> weights;
    for (const HostTensor& part : parts->parts) {
      const std::vector<float> more = Decoded(part);
      weights.insert(weights.end(), more.begin(), more.end());
    }
    std::vector<float> out;
    for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r)
      for (std::size_t o = 0; o < weights.size(); o += cols) {
        double sum = 0;
        for (std::size_t i = 0; i < cols; ++i) sum += static_cast<double>(weights[o + i]) * in[r * cols + i];
        out.push_back(static_cast<float>(sum));
      }
    return OutputValues{out};
  };
}

std::shared_ptr<const WeightParts> Parts(std::vector<HostTensor> parts, WeightUse use = WeightUse::kMatrix) {
  return std::make_shared<WeightParts>(WeightParts{std::move(parts), use});
}

Values LazyIntegers(std::uint64_t key, std::size_t count) {
  return {count, [=] { return Integers(key, count, 2); }};
}

std::vector<OpCase> ExactIntegers(DType stored) {
  std::vector<TensorShape> shapes = {{1, 16, 32},  {1, 33, 96},    {1, 5, 160},    {1, 130, 256},
                                     {1, 48, 704}, {1, 257, 2560}, {1, 20, 10240}, {1, 20, 14336}};
  if (!IsQuantised(stored))
    shapes.insert(shapes.end(), {{1, 7, 1}, {1, 9, 7}, {1, 64, 41}, {1, 100, 40}, {1, 3, 1000}});
  std::vector<OpCase> cases;
  for (const TensorShape& shape : shapes) {
    const auto parts = Parts({IntegerTensor(stored, shape, 11)});
    const int most = shape.cols > 3000 ? 70 : 130;
    for (int rows = 1; rows <= most; ++rows) {
      // Every count up to 20 and around the bounds of tiles, every fifth elsewhere.
      if (rows > 20 && rows % 5 != 0 && (rows < 31 || rows > 34) && (rows < 61 || rows > 66)) continue;
      const Values x = LazyIntegers(12, Elements(rows, shape.cols));
      cases.push_back(MatMulCase({stored, shape.rows, shape.cols, rows, /*exact=*/true}, PreparedFrom(parts), x));
      AddExactFormula(&cases.back(), parts, x, rows);
    }
  }
  return cases;
}

// Rows of prompts. Where 16 multiprocessors stream them by as many weights as below, tiles hold 256 of them, and the
// last ones of three widths.
constexpr int kPrompts[] = {330, 400, 450};

std::vector<OpCase> Random(DType stored) {
  std::vector<OpCase> cases;
  for (const TensorShape& shape :
       {TensorShape{1, 256, 2560}, {1, 2560, 256}, {1, 640, 10240}, {1, 1000, 2112}, {1, 4100, 704}}) {
    const WeightsOf weights = PreparedFrom(Parts({RandomTensor(stored, shape, 21)}));
    for (const int rows : {1, 2, 3, 4, 5, 8, 9, 16, 17, 33, 64, 65, 150})
      cases.push_back(
          MatMulCase({stored, shape.rows, shape.cols, rows}, weights, LazyNumbers(22, Elements(rows, shape.cols))));
  }
  // On 132 multiprocessors plain weights are cut for more warps than would fill them, because of the last wave.
  cases.push_back(MatMulCase({stored, 3300, 4096, 1}, PreparedFrom(Parts({RandomTensor(stored, {1, 3300, 4096}, 25)})),
                             LazyNumbers(26, Elements(1, 4096))));
  for (const std::int64_t rows_out : {2980, 3108}) {
    const WeightsOf weights = PreparedFrom(Parts({RandomTensor(stored, {1, rows_out, 320}, 23)}));
    for (const int rows : kPrompts)
      cases.push_back(MatMulCase({stored, rows_out, 320, rows}, weights, LazyNumbers(24, Elements(rows, 320))));
  }
  return cases;
}

std::vector<OpCase> StackedParts(DType stored) {
  const auto parts = Parts({IntegerTensor(stored, {1, 48, 256}, 31), IntegerTensor(stored, {1, 7, 256}, 32),
                            IntegerTensor(stored, {1, 9, 256}, 33)});
  std::vector<OpCase> cases;
  for (const int rows : {1, 6, 80}) {
    const Values x = LazyIntegers(34, Elements(rows, 256));
    cases.push_back(MatMulCase({stored, 64, 256, rows, /*exact=*/true}, PreparedFrom(parts), x));
    AddExactFormula(&cases.back(), parts, x, rows);
  }
  return cases;
}

std::vector<OpCase> Gated(DType stored) {
  std::vector<OpCase> cases;
  for (const TensorShape& half : {TensorShape{1, 33, 64}, {1, 704, 2816}, {1, 528, 1536}, {1, 2112, 256}, {1, 1, 32}}) {
    const WeightsOf weights =
        PreparedFrom(Parts({RandomTensor(stored, half, 41), RandomTensor(stored, half, 42)}, WeightUse::kGated));
    for (const int rows : {1, 2, 4, 7, 16, 17, 40, 64, 70})
      for (const Activation activation : {Activation::kSilu, Activation::kGeluTanh})
        cases.push_back(GatedCase({stored, 2 * half.rows, half.cols, rows}, weights,
                                  LazyNumbers(43, Elements(rows, half.cols), 2.0f), activation));
  }
  const auto prompts = [&](const TensorShape& half, const WeightsOf& weights, std::span<const int> all) {
    for (const int rows : all)
      cases.push_back(GatedCase({stored, 2 * half.rows, half.cols, rows}, weights,
                                LazyNumbers(46, Elements(rows, half.cols), 2.0f), Activation::kSilu));
  };
  const auto parts_of = [&](const TensorShape& half, int seed) {
    return Parts({RandomTensor(stored, half, seed), RandomTensor(stored, half, seed + 1)}, WeightUse::kGated);
  };
  const TensorShape few{1, 1504, 320}, many{1, 2112, 128};
  prompts(few, PreparedFrom(parts_of(few, 44)), kPrompts);
  // So many that they are streamed by themselves, and every tile of weights is begun at once. Quantised weights are
  // expanded before, to where others are left by another product.
  const auto others = parts_of(many, 47), own = parts_of(many, 49);
  prompts(
      many,
      [=](DeviceFixture& fixture) {
        return std::vector{fixture.Prepared(others), fixture.Prepared(own)};
      },
      std::array{1030});
  return cases;
}

std::vector<OpCase> PleGate(DType stored) {
  std::vector<OpCase> cases;
  for (const TensorShape& shape : {TensorShape{1, 256, 2560}, {1, 32, 64}, {1, 17, 96}}) {
    const WeightsOf weights = PreparedFrom(Parts({RandomTensor(stored, shape, 51)}));
    for (const int rows : {1, 5, 16, 40, 66})
      cases.push_back(PleGateCase({stored, shape.rows, shape.cols, rows}, weights));
  }
  return cases;
}

}  // namespace

WeightsOf PreparedFrom(std::shared_ptr<const WeightParts> parts) {
  return [parts = std::move(parts)](DeviceFixture& fixture) { return std::vector{fixture.Prepared(parts)}; };
}

OpCase MatMulCase(const ProductShape& s, const WeightsOf& weights_of, const Values& x) {
  const std::size_t count = Elements(s.rows, s.rows_out);
  OpCase made;
  made.op = "matmul";
  made.axes = AxesOf(s);
  made.prepare = [=](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    const auto weights = weights_of(fixture);
    float* out = fixture.Out(count);
    const void* in = fixture.InOperand(x);
    PreparedOp op;
    op.calls = static_cast<int>(weights.size());
    op.call = [=, &ops, rows = s.rows] {
      for (const auto& weight : weights) ops.MatMul(out, *weight, in, rows);
    };
    op.outputs = {{"out", Output::Type::kFloat, out, count, PlainTolerance(s, ops.precision())}};
    op.cost = CostOf(s, weights);
    return op;
  };
  return made;
}

OpCase GatedCase(const ProductShape& s, const WeightsOf& weights_of, const Values& x, Activation activation) {
  const std::size_t count = Elements(s.rows, s.rows_out / 2);
  OpCase made;
  made.op = "gated";
  made.axes = AxesOf(s).Set("activation", static_cast<int>(activation));
  made.prepare = [=](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    const auto weights = weights_of(fixture);
    void* out = fixture.OutOperand(count);
    const void* in = fixture.InOperand(x);
    PreparedOp op;
    op.calls = static_cast<int>(weights.size());
    op.call = [=, &ops, rows = s.rows] {
      for (const auto& weight : weights) ops.GatedMatMul(out, *weight, in, rows, activation);
    };
    op.outputs = {{"operand", Output::Type::kOperand, out, count, ActivatedTolerance(s, ops.precision())}};
    op.cost = CostOf(s, weights);
    return op;
  };
  return made;
}

std::string ProductSubject::name() const { return fmt::format("{}_{}", Name(precision), Name(stored)); }

std::vector<ProductSubject> ProductSubjects() {
  std::vector<ProductSubject> all;
  for (const Precision precision : kPrecisions)
    for (const DType stored : {OperandType(precision), DType::kQ8_0, DType::kQ4_0}) all.push_back({precision, stored});
  all.push_back({Precision::kBf16, DType::kF16});
  all.push_back({Precision::kFp32, DType::kF16});
  all.push_back({Precision::kFp32, DType::kBF16});
  return all;
}

std::vector<OpCaseList> ProductCases() {
  constexpr std::pair<const char*, std::vector<OpCase> (*)(DType)> kKinds[] = {{"ExactIntegers", ExactIntegers},
                                                                               {"Random", Random},
                                                                               {"StackedParts", StackedParts},
                                                                               {"Gated", Gated},
                                                                               {"PleGate", PleGate}};
  std::vector<OpCaseList> lists;
  for (const auto& [kind, make] : kKinds)
    for (const ProductSubject& subject : ProductSubjects())
      lists.push_back({fmt::format("{}_{}", kind, subject.name()), subject.precision,
                       [make = make, stored = subject.stored] { return make(stored); }});
  return lists;
}

}  // namespace assay
