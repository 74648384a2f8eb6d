// The caches of all sessions: one pair of buffers per cache of the plan, allocated once, by one path, divided evenly
// among the sessions by session index. Layers that share a cache share its view; a buffer has one owner, so it is freed
// once.
#pragma once

#include <vector>

#include "engine/memory/memory.h"
#include "engine/model/kv_plan.h"
#include "engine/ops/ops.h"

namespace assay {

class KvCache {
 public:
  // Throws OutOfMemory; whatever had been allocated is free again.
  KvCache(Memory& memory, const KvPlan& plan, DType type, int sessions);

  const KvView& Layer(int layer) const { return views_[plan_.cache_of_layer[layer]]; }
  // Copies the keys and values of session `from` that stand at positions below `high_water`, the most that was ever
  // written of it, to session `to`: not the whole capacity.
  void CopySession(int to, int from, int high_water);
  std::size_t bytes() const;

  // Where the keys and values of one session lie.
  struct Place {
    void* keys;
    void* values;
    std::size_t bytes;  // of the keys, and of the values
  };
  Place SessionPlace(int session, int layer) const;

 private:
  std::size_t SessionBytes(const KvView& view) const { return view.session_stride() * element_bytes_; }

  Memory& memory_;
  KvPlan plan_;
  std::size_t element_bytes_;
  std::vector<Buffer> keys_, values_;  // one each per cache of the plan
  std::vector<KvView> views_;
};

}  // namespace assay
