// Costs against counts published or worked out by hand, in units of the publication.
#include "bench/support/roofline.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/base/check.h"

namespace assay {
namespace {

CostModel Model(const std::string& name, Precision precision = Precision::kBf16) {
  return MakeCostModel(*OpenModel(name), precision, false);
}

struct WeightRow {
  const char* model;
  int sessions;
  double gigabytes;  // weights read by a step
};

// Publishers' parameter counts, read once: 2 bytes (bf16), 34/32 (Q8_0), 18/32 (Q4_0). Experts: 8, 51.6, 111.8 of 128
// expected. The looked-up rows and norm vectors, which the table ignores, are below 0.5 %.
TEST(Roofline, WeightBytesOfADecodeStep) {
  for (const WeightRow& row : {WeightRow{"gemma4-e2b", 1, 4.559},
                               {"gemma4-e2b@q8_0", 1, 2.422},
                               {"gemma4-e4b", 1, 9.288},
                               {"gemma4-e4b@q8_0", 32, 4.934},
                               {"gemma4-e4b@q4_0", 1, 2.612},
                               {"gemma4-12b", 8, 23.813},
                               {"gemma4-26b-a4b", 1, 7.644},
                               {"gemma4-26b-a4b", 8, 23.21},
                               {"gemma4-26b-a4b", 32, 44.67},
                               {"gemma4-26b-a4b@q8_0", 8, 12.33},
                               {"gemma4-31b", 128, 61.392},
                               {"gemma4-31b@q4_0", 1, 17.267},
                               {"llama-3.1-8b", 1, 15.01}})
    EXPECT_NEAR(DecodeCost(Model(row.model), row.sessions, 1).weight_bytes * 1e-9, row.gigabytes, 0.005 * row.gigabytes)
        << row.model;
}

struct KvRow {
  const char* model;
  double context, megabytes;  // of one session
};

TEST(Roofline, KvBytesAreUniqueAndWindowed) {
  for (const KvRow& row : {KvRow{"gemma4-e2b", 2048, 18.9},
                           {"gemma4-e2b", 32768, 207.6},
                           {"gemma4-e4b", 2048, 54.5},
                           {"gemma4-e4b", 32768, 557.8},
                           {"gemma4-12b", 8192, 469.8},
                           {"gemma4-26b-a4b", 32768, 880.8},
                           {"gemma4-31b", 2048, 1006.6},
                           {"gemma4-31b", 32768, 3523.2}}) {
    EXPECT_NEAR(DecodeCost(Model(row.model), 1, row.context).kv_bytes * 1e-6, row.megabytes, 0.003 * row.megabytes)
        << row.model;
    EXPECT_NEAR(DecodeCost(Model(row.model), 7, row.context).kv_bytes,
                7 * DecodeCost(Model(row.model), 1, row.context).kv_bytes, 1);
    const StepCost wide = DecodeCost(Model(row.model), 1, row.context),
                   narrow = DecodeCost(Model(row.model, Precision::kBf16Fp8Kv), 1, row.context);
    EXPECT_EQ(2 * narrow.kv_bytes, wide.kv_bytes);
    EXPECT_EQ(narrow.weight_bytes, wide.weight_bytes);
  }
}

TEST(Roofline, ActiveParametersTwicePerToken) {
  EXPECT_NEAR(DecodeCost(Model("gemma4-e4b"), 1, 1).linear_flops * 1e-9, 2 * 4.6439, 0.02);
  EXPECT_NEAR(DecodeCost(Model("gemma4-26b-a4b"), 16, 1).linear_flops * 1e-9, 16 * 2 * 3.8218, 0.2);
  EXPECT_NEAR(DecodeCost(Model("gemma4-31b"), 1, 1).linear_flops * 1e-9, 2 * 30.696, 0.1);
}

TEST(Roofline, PrefillSkipsTheTailAndTheHead) {
  // 0.570 of 1.877 B (E2B) and 2.302 of 3.973 B (E4B) weights for all but the last token; nothing is shared in 31B.
  const auto per_token = [](const char* model) {
    return PrefillCost(Model(model), 4096, 4096).linear_flops / 4096 * 1e-9;
  };
  EXPECT_NEAR(per_token("gemma4-e2b"), 2 * 0.570, 0.03);
  EXPECT_NEAR(per_token("gemma4-e4b"), 2 * 2.302, 0.06);
  EXPECT_NEAR(per_token("gemma4-31b"), 58.57, 0.1);
  EXPECT_NEAR(per_token("gemma4-26b-a4b"), 6.17, 0.05);
}

TEST(Roofline, PrefillReadsItsWeightsOncePerChunk) {
  const CostModel moe = Model("gemma4-26b-a4b");
  // 16.8 ms at 3.0 TB/s for a chunk that hits every expert; the head is read with the last chunk only.
  EXPECT_NEAR(PrefillCost(moe, 512, 512).weight_bytes * 1e-9, 50.46, 0.3);
  const double head = 262144.0 * 2816 * 2;
  EXPECT_NEAR(PrefillCost(moe, 1024, 512).weight_bytes, 2 * PrefillCost(moe, 512, 512).weight_bytes - head, 0.01e9);
  const CostModel tied = Model("gemma4-e2b");
  const double last = PrefillCost(tied, 512, 512).weight_bytes;
  EXPECT_LT(PrefillCost(tied, 1024, 512).weight_bytes, 2 * last - 262144.0 * 1536 * 2 - 1e9)
      << "the tail is read once too";
}

TEST(Roofline, AttentionOperations) {
  const CostModel model = Model("gemma4-31b");
  // 50 sliding layers of 32 x 256 with 1024 keys, 10 full ones of 32 x 512 with 4096.
  EXPECT_NEAR(DecodeCost(model, 1, 4096).attention_flops, 4.0 * (50.0 * 32 * 256 * 1024 + 10.0 * 32 * 512 * 4096), 1);
  const double full = 4096.0 * 4097 / 2, sliding = 1024.0 * 1025 / 2 + 3072.0 * 1024;
  EXPECT_NEAR(PrefillCost(model, 4096, 4096).attention_flops,
              4.0 * (50.0 * 32 * 256 * sliding + 10.0 * 32 * 512 * full), 10);
}

TEST(Roofline, ExpertsAndFloor) {
  EXPECT_NEAR(ExpectedExperts(128, 8, 1), 8, 1e-9);
  EXPECT_NEAR(ExpectedExperts(128, 8, 8), 51.6, 0.05);
  EXPECT_NEAR(ExpectedExperts(128, 8, 32), 111.8, 0.05);
  StepCost cost;
  cost.weight_bytes = 6e12;
  cost.linear_flops = 1e15;
  EXPECT_DOUBLE_EQ(FloorSeconds(cost, 3e12, 1e15), 2);
  EXPECT_DOUBLE_EQ(FloorSeconds(cost, 3e13, 1e15), 1);
  EXPECT_THROW(FloorSeconds(cost, 0, 1e15), InputError);
}

TEST(Roofline, PackedPromptsCostWhatEachCostsButTheWeights) {
  const CostModel m = Model("gemma4-31b");
  const StepCost one = PrefillCost(m, 64, 64, 1), three = PrefillCost(m, 64, 64, 3);
  EXPECT_DOUBLE_EQ(three.linear_flops, 3 * one.linear_flops);
  EXPECT_DOUBLE_EQ(three.kv_bytes, 3 * one.kv_bytes);
  EXPECT_DOUBLE_EQ(three.attention_flops, 3 * one.attention_flops);
  EXPECT_NEAR(three.weight_bytes, one.weight_bytes, 0.01 * one.weight_bytes);
}

TEST(Roofline, ARouterIsReadInFloat32) { EXPECT_EQ(Model("gemma4-26b-a4b").element_bytes.at({Role::kRouter, 0}), 4); }

}  // namespace
}  // namespace assay
