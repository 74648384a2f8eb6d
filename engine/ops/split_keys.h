// Keys of a row cut into chunks. The length of a chunk depends on the row's own number of keys and on how many chunks
// are joined to one: none in batch-invariant mode, so that partial sums and their merge are the same there for every N,
// every neighbour and every grid.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>

#include "engine/base/portable.h"
#include "engine/ops/rows.h"

namespace assay {

struct KeySpan {
  int first;   // position of the first visible key
  int end;     // one past the last
  int start;   // where the first chunk begins: there, or before it where chunks are aligned
  int length;  // keys of a chunk
  int chunks;
};

// A block must not read so many more than others have that all wait for it.
constexpr int kMostJoinedKeys = 1024;

// Short chunks when there are few keys (a single row must fill the device), long ones when partial results would cost
// more, or when there are rows enough.
ASSAY_HD inline int ChunkLength(int keys, int joined = 1) {
  const int length = joined * (keys <= 2048 ? 64 : keys <= 8192 ? 128 : 256);
  return length < kMostJoinedKeys ? length : kMostJoinedKeys;
}

// Aligned chunks begin at multiples of their length, so that consecutive rows have the same ones.
ASSAY_HD inline KeySpan SpanOf(int position, int window, bool aligned, int joined = 1) {
  const int first = window > 0 && position >= window ? position - window + 1 : 0, end = position + 1;
  const int length = ChunkLength(end - first, joined), start = aligned ? first / length * length : first;
  return {first, end, start, length, (end - start + length - 1) / length};
}

// How many consecutive rows share the `most` rows of a tensor-core fragment with all `heads` query heads of each. A
// power of two, at most 16: rows whose positions have the same quotient by it have chunks of the same length.
inline int RowsTogether(int heads, int most) {
  int rows = 1;
  while (2 * rows * heads <= most) rows *= 2;
  return rows;
}

// The most chunks of any row with at most `keys` keys; `straddles`: aligned ones, which may begin before the first key.
inline int MostChunks(int keys, bool straddles, int joined = 1) {
  int most = 1;
  for (const int bound : {keys, keys < 2048 ? keys : 2048, keys < 8192 ? keys : 8192}) {
    const int length = ChunkLength(bound, joined), chunks = (bound + length - 1) / length;
    most = chunks > most ? chunks : most;
  }
  return most + (straddles ? 1 : 0);
}

constexpr int kShortSegment = 8;                          // rows of a segment that decode takes one by one
constexpr std::size_t kShortPartials = 64 * 1024 * 1024;  // bytes of partial results short segments may use

// Longer segments go to the packed kernel, which takes runs of consecutive long segments together (prefill). The choice
// follows from the segment's own length, so that results of a long one do not depend on its neighbours.
inline bool TakesPackedKernel(const Segment& segment) { return segment.rows > kShortSegment; }

// The most segments that one launch of the packed kernel takes: the longest run of long ones.
inline int MostPackedSegments(const Segment* segment, int segments) {
  int most = 0, run = 0;
  for (int s = 0; s < segments; ++s) {
    run = TakesPackedKernel(segment[s]) ? run + 1 : 0;
    most = std::max(most, run);
  }
  return most;
}

// Of partial results of `rows` rows with at most `capacity` chunks each; 0 when nothing is split.
inline std::size_t DecodePartialBytes(int rows, int heads, int head_dim, int capacity) {
  if (capacity == 1) return 0;
  return std::int64_t{rows} * heads * capacity * (head_dim + 2) * sizeof(float);
}

}  // namespace assay
