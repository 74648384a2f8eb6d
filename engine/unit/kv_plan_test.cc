// Properties of the KV plan over random specs, and the plans of the published models as literals.
#include "engine/model/kv_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "engine/base/check.h"
#include "engine/model/gemma4.h"
#include "engine/model/presets.h"

namespace assay {
namespace {

int Draw(std::mt19937& random, int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); }

ModelSpec RandomSpec(std::mt19937& random) {
  for (;;) {
    Gemma4Config config;
    config.name = "random";
    config.hidden = 16, config.vocab = 32, config.heads = 4;
    config.window = Draw(random, 1, 20);
    const int layers = Draw(random, 1, 24);
    for (int l = 0; l < layers; ++l) {
      const bool full = Draw(random, 0, 3) == 0;
      config.layers.push_back({full ? LayerKind::kFull : LayerKind::kSliding, full ? 1 : 2, full ? 16 : 8, 32, false});
    }
    config.shared_kv_layers = Draw(random, 0, layers - 1);
    try {
      return Gemma4Spec(config);
    } catch (const InputError&) {
      // A shared layer without a donor of its kind: drawn again.
    }
  }
}

TEST(KvPlan, PropertiesHoldForRandomSpecs) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    const ModelSpec spec = RandomSpec(random);
    const int capacity = Draw(random, 1, 64), chunk = Draw(random, 1, capacity);
    const KvPlan plan = MakeKvPlan(spec, capacity, chunk);
    ASSERT_EQ(plan.cache_of_layer.size(), spec.layers.size());
    std::vector<int> writers(plan.caches.size(), 0);
    int last_owner = -1;
    for (int l = 0; l < spec.layer_count(); ++l) {
      const LayerSpec& layer = spec.layers[l];
      const int id = plan.cache_of_layer[l];
      ASSERT_TRUE(id >= 0 && id < static_cast<int>(plan.caches.size()));
      const KvCacheSpec& cache = plan.caches[id];
      const LayerSpec& writer = spec.layers[cache.writer];
      // The writer comes first, owns its keys and looks like every reader.
      EXPECT_LE(cache.writer, l);
      EXPECT_TRUE(spec.OwnsKv(cache.writer));
      EXPECT_EQ(cache.writer, layer.kv_source);
      EXPECT_EQ(writer.kind, layer.kind);
      EXPECT_EQ(cache.kv_heads, layer.kv_heads);
      EXPECT_EQ(cache.head_dim, layer.head_dim);
      EXPECT_EQ(cache.window, layer.window);
      EXPECT_EQ(cache.slots, layer.kind == LayerKind::kFull ? capacity : std::min(capacity, layer.window + chunk - 1));
      if (spec.OwnsKv(l)) {
        ++writers[id];
        last_owner = l;
      } else {
        // The donor is the last owning layer of the same kind before the first shared one.
        for (int between = cache.writer + 1; between < l; ++between)
          EXPECT_FALSE(spec.OwnsKv(between) && spec.layers[between].kind == layer.kind);
      }
    }
    for (const int count : writers) EXPECT_EQ(count, 1);
    EXPECT_EQ(plan.first_tail_layer, last_owner + 1);
    std::size_t elements = 0;
    for (const KvCacheSpec& cache : plan.caches) elements += cache.elements();
    EXPECT_EQ(plan.BytesPerSession(DType::kBF16), elements * 4);
    EXPECT_EQ(plan.BytesPerSession(DType::kF32), elements * 8);
  }
}

TEST(KvPlan, OfPublishedModels) {
  const KvPlan e2b = MakeKvPlan(Preset("gemma4-e2b"), 4096, 256);
  ASSERT_EQ(e2b.caches.size(), 15u);
  EXPECT_EQ(e2b.first_tail_layer, 15);
  EXPECT_EQ(e2b.cache_of_layer[15], 13);
  EXPECT_EQ(e2b.cache_of_layer[19], 14);
  EXPECT_EQ(e2b.caches[0], (KvCacheSpec{0, 512 + 256 - 1, 1, 256, 512}));
  EXPECT_EQ(e2b.caches[14], (KvCacheSpec{14, 4096, 1, 512, 0}));
  const KvPlan llama = MakeKvPlan(Preset("llama-3.1-8b"), 8192, 512);
  EXPECT_EQ(llama.caches.size(), 32u);
  EXPECT_EQ(llama.first_tail_layer, 32);
  EXPECT_EQ(llama.BytesPerSession(DType::kBF16), std::size_t{32} * 8192 * 8 * 128 * 2 * 2);
}

TEST(KvPlan, RefusesImpossibleCapacities) {
  const ModelSpec spec = Preset("tiny-llama");
  EXPECT_THROW(MakeKvPlan(spec, 0, 1), InputError);
  EXPECT_THROW(MakeKvPlan(spec, 8, 0), InputError);
  EXPECT_THROW(MakeKvPlan(spec, 8, 9), InputError);
  EXPECT_NO_THROW(MakeKvPlan(spec, 1, 1));
}

}  // namespace
}  // namespace assay
