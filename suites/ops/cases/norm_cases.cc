// Norm, Residual, Join and AddBias: widths of real models, tails that are no multiple of four, wide rows.
#include <fmt/format.h>

#include <cmath>

#include "suites/ops/cases/cases.h"

namespace assay {
namespace {

constexpr int kWidths[] = {1, 7, 32, 64, 250, 1536, 2560, 3840, 4096, 5376, 8192, 8196, 16384};
constexpr float kEps = 1e-6f;
constexpr Tolerance kFloat32{2e-6, 5e-6};

Tolerance OperandTolerance(Precision precision) {
  if (precision.operands == DType::kF32) return kFloat32;
  return {0.5 * RoundingOf(precision), RoundingOf(precision)};
}

std::size_t Count(int rows, int width) { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(width); }

// rms(x[r]) * weight of every row in float64; an empty weight is 1.
std::vector<double> RmsTimes(const std::vector<double>& x, const std::vector<float>& weight, int width, double eps) {
  std::vector<double> out(x.size());
  const auto one = static_cast<std::size_t>(width);
  for (std::size_t from = 0; from < x.size(); from += one) {
    double sum = 0;
    for (std::size_t i = 0; i < one; ++i) sum += x[from + i] * x[from + i];
    const double scale = 1 / std::sqrt(sum / width + eps);
    for (std::size_t i = 0; i < one; ++i) out[from + i] = x[from + i] * scale * (weight.empty() ? 1.0 : weight[i]);
  }
  return out;
}

std::vector<double> Doubles(const std::vector<float>& values) { return {values.begin(), values.end()}; }
std::vector<float> Floats(const std::vector<double>& values) {
  std::vector<float> out;
  out.reserve(values.size());
  for (const double value : values) out.push_back(static_cast<float>(value));
  return out;
}

}  // namespace

OpCase NormCase(const NormShape& s) {
  const std::size_t count = Count(s.rows, s.width), one = Count(1, s.width);
  const Values x = LazyNumbers(1, count, 3.0f), weight = LazyNumbers(2, one, 0.3f, 1.0f);
  OpCase made;
  made.op = "norm";
  made.axes = Axes({{"width", s.width}, {"rows", s.rows}});
  made.prepare = [=](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    const Ops::NormArgs args{fixture.OutOperand(count), fixture.In(x), fixture.In(weight), s.rows, s.width, s.eps};
    PreparedOp op;
    op.calls = s.calls;
    op.call = [&ops, args, calls = s.calls] {
      for (int i = 0; i < calls; ++i) ops.Norm(args);
    };
    op.outputs = {{"operand", Output::Type::kOperand, args.operand, count, OperandTolerance(ops.precision())}};
    op.cost.bytes = static_cast<double>((count + one) * sizeof(float) + count * fixture.operand_bytes());
    return op;
  };
  made.formula = [=] { return OutputValues{Floats(RmsTimes(Doubles(x.make()), weight.make(), s.width, s.eps))}; };
  return made;
}

OpCase ResidualCase(const ResidualShape& s) {
  const std::size_t count = Count(s.rows, s.width), one = Count(1, s.width);
  const Values x = LazyNumbers(3, count, 2.0f), delta = LazyNumbers(4, count, 5.0f),
               post = LazyNumbers(5, one, 0.2f, 1.0f), next = LazyNumbers(6, one, 0.2f, 1.0f);
  OpCase made;
  made.op = "residual";
  made.axes = Axes({{"width", s.width},
                    {"rows", s.rows},
                    {"post_norm", s.post_norm},
                    {"next_norm", s.next_norm},
                    {"operand", s.operand}});
  made.prepare = [=](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    const Ops::ResidualArgs args{fixture.InOut(x),
                                 s.operand ? fixture.OutOperand(count) : nullptr,
                                 fixture.In(delta),
                                 s.post_norm ? fixture.In(post) : nullptr,
                                 s.next_norm ? fixture.In(next) : nullptr,
                                 s.scale,
                                 s.rows,
                                 s.width,
                                 s.eps};
    PreparedOp op;
    op.calls = s.calls;
    op.call = [&ops, args, calls = s.calls] {
      for (int i = 0; i < calls; ++i) ops.Residual(args);
    };
    op.outputs = {{"x", Output::Type::kFloat, args.x, count, kFloat32}};
    if (s.operand)
      op.outputs.push_back({"operand", Output::Type::kOperand, args.operand, count, OperandTolerance(ops.precision())});
    op.cost.bytes = static_cast<double>((3 * count + 2 * one) * sizeof(float) + count * fixture.operand_bytes());
    return op;
  };
  made.formula = [=] {
    std::vector<double> sum = Doubles(x.make()), added = Doubles(delta.make());
    if (s.post_norm) added = RmsTimes(added, post.make(), s.width, s.eps);
    for (std::size_t i = 0; i < count; ++i) sum[i] = (sum[i] + added[i]) * static_cast<double>(s.scale);
    OutputValues outputs = {Floats(sum)};
    if (s.operand) outputs.push_back(Floats(s.next_norm ? RmsTimes(sum, next.make(), s.width, s.eps) : sum));
    return outputs;
  };
  return made;
}

OpCase JoinCase(int rows, int width, SumIs sum) {
  const std::size_t count = Count(rows, width), one = Count(1, width);
  const Values a = LazyNumbers(7, count), b = LazyNumbers(8, count, 4.0f), norm_a = LazyNumbers(9, one, 0.3f, 1.0f),
               norm_b = LazyNumbers(10, one, 0.3f, 1.0f);
  OpCase made;
  made.op = "join";
  made.axes = Axes({{"width", width}, {"rows", rows}, {"sum_is", static_cast<int>(sum)}});
  made.prepare = [=](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    float *at_a = fixture.InOut(a), *at_b = fixture.InOut(b);
    float* at = sum == SumIs::kOwn ? fixture.Out(count) : sum == SumIs::kA ? at_a : at_b;
    const Ops::JoinArgs args{at, at_a, at_b, fixture.In(norm_a), fixture.In(norm_b), rows, width, kEps};
    PreparedOp op;
    op.call = [&ops, args] { ops.Join(args); };
    op.outputs = {{"sum", Output::Type::kFloat, at, count, kFloat32}};
    op.cost.bytes = static_cast<double>((3 * count + 2 * one) * sizeof(float));
    return op;
  };
  made.formula = [=] {
    std::vector<double> left = RmsTimes(Doubles(a.make()), norm_a.make(), width, kEps);
    const std::vector<double> right = RmsTimes(Doubles(b.make()), norm_b.make(), width, kEps);
    for (std::size_t i = 0; i < count; ++i) left[i] += right[i];
    return OutputValues{Floats(left)};
  };
  return made;
}

OpCase BiasCase(int rows, int width) {
  const std::size_t count = Count(rows, width), one = Count(1, width);
  const Values x = LazyNumbers(11, count, 3.0f), bias = LazyNumbers(12, one);
  OpCase made;
  made.op = "bias";
  made.axes = Axes({{"width", width}, {"rows", rows}});
  made.prepare = [=](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    float* at = fixture.InOut(x);
    const float* added = fixture.In(bias);
    PreparedOp op;
    op.call = [&ops, at, added, rows, width] { ops.AddBias(at, added, rows, width); };
    op.outputs = {{"x", Output::Type::kFloat, at, count, {}}};
    op.cost.bytes = static_cast<double>((2 * count + one) * sizeof(float));
    return op;
  };
  made.formula = [=] {
    std::vector<float> sum = x.make();
    const std::vector<float> added = bias.make();
    for (std::size_t i = 0; i < count; ++i) sum[i] += added[i % one];
    return OutputValues{sum};
  };
  return made;
}

std::vector<OpCaseList> NormCases() {
  std::vector<OpCaseList> lists;
  for (const Precision precision : kPrecisions) {
    lists.push_back({fmt::format("Norm_{}", Name(precision)), precision, [] {
                       std::vector<OpCase> cases;
                       for (const int width : kWidths)
                         for (const int rows : {1, 5}) cases.push_back(NormCase({rows, width, kEps}));
                       return cases;
                     }});
    lists.push_back({fmt::format("Residual_{}", Name(precision)), precision, [] {
                       std::vector<OpCase> cases;
                       for (const int width : kWidths) {
                         for (const bool post : {false, true})
                           for (const bool next : {false, true}) cases.push_back(ResidualCase({3, width, post, next}));
                         cases.push_back(ResidualCase({3, width, false, false, /*operand=*/false}));
                       }
                       return cases;
                     }});
    lists.push_back({fmt::format("Join_{}", Name(precision)), precision, [] {
                       std::vector<OpCase> cases;
                       for (const int width : {7, 64, 2816, 5376})
                         for (const SumIs sum : {SumIs::kOwn, SumIs::kA, SumIs::kB})
                           cases.push_back(JoinCase(4, width, sum));
                       return cases;
                     }});
    lists.push_back({fmt::format("Bias_{}", Name(precision)), precision, [] {
                       std::vector<OpCase> cases;
                       for (const int width : {1, 7, 64, 5376})
                         for (const int rows : {1, 33}) cases.push_back(BiasCase(rows, width));
                       return cases;
                     }});
  }
  return lists;
}

}  // namespace assay
