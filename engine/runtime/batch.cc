#include "engine/runtime/batch.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/base/check.h"

namespace assay {
namespace {
constexpr std::int64_t kBytesPerRow = 3 * sizeof(std::int32_t) + sizeof(Segment);
constexpr std::array<int, 16> kBuckets{1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256};
constexpr int kFewLogitRows = 32;  // logits of a large vocabulary for every row of a chunk would outgrow the weights
}  // namespace

std::span<const int> DecodeBuckets() { return kBuckets; }

int DecodeBucket(int rows) {
  const auto found = std::lower_bound(kBuckets.begin(), kBuckets.end(), rows);
  Require(found != kBuckets.end(), "decode of {} sessions: expected at most {} in one step", rows, kBuckets.back());
  return *found;
}

StepRows StepRowsOf(int max_rows, int max_sessions) {
  const int bucket = DecodeBucket(std::min(max_sessions, kBuckets.back()));
  const int rows = std::max(max_rows, bucket);
  return {rows, std::min(rows, std::max(kFewLogitRows, bucket))};
}

void RowList::AddSegment(int session_index, int first_position, std::span<const std::int32_t> tokens) {
  const int rows = static_cast<int>(tokens.size());
  segment.push_back({count(), rows, session_index, first_position});
  for (int i = 0; i < rows; ++i) {
    token.push_back(tokens[i]);
    position.push_back(first_position + i);
    session.push_back(session_index);
  }
  context_bound = std::max(context_bound, first_position + rows);
}

DeviceRows::DeviceRows(Memory& memory, int max_rows)
    : memory_(memory),
      max_rows_(max_rows),
      data_(memory, max_rows * kBytesPerRow, "row descriptions"),
      staging_(max_rows * kBytesPerRow) {}

const Rows& DeviceRows::Set(const RowList& list) {
  Require(list.count() <= max_rows_, "batch of {} rows: expected at most {}", list.count(), max_rows_);
  const auto put = [&](std::int64_t at, const auto& values) {
    if (!values.empty()) std::memcpy(staging_.data() + at, values.data(), values.size() * sizeof(values[0]));
  };
  put(0, list.token);
  put(ints_bytes(), list.position);
  put(2 * ints_bytes(), list.session);
  put(segments_at(), list.segment);
  memory_.CopyIn(data_.data(), staging_.data(), data_.bytes());
  rows_ = {.count = list.count(),
           .token = token(),
           .position = position(),
           .session = session(),
           .segments = static_cast<int>(list.segment.size()),
           .segment = segment(),
           .host_segment = reinterpret_cast<const Segment*>(staging_.data() + segments_at()),
           .context_bound = list.context_bound};
  return rows_;
}

Rows DeviceRows::Single(int count, int context_bound) const {
  return {.count = count,
          .token = token(),
          .position = position(),
          .session = session(),
          .segments = count,
          .segment = segment(),
          .host_segment = nullptr,
          .context_bound = context_bound};
}

}  // namespace assay
