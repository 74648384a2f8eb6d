#include "engine/runtime/kv_cache.h"

#include <algorithm>

#include "engine/base/check.h"

namespace assay {

KvCache::KvCache(Memory& memory, const KvPlan& plan, DType type, int sessions)
    : memory_(memory), plan_(plan), element_bytes_(Info(type).bytes) {
  for (const KvCacheSpec& cache : plan_.caches) {
    const std::size_t bytes = cache.elements() * element_bytes_ * sessions;
    const auto allocate = [&](const char* what) {
      Buffer buffer(
          memory_, bytes,
          fmt::format("{} cache of layer {} for {} sessions of {} slots", what, cache.writer, sessions, cache.slots));
      memory_.Fill(buffer.data(), 0, bytes);
      return buffer;
    };
    keys_.push_back(allocate("key"));
    values_.push_back(allocate("value"));
    views_.push_back({.keys = keys_.back().data(),
                      .values = values_.back().data(),
                      .slots = cache.slots,
                      .kv_heads = cache.kv_heads,
                      .head_dim = cache.head_dim,
                      .sessions = sessions});
  }
}

void KvCache::CopySession(int to, int from, int high_water) {
  for (const KvView& view : views_) {
    const std::size_t session = SessionBytes(view), head = session / view.kv_heads;
    const std::size_t used = head / view.slots * std::min(high_water, view.slots);
    for (void* data : {view.keys, view.values}) {
      std::byte *target = static_cast<std::byte*>(data) + to * session,
                *source = static_cast<std::byte*>(data) + from * session;
      if (used == head) {
        memory_.Copy(target, source, session);
        continue;
      }
      for (std::size_t at = 0; at < session && used > 0; at += head) memory_.Copy(target + at, source + at, used);
    }
  }
}

std::size_t KvCache::bytes() const {
  std::size_t sum = 0;
  for (const Buffer& buffer : keys_) sum += 2 * buffer.bytes();
  return sum;
}

KvCache::Place KvCache::SessionPlace(int session, int layer) const {
  const KvView& view = Layer(layer);
  const std::size_t bytes = SessionBytes(view), offset = bytes * session;
  return {static_cast<std::byte*>(view.keys) + offset, static_cast<std::byte*>(view.values) + offset, bytes};
}

}  // namespace assay
