#include "engine/weights/requantised.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/quant.h"
#include "engine/ops/host_ops.h"
#include "engine/runtime/engine.h"
#include "engine/weights/stored_types.h"
#include "oracles/reference/decoder.h"

namespace assay {
namespace {

const char* const kModels[] = {"tiny-gemma4-ple", "tiny-gemma4-keqv", "tiny-gemma4-moe", "tiny-llama", "tiny-qwen2"};
const char* const kSuffixes[] = {"@q8_0", "@q4_0"};

bool IsMatrixOfProducts(const TensorEntry& entry) {
  return entry.rows > 1 && entry.key.role != Role::kRouter && entry.key.role != Role::kPleEmbed;
}

TEST(Requantised, ValuesAreQuantiseRowOfTheBase) {
  for (const char* model : kModels) {
    for (const char* suffix : kSuffixes) {
      const DType type = *SplitQuantisedName(std::string(model) + suffix).type;
      const auto base = OpenModel(model, 5), store = OpenModel(std::string(model) + suffix, 5);
      int quantised = 0;
      for (const TensorEntry& entry : Catalogue(base->spec())) {
        SCOPED_TRACE(std::string(model) + suffix + " " + Name(entry.key));
        const HostTensor from = base->Load(entry.key), to = store->Load(entry.key),
                         recipe = store->Load(entry.key, true);
        if (!IsMatrixOfProducts(entry) || entry.cols % 32 != 0) {
          EXPECT_EQ(to.type, from.type);
          EXPECT_EQ(ToFloats(to), ToFloats(from));
          EXPECT_EQ(ToFloats(recipe), ToFloats(from));
          continue;
        }
        ++quantised;
        ASSERT_EQ(to.type, type);
        ASSERT_EQ(to.bytes, StoredBytes(type, entry.experts * entry.rows, entry.cols));
        EXPECT_FALSE(to.fill) << "the recipe's values are not these";
        const std::vector<float> values = ToFloats(from);
        std::vector<std::byte> expected(to.bytes);
        QuantiseRow(type, values.data(), expected.data(), static_cast<std::int64_t>(values.size()));
        EXPECT_EQ(std::memcmp(expected.data(), to.data.get(), to.bytes), 0);
        ASSERT_NE(recipe.data, nullptr);
        EXPECT_EQ(std::memcmp(expected.data(), recipe.data.get(), to.bytes), 0);
      }
      EXPECT_GE(quantised, 4) << model;
    }
  }
}

TEST(Requantised, NamesAndIdentitySayIt) {
  const auto base = OpenModel("tiny-llama"), q8 = OpenModel("tiny-llama@q8_0"), q4 = OpenModel("tiny-llama@q4_0");
  EXPECT_EQ(q8->spec().name, base->spec().name + "@q8_0");
  EXPECT_EQ(q8->format(), "synthetic as Q8_0");
  EXPECT_NE(q8->Identity(), base->Identity());
  EXPECT_NE(q8->Identity(), q4->Identity());
  EXPECT_EQ(q8->Identity(), OpenModel("tiny-llama@q8_0")->Identity());
  EXPECT_THROW(OpenModel("tiny-llama@q5_0"), InputError);
  EXPECT_THROW(OpenModel("no-such@q8_0"), InputError);
  EXPECT_THROW(Requantise(OpenModel("tiny-llama"), DType::kQ4_K), InputError);
  EXPECT_FALSE(SplitQuantisedName("@q8_0").type) << "a suffix alone names no model";
}

TEST(Requantised, TheListingTellsWhatLoadReturns) {
  for (const char* model : kModels) {
    const auto store = OpenModel(std::string(model) + "@q4_0");
    const std::map<TensorKey, DType> types = StoredTypes(*store);
    for (const TensorEntry& entry : Catalogue(store->spec()))
      EXPECT_EQ(types.at(entry.key), store->Load(entry.key).type) << Name(entry.key);
    std::size_t listed = 0, loaded = 0;
    for (const StoredTensorInfo& tensor : store->Listing()) listed += tensor.bytes;
    for (const TensorEntry& entry : Catalogue(store->spec())) loaded += store->Load(entry.key).bytes;
    EXPECT_EQ(listed, loaded);
  }
}

TEST(Requantised, ReferenceAndHostEngineAgree) {
  for (const char* model : kModels) {
    for (const char* suffix : kSuffixes) {
      const auto store = OpenModel(std::string(model) + suffix, 7);
      HostOps ops(Precision::kFp32);
      EngineOptions options;
      options.max_sessions = 1;
      options.capacity = 64;
      options.max_chunk = options.max_rows = 24;
      Engine engine(*store, ops, options);
      const auto reference = MakeReference(*store);
      std::vector<std::int32_t> tokens;
      for (int i = 0; i < 24; ++i) tokens.push_back((i * 37 + 5) % store->spec().vocab);
      const StepResult found = engine.Prefill(engine.Open(), tokens, Want::kAll);
      double worst = 0;
      for (int i = 0; i < 24; ++i) {
        const ReferenceStep expected = reference->Step(tokens[i]);
        for (std::size_t v = 0; v < expected.raw.size(); ++v)
          worst = std::max(worst, std::abs(expected.raw[v] - static_cast<double>(found.Raw(i)[v])));
      }
      EXPECT_LT(worst, 2e-3) << model << suffix;
    }
  }
}

}  // namespace
}  // namespace assay
