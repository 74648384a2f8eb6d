// A session's cache as bytes, for cases that look inside the engine.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/base/tensor.h"
#include "engine/model/kv_plan.h"
#include "suites/support/engine_system.h"

namespace assay {

// Keys, or values, of one session: [kv_head][slot][head_dim].
struct CacheLayout {
  CacheLayout(int slots_in, int head_dim, DType type)
      : row_bytes(std::size_t(head_dim) * Info(type).bytes), slots(slots_in) {}
  CacheLayout(const KvCacheSpec& cache, DType type) : CacheLayout(cache.slots, cache.head_dim, type) {}
  std::size_t Offset(int head, int slot) const { return (std::size_t(head) * slots + slot) * row_bytes; }
  std::size_t row_bytes;
  int slots;
};

// Keys, then values.
inline std::vector<std::byte> CopyOf(EngineSystem& engine, const Engine::CacheBytes& cache) {
  std::vector<std::byte> bytes(2 * cache.bytes);
  engine.memory().CopyOut(bytes.data(), cache.keys, cache.bytes);
  engine.memory().CopyOut(bytes.data() + cache.bytes, cache.values, cache.bytes);
  return bytes;
}

}  // namespace assay
