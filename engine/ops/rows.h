// What a step works on: its rows, the segments they form, and the caches they read and write.
#pragma once

#include <cstdint>

#include "engine/base/portable.h"
#include "engine/base/ring.h"

namespace assay {

// A run of consecutive rows of one session at consecutive positions.
struct Segment {
  std::int32_t first_row;
  std::int32_t rows;
  std::int32_t session;
  std::int32_t first_position;
};

// The rows of a step. Arrays are device memory, so that a captured step reads fresh values. A row whose session is
// negative is padding: it writes no cache, and nobody reads what it yields.
struct Rows {
  int count = 0;
  const std::int32_t* token = nullptr;     // [count]
  const std::int32_t* position = nullptr;  // [count]
  const std::int32_t* session = nullptr;   // [count] session's index in every cache; < 0: padding
  int segments = 0;
  const Segment* segment = nullptr;       // [segments], covering the rows in order
  const Segment* host_segment = nullptr;  // the same in host memory, read while ops are enqueued; null: a row each
  int context_bound = 0;                  // upper bound of position + 1 over all rows while this description is in use
};

// The keys and values of one cache for all sessions: [session][kv_head][slot][head_dim], in the mode's type for them.
struct KvView {
  void* keys = nullptr;
  void* values = nullptr;
  int slots = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int sessions = 0;  // how many there is room for; 0: not said
  ASSAY_HD std::int64_t session_stride() const { return std::int64_t{slots} * kv_heads * head_dim; }  // elements
  // First element of a head's vector at `position` of `session`.
  ASSAY_HD std::int64_t Offset(int session, int kv_head, int position) const {
    return ((std::int64_t{session} * kv_heads + kv_head) * slots + RingSlot(position, slots)) * head_dim;
  }
};

}  // namespace assay
