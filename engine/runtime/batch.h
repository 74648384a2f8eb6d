// A step's rows: built on the host, uploaded in one copy, described to the ops as device arrays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/memory/memory.h"
#include "engine/ops/ops.h"

namespace assay {

// Rows as the host lists them: segments in order, each with its tokens.
class RowList {
 public:
  void AddSegment(int session, int first_position, std::span<const std::int32_t> tokens);
  int count() const { return static_cast<int>(token.size()); }

  std::vector<std::int32_t> token, position, session;
  std::vector<Segment> segment;
  int context_bound = 0;
};

// Batch sizes a decode step is recorded for: a step runs in the smallest that holds it, the rest of its rows are
// padding. Throws InputError above the largest.
int DecodeBucket(int rows);
std::span<const int> DecodeBuckets();  // ascending

// Most rows of a step, and most rows whose logits are computed at a time, of an engine with these options.
struct StepRows {
  int rows, logits;
};
StepRows StepRowsOf(int max_rows, int max_sessions);

constexpr int kHistorySteps = 256;  // decode steps replayed before the tokens are read back

// Device home of up to `max_rows` rows. The arrays keep their addresses, so recorded steps may point at them.
class DeviceRows {
 public:
  DeviceRows(Memory& memory, int max_rows);
  // Uploads the rows in one copy and describes them. The description is valid until the next Set.
  const Rows& Set(const RowList& list);
  // Addresses, for steps that advance their own state.
  std::int32_t* token() const { return data_.as<std::int32_t>(); }
  std::int32_t* position() const { return token() + max_rows_; }
  std::int32_t* session() const { return token() + 2 * max_rows_; }
  Segment* segment() const { return reinterpret_cast<Segment*>(data_.as<std::byte>() + segments_at()); }
  std::size_t bytes() const { return data_.bytes(); }
  // A description of the first `count` rows as one-row segments, whatever was set last.
  Rows Single(int count, int context_bound) const;

 private:
  std::int64_t ints_bytes() const { return max_rows_ * std::int64_t{sizeof(std::int32_t)}; }  // of one array of them
  std::int64_t segments_at() const { return 3 * ints_bytes(); }

  Memory& memory_;
  int max_rows_;
  Buffer data_;                     // token, position, session [max_rows] each, then segments [max_rows]
  std::vector<std::byte> staging_;  // the same on the host
  Rows rows_;
};

}  // namespace assay
