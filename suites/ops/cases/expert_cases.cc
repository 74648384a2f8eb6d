// Expert products: few and many rows, skewed and even routing, all stored forms.
#include <fmt/format.h>

#include <array>

#include "suites/ops/cases/cases.h"
#include "suites/ops/cases/expert_routes.h"
#include "suites/ops/cases/tensors.h"

namespace assay {
namespace {

constexpr ExpertLayer kLayers[] = {{8, 2, 64, 32}, {4, 4, 96, 64}, {16, 8, 256, 704}, {128, 8, 128, 128}};

Axes AxesOf(DType stored, const ExpertLayer& layer, int rows, bool skew) {
  return Axes({{"stored", std::string(Name(stored))}, {"experts", layer.experts}, {"rows", rows}, {"skew", skew}});
}

// Of the experts that the rows choose, each once.
OpCost CostOf(const Weight& weight, const ExpertLayer& layer, const std::vector<std::int32_t>& chosen) {
  std::vector<bool> hit(static_cast<std::size_t>(layer.experts));
  int distinct = 0;
  for (const std::int32_t expert : chosen) {
    distinct += hit[static_cast<std::size_t>(expert)] ? 0 : 1;
    hit[static_cast<std::size_t>(expert)] = true;
  }
  OpCost cost;
  cost.bytes = static_cast<double>(weight.bytes()) * distinct / layer.experts;
  cost.flops =
      2.0 * static_cast<double>(chosen.size()) * static_cast<double>(weight.rows) * static_cast<double>(weight.cols);
  return cost;
}

OpCase ExpertGatedCase(DType stored, const ExpertLayer& layer, const std::shared_ptr<const WeightParts>& up, int rows,
                       bool skew) {
  const std::vector<std::int32_t> chosen = ExpertRoutes(rows, layer, skew);
  const Values x = LazyNumbers(3, static_cast<std::size_t>(rows * layer.hidden));
  const std::size_t count = chosen.size() * static_cast<std::size_t>(layer.ffn);
  OpCase made;
  made.op = "expert_gated";
  made.axes = AxesOf(stored, layer, rows, skew);
  made.prepare = [=](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    const auto weight = fixture.Prepared(up);
    const Ops::ExpertGatedArgs args{fixture.OutOperand(count), weight.get(), fixture.InOperand(x),
                                    fixture.In(chosen),        rows,         layer.top_k,
                                    Activation::kGeluTanh};
    PreparedOp op;
    op.call = [args, weight, &ops] { ops.ExpertGated(args); };
    const double rounding = RoundingOf(ops.precision());
    op.outputs = {{"operand", Output::Type::kOperand, args.operand, count, {1e-5 + rounding, 4e-5 + rounding}}};
    op.cost = CostOf(*weight, layer, chosen);
    return op;
  };
  return made;
}

// Integers and powers of two: exact.
OpCase ExpertDownCase(DType stored, const ExpertLayer& layer, const std::shared_ptr<const WeightParts>& down, int rows,
                      bool skew) {
  const std::vector<std::int32_t> chosen = ExpertRoutes(rows, layer, skew);
  const std::size_t inputs = chosen.size() * static_cast<std::size_t>(layer.ffn),
                    count = static_cast<std::size_t>(rows * layer.hidden);
  const Values y{inputs, [inputs] { return Integers(4, inputs, 2); }};
  std::vector<float> shares(chosen.size());
  for (std::size_t i = 0; i < shares.size(); ++i) shares[i] = std::array{0.5f, 0.25f, 1.0f, 2.0f}[i % 4];
  OpCase made;
  made.op = "expert_down";
  made.axes = AxesOf(stored, layer, rows, skew);
  made.prepare = [=](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    const auto weight = fixture.Prepared(down);
    const Ops::ExpertDownArgs args{fixture.Out(count), weight.get(), fixture.InOperand(y), fixture.In(chosen),
                                   fixture.In(shares), rows,         layer.top_k};
    PreparedOp op;
    op.call = [args, weight, &ops] { ops.ExpertDown(args); };
    op.outputs = {{"out", Output::Type::kFloat, args.out, count, {}}};
    op.cost = CostOf(*weight, layer, chosen);
    return op;
  };
  return made;
}

std::vector<OpCase> Experts(DType stored) {
  std::vector<OpCase> cases;
  for (const ExpertLayer& layer : kLayers) {
    const auto up = std::make_shared<WeightParts>(
        WeightParts{{RandomTensor(stored, {layer.experts, 2 * layer.ffn, layer.hidden}, 1)}, WeightUse::kGated});
    const auto down = std::make_shared<WeightParts>(
        WeightParts{{IntegerTensor(stored, {layer.experts, layer.hidden, layer.ffn}, 2)}, WeightUse::kMatrix});
    for (const int rows : {1, 3, 8, 9, 20, 64, 150})
      for (const bool skew : {false, true}) cases.push_back(ExpertGatedCase(stored, layer, up, rows, skew));
    for (const int rows : {1, 3, 8, 9, 20, 64, 150})
      for (const bool skew : {false, true}) cases.push_back(ExpertDownCase(stored, layer, down, rows, skew));
  }
  return cases;
}

}  // namespace

std::vector<ProductSubject> ExpertSubjects() {
  return {{Precision::kFp32, DType::kF32},  {Precision::kFp16, DType::kF16},  {Precision::kBf16, DType::kBF16},
          {Precision::kBf16, DType::kQ8_0}, {Precision::kBf16, DType::kQ4_0}, {Precision::kFp16, DType::kQ8_0},
          {Precision::kFp32, DType::kQ4_0}, {Precision::kFp32, DType::kBF16}};
}

std::vector<OpCaseList> ExpertCases() {
  std::vector<OpCaseList> lists;
  for (const ProductSubject& subject : ExpertSubjects())
    lists.push_back({fmt::format("Experts_{}", subject.name()), subject.precision,
                     [stored = subject.stored] { return Experts(stored); }});
  return lists;
}

std::vector<OpCaseList> AllOpCases() {
  std::vector<OpCaseList> all;
  for (const auto& lists : {NormCases(), EmbedCases(), LogitsCases(), RouteCases(), AttentionCases(), QkvCases(),
                            ProductCases(), ExpertCases()})
    all.insert(all.end(), lists.begin(), lists.end());
  return all;
}

}  // namespace assay
