// From a spec to caches: which layers write one, how many slots it has, which layers read it. The only place besides
// base/ring.h where that mechanism lives.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/base/tensor.h"
#include "engine/model/spec.h"

namespace assay {

struct KvCacheSpec {
  int writer = 0;  // the one layer that writes it; always before its readers
  int slots = 0;   // full: capacity. sliding: min(capacity, window + max_chunk - 1)
  int kv_heads = 0;
  int head_dim = 0;
  int window = 0;  // 0 = full
  // Elements of one session's keys (values take as many again).
  std::size_t elements() const { return std::size_t{1} * slots * kv_heads * head_dim; }
  friend bool operator==(const KvCacheSpec&, const KvCacheSpec&) = default;
};

struct KvPlan {
  int capacity = 0;   // positions a session may hold
  int max_chunk = 0;  // most rows of one session in one step: a chunk is written before it is attended
  std::vector<KvCacheSpec> caches;
  std::vector<int> cache_of_layer;  // index into caches, for every layer

  std::size_t BytesPerSession(DType type) const;
  // First layer from which on no layer writes a cache: rows whose logits nobody wants can be dropped there.
  int first_tail_layer = 0;
};

// Throws InputError unless capacity >= 1 and 1 <= max_chunk <= capacity. `spec` must be valid.
KvPlan MakeKvPlan(const ModelSpec& spec, int capacity, int max_chunk);

}  // namespace assay
