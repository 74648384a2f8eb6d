#include "engine/model/kv_plan.h"

#include <algorithm>
#include <cstdint>

#include "engine/base/check.h"

namespace assay {
namespace {

int Slots(const LayerSpec& layer, int capacity, int max_chunk) {
  if (layer.kind == LayerKind::kFull) return capacity;
  // The chunk is in the ring before its first query looks back window - 1 keys: that many older ones must still be
  // there.
  return static_cast<int>(std::min<std::int64_t>(capacity, std::int64_t{layer.window} + max_chunk - 1));
}

}  // namespace

KvPlan MakeKvPlan(const ModelSpec& spec, int capacity, int max_chunk) {
  Require(capacity >= 1, "model '{}': KV capacity must be at least 1 position, found {}", spec.name, capacity);
  Require(max_chunk >= 1 && max_chunk <= capacity, "model '{}': max_chunk must be in 1..{} (the capacity), found {}",
          spec.name, capacity, max_chunk);
  KvPlan plan;
  plan.capacity = capacity;
  plan.max_chunk = max_chunk;
  for (int l = 0; l < spec.layer_count(); ++l) {
    const LayerSpec& layer = spec.layer(l);
    if (!spec.OwnsKv(l)) {
      plan.cache_of_layer.push_back(plan.cache_of_layer[layer.kv_source]);
      continue;
    }
    plan.cache_of_layer.push_back(static_cast<int>(plan.caches.size()));
    plan.caches.push_back({l, Slots(layer, capacity, max_chunk), layer.kv_heads, layer.head_dim, layer.window});
    plan.first_tail_layer = l + 1;
  }
  return plan;
}

std::size_t KvPlan::BytesPerSession(DType type) const {
  std::size_t bytes = 0;
  for (const KvCacheSpec& cache : caches)
    bytes += 2 * StoredBytes(type, cache.slots, std::int64_t{cache.kv_heads} * cache.head_dim);
  return bytes;
}

}  // namespace assay
