// Embed and PleInput against the host, tables in every kept form.
#include <cstring>
#include <memory>

#include "engine/base/half.h"
#include "suites/ops/side.h"

namespace assay {
namespace {

std::shared_ptr<const std::byte> Owned(const std::vector<std::byte>& bytes) {
  auto block = std::make_shared<std::vector<std::byte>>(bytes);
  return {block, block->data()};
}

// A table in `type`: random blocks with finite scales, or rounded numbers.
HostTensor Table(DType type, std::int64_t rows, std::int64_t cols, std::uint64_t key) {
  HostTensor tensor;
  tensor.type = type;
  tensor.rows = rows;
  tensor.cols = cols;
  tensor.bytes = StoredBytes(type, rows, cols);
  tensor.where = "test table";
  std::vector<std::byte> bytes(tensor.bytes);
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
  tensor.data = Owned(bytes);
  return tensor;
}

class EmbedTest : public testing::TestWithParam<Precision> {};

TEST_P(EmbedTest, MatchesHost) {
  ASSAY_SIDES(sides, GetParam());
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0})
    for (const int cols : {32, 96, 2560}) {
      for (const int rows : {1, 5, 70}) {
        sides.Clear();
        const HostTensor table = Table(type, 50, cols, 3);
        std::vector<std::int32_t> tokens;
        for (int r = 0; r < rows; ++r) tokens.push_back(r * 29 % 50);
        const auto count = static_cast<std::size_t>(rows * cols);
        std::vector<float> operand[2];
        const auto run = [&](Side& side, std::vector<float>& rounded) {
          const auto weight = side.ops().Prepare({table}, WeightUse::kMatrix);
          const SideRows made = side.MakeRows({{0, rows, 0, 0}}, rows, tokens);
          float* x = side.Out(count);
          void* out = side.OutOperand(count);
          side.ops().Embed({x, out, weight.get(), &made.rows, 50.5f});
          side.Check();
          rounded = side.ReadOperand(out, count);
          return side.Read(x, count);
        };
        const auto found = run(*sides.device, operand[0]), expected = run(*sides.host, operand[1]);
        EXPECT_EQ(found, expected) << Name(type) << " " << cols << " columns";
        EXPECT_EQ(operand[0], operand[1]) << Name(type) << " " << cols << " columns";
      }
    }
}

TEST_P(EmbedTest, PleInputMatchesHost) {
  ASSAY_SIDES(sides, GetParam());
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0})
    for (const int width : {32, 256}) {
      sides.Clear();
      const int layers = 5, rows = 3, all = layers * width;
      const HostTensor table = Table(type, 20, all, 8);
      const auto count = static_cast<std::size_t>(rows * all);
      const auto context = Numbers(4, count, 3.0f), norm = Numbers(5, static_cast<std::size_t>(width), 0.2f, 1.0f);
      const auto run = [&](Side& side) {
        const auto weight = side.ops().Prepare({table}, WeightUse::kTable);
        const SideRows made = side.MakeRows({{0, rows, 0, 0}}, rows, {19, 0, 7});
        float* ple = side.Out(count);
        side.ops().PleInput(
            {ple, side.In(context), weight.get(), side.In(norm), &made.rows, layers, width, 16.0f, 0.02f, 1e-6f});
        side.Check();
        return side.Read(ple, count);
      };
      ExpectClose(run(*sides.device), run(*sides.host), 2e-6, 4e-6, std::string(Name(type)));
    }
}

INSTANTIATE_TEST_SUITE_P(Modes, EmbedTest, testing::Values(Precision::kFp32, Precision::kFp16, Precision::kBf16),
                         ModeName);

}  // namespace
}  // namespace assay
