#include "engine/runtime/batch.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/base/check.h"

namespace assay {
namespace {
constexpr int kWordsPerRow = 3 + static_cast<int>(sizeof(Segment) / sizeof(std::int32_t));
constexpr std::array<int, 16> kBuckets{1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256};
constexpr int kFewLogitRows = 32;  // logits of a large vocabulary for every row of a chunk would outgrow the weights
}  // namespace

int DecodeBucket(int rows) {
  const auto found = std::lower_bound(kBuckets.begin(), kBuckets.end(), rows);
  Require(found != kBuckets.end(), "decode of {} sessions: expected at most {} in one step", rows, kBuckets.back());
  return *found;
}

StepRows StepRowsOf(int max_rows, int max_sessions) {
  const int bucket = DecodeBucket(std::min(max_sessions, kBuckets.back()));
  const int rows = std::max(max_rows, bucket);
  return {rows, std::min(rows, std::max(kFewLogitRows, bucket)), bucket};
}

void RowList::Clear() { *this = RowList(); }

void RowList::AddSegment(int session_index, int first_position, std::span<const std::int32_t> tokens) {
  const int rows = static_cast<int>(tokens.size());
  segment.push_back({count(), rows, session_index, first_position});
  for (int i = 0; i < rows; ++i) {
    token.push_back(tokens[static_cast<std::size_t>(i)]);
    position.push_back(first_position + i);
    session.push_back(session_index);
  }
  context_bound = std::max(context_bound, first_position + rows);
}

DeviceRows::DeviceRows(Memory& memory, int max_rows)
    : memory_(memory),
      max_rows_(max_rows),
      data_(memory, static_cast<std::size_t>(max_rows) * kWordsPerRow * sizeof(std::int32_t), "row descriptions"),
      staging_(static_cast<std::size_t>(max_rows) * kWordsPerRow) {}

const Rows& DeviceRows::Set(const RowList& list) {
  Require(list.count() <= max_rows_, "batch of {} rows: expected at most {}", list.count(), max_rows_);
  const auto put = [&](const void* from, std::size_t bytes, const void* to) {
    if (bytes == 0) return;
    const std::size_t offset = static_cast<std::size_t>(static_cast<const std::byte*>(to) - data_.as<std::byte>());
    std::memcpy(reinterpret_cast<std::byte*>(staging_.data()) + offset, from, bytes);
  };
  put(list.token.data(), list.token.size() * sizeof(std::int32_t), token());
  put(list.position.data(), list.position.size() * sizeof(std::int32_t), position());
  put(list.session.data(), list.session.size() * sizeof(std::int32_t), session());
  put(list.segment.data(), list.segment.size() * sizeof(Segment), segment());
  memory_.CopyIn(data_.data(), staging_.data(), data_.bytes());
  host_segment_ = list.segment;
  const int segments = static_cast<int>(list.segment.size());
  rows_ = {list.count(), token(), position(), session(), segments, segment(), host_segment_.data(), list.context_bound};
  return rows_;
}

Rows DeviceRows::Single(int count, int context_bound) const {
  return {count, token(), position(), session(), count, segment(), nullptr, context_bound};
}

}  // namespace assay
