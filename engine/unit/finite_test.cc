// Weights that are no numbers, or none in the type they are multiplied in.
#include "engine/weights/finite.h"
#include "engine/testing/fixtures.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/testing/complaint.h"
#include "engine/testing/gguf_image.h"
#include "engine/testing/scratch_folder.h"
#include "engine/testing/small_engine.h"

namespace assay {
namespace {

// A checkpoint with one value that is no number: said by name before anything is computed with it.
TEST(Engine, RefusesWeightsThatAreNotNumbers) {
  const std::string fixture = Fixture("goldens/gguf-tiny/qwen2.gguf");
  for (const char* name : {"blk.1.ffn_up.weight", "blk.0.attn_norm.weight", "token_embd.weight", "blk.0.attn_k.bias"}) {
    for (const float value : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      GgufImage image = GgufImage::Read(fixture);
      std::memcpy(image.TensorAt(name).data.data() + 4, &value, sizeof value);
      const ScratchFolder folder;
      const auto store = OpenModel(folder.Put("model.gguf", image.Bytes()));
      HostOps ops(Precision::kFp32);
      const std::string complaint = Complaint([&] { Engine(*store, ops, Options()); });
      EXPECT_NE(complaint.find("model.gguf"), std::string::npos) << complaint;
      EXPECT_NE(complaint.find(name), std::string::npos) << complaint;
      EXPECT_NE(complaint.find("expected finite values, found 1 NaN or infinite of"), std::string::npos) << complaint;
      EXPECT_NE(complaint.find("the first in row 0"), std::string::npos) << complaint;
    }
  }
}

// What fits the file but not the type of products would be infinite without a word. Vectors stay in float32.
TEST(Engine, RefusesWeightsTooLargeForTheModesType) {
  const auto complaint = [](Precision precision, const char* name, float value) {
    GgufImage image = GgufImage::Read(Fixture("goldens/gguf-tiny/qwen2.gguf"));
    std::memcpy(image.TensorAt(name).data.data() + 4, &value, sizeof value);
    const ScratchFolder folder;
    const auto store = OpenModel(folder.Put("model.gguf", image.Bytes()));
    HostOps ops(precision);
    return Complaint([&] { Engine(*store, ops, Options()); });
  };
  const char* matrix = "blk.1.ffn_up.weight";
  EXPECT_NE(complaint(Precision::kFp16, matrix, -65520.0f)
                .find("blk.1.ffn_up.weight: expected values that fit F16, found 1 too large of"),
            std::string::npos)
      << complaint(Precision::kFp16, matrix, -65520.0f);
  EXPECT_EQ(complaint(Precision::kFp16, matrix, 65519.0f), "");
  EXPECT_EQ(complaint(Precision::kBf16, matrix, 65520.0f), "");
  EXPECT_NE(complaint(Precision::kBf16, matrix, std::numeric_limits<float>::max()).find("fit BF16"), std::string::npos);
  EXPECT_EQ(complaint(Precision::kFp32, matrix, std::numeric_limits<float>::max()), "");
  EXPECT_EQ(complaint(Precision::kFp16, "blk.0.attn_norm.weight", 70000.0f), "");
}

template <class Value>
HostTensor Column(DType type, const std::vector<Value>& values) {
  HostTensor tensor;
  tensor.type = type;
  tensor.rows = static_cast<std::int64_t>(values.size());
  tensor.cols = 1;
  tensor.bytes = values.size() * sizeof(Value);
  const std::shared_ptr<std::byte[]> data(new std::byte[tensor.bytes]);
  std::memcpy(data.get(), values.data(), tensor.bytes);
  tensor.data = std::shared_ptr<const std::byte>(data, data.get());
  tensor.where = "w";
  return tensor;
}

// 16-bit floats around the edge: bfloat16 65280 and 65536, the largest half.
TEST(RequireFinite, KnowsTheEdgeOf16BitFloats) {
  const auto complaint = [](DType stored, std::uint16_t word, DType as) {
    return Complaint([&] { RequireFinite(Column(stored, std::vector{word}), as); });
  };
  EXPECT_EQ(complaint(DType::kBF16, 0x477f, DType::kF16), "");
  EXPECT_EQ(complaint(DType::kBF16, 0xc780, DType::kF16),
            "w: expected values that fit F16, found 1 too large of 1, the first in row 0");
  EXPECT_EQ(complaint(DType::kBF16, 0x7f7f, DType::kBF16), "");
  EXPECT_EQ(complaint(DType::kBF16, 0xff80, DType::kF16),
            "w: expected finite values, found 1 NaN or infinite of 1, the first in row 0");
  EXPECT_EQ(complaint(DType::kF16, 0xfbff, DType::kF16), "");
  EXPECT_NE(complaint(DType::kF16, 0x7c00, DType::kBF16).find("1 NaN or infinite"), std::string::npos);
}

TEST(RequireFinite, NamesTheFirstRow) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(Complaint([&] {
              RequireFinite(Column(DType::kF32, std::vector{1.0f, kNan, kNan}));
            }),
            "w: expected finite values, found 2 NaN or infinite of 3, the first in row 1");
}

}  // namespace
}  // namespace assay
