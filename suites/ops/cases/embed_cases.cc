// Embed and PleInput, tables in every kept form.
#include <fmt/format.h>

#include <cstring>

#include "engine/base/half.h"
#include "suites/ops/cases/cases.h"

namespace assay {
namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0};

// A table in `type`: random blocks with finite scales, or rounded numbers.
HostTensor Table(DType type, std::int64_t rows, std::int64_t cols, std::uint64_t key) {
  HostTensor tensor;
  tensor.type = type;
  tensor.rows = rows;
  tensor.cols = cols;
  tensor.bytes = StoredBytes(type, rows, cols);
  tensor.where = "test table";
  const auto block = std::make_shared<std::vector<std::byte>>(tensor.bytes);
  std::vector<std::byte>& bytes = *block;
  const DTypeInfo& info = Info(type);
  const auto numbers = Numbers(key, bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(static_cast<int>(numbers[i] * 100.0f) & 0xff);
  const std::size_t units = bytes.size() / static_cast<std::size_t>(info.bytes);
  for (std::size_t u = 0; u < units; ++u) {
    std::byte* at = bytes.data() + u * static_cast<std::size_t>(info.bytes);
    const F16 half = ToF16(numbers[u]);
    const BF16 brain = ToBF16(numbers[u]);
    if (type == DType::kF32) std::memcpy(at, &numbers[u], 4);
    if (type == DType::kF16 || type == DType::kQ8_0 || type == DType::kQ4_0) std::memcpy(at, &half, 2);
    if (type == DType::kBF16) std::memcpy(at, &brain, 2);
  }
  tensor.data = {block, block->data()};
  return tensor;
}

// The case's own row description must live as long as the call: the ops read it when they are called.
std::shared_ptr<const FixtureRows> RowsOfTokens(DeviceFixture& fixture, const std::vector<std::int32_t>& tokens) {
  const auto rows = static_cast<std::int32_t>(tokens.size());
  return std::make_shared<FixtureRows>(fixture.MakeRows({{0, rows, 0, 0}}, rows, tokens));
}

OpCase EmbedCase(const std::shared_ptr<const WeightParts>& table, int rows) {
  const HostTensor& tensor = table->parts[0];
  const auto cols = static_cast<std::size_t>(tensor.cols), count = static_cast<std::size_t>(rows) * cols;
  std::vector<std::int32_t> tokens;
  for (int r = 0; r < rows; ++r) tokens.push_back(r * 29 % static_cast<int>(tensor.rows));
  OpCase made;
  made.op = "embed";
  made.axes = Axes({{"stored", std::string(Name(tensor.type))}, {"cols", tensor.cols}, {"rows", rows}});
  made.prepare = [=](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    const auto weight = fixture.Prepared(table);
    const auto described = RowsOfTokens(fixture, tokens);
    float* x = fixture.Out(count);
    void* operand = fixture.OutOperand(count);
    PreparedOp op;
    op.call = [=, &ops] { ops.Embed({x, operand, weight.get(), &described->rows, 50.5f}); };
    op.outputs = {{"x", Output::Type::kFloat, x, count, {}}, {"operand", Output::Type::kOperand, operand, count, {}}};
    op.cost.bytes = static_cast<double>(StoredBytes(table->parts[0].type, rows, static_cast<std::int64_t>(cols)) +
                                        count * (sizeof(float) + fixture.operand_bytes()));
    return op;
  };
  return made;
}

OpCase PleInputCase(DType type, int width) {
  const int layers = 5, rows = 3, all = layers * width;
  const auto count = static_cast<std::size_t>(rows * all);
  const auto table = std::make_shared<WeightParts>(WeightParts{{Table(type, 20, all, 8)}, WeightUse::kTable});
  const Values context = LazyNumbers(4, count, 3.0f),
               norm = LazyNumbers(5, static_cast<std::size_t>(width), 0.2f, 1.0f);
  OpCase made;
  made.op = "ple_input";
  made.axes = Axes({{"stored", std::string(Name(type))}, {"width", width}, {"rows", rows}});
  made.prepare = [=](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    const auto weight = fixture.Prepared(table);
    const auto described = RowsOfTokens(fixture, {19, 0, 7});
    float* ple = fixture.Out(count);
    const float *at = fixture.In(context), *at_norm = fixture.In(norm);
    PreparedOp op;
    op.call = [=, &ops] {
      ops.PleInput({ple, at, weight.get(), at_norm, &described->rows, layers, width, 16.0f, 0.02f, 1e-6f});
    };
    op.outputs = {{"ple", Output::Type::kFloat, ple, count, {2e-6, 4e-6}}};
    op.cost.bytes = static_cast<double>(StoredBytes(type, rows, all) + 2 * count * sizeof(float));
    return op;
  };
  return made;
}

}  // namespace

std::vector<OpCaseList> EmbedCases() {
  std::vector<OpCaseList> lists;
  for (const Precision precision : kPrecisions) {
    lists.push_back({fmt::format("Embed_{}", Name(precision)), precision, [] {
                       std::vector<OpCase> cases;
                       for (const DType type : kTypes)
                         for (const int cols : {32, 96, 2560}) {
                           const auto table = std::make_shared<WeightParts>(WeightParts{{Table(type, 50, cols, 3)}});
                           for (const int rows : {1, 5, 70}) cases.push_back(EmbedCase(table, rows));
                         }
                       return cases;
                     }});
    lists.push_back({fmt::format("PleInput_{}", Name(precision)), precision, [] {
                       std::vector<OpCase> cases;
                       for (const DType type : kTypes)
                         for (const int width : {32, 256}) cases.push_back(PleInputCase(type, width));
                       return cases;
                     }});
  }
  return lists;
}

}  // namespace assay
