// How keys of a row are cut into chunks.
#include "engine/ops/split_keys.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace assay {
namespace {

// Chunks follow each other from the first key to the last, and no row has more than there is room for.
TEST(SplitKeys, ChunksHoldEveryKeyAndFitTheRoomForThem) {
  for (const int joined : {1, 2, 3, 5, 9, 64})
    for (const int window : {0, 512, 1024, 3000})
      for (const bool aligned : {false, true})
        for (const int bound : {1, 64, 65, 545, 2048, 2049, 8192, 8193, 20000})
          for (int position = 0; position < bound; position += position < 130 ? 1 : 61) {
            const KeySpan span = SpanOf(position, window, aligned, joined);
            EXPECT_EQ(span.end, position + 1);
            EXPECT_EQ(span.end - span.first, window > 0 ? std::min(window, position + 1) : position + 1);
            EXPECT_LE(span.start, span.first);
            EXPECT_GT(span.start + span.length, span.first) << "the first chunk has a key";
            EXPECT_GE(span.start + span.chunks * span.length, span.end);
            EXPECT_LT(span.start + (span.chunks - 1) * span.length, span.end) << "and the last";
            EXPECT_LE(span.length, std::max(kMostJoinedKeys, ChunkLength(span.end - span.first)));
            const bool windowed = window > 0 && window < bound;
            ASSERT_LE(span.chunks, MostChunks(windowed ? window : bound, windowed && aligned, joined))
                << "position " << position << ", window " << window << ", bound " << bound << ", joined " << joined;
          }
}

TEST(SplitKeys, JoinedChunksAreLongerAndFewer) {
  EXPECT_EQ(SpanOf(511, 0, false).chunks, 8);
  EXPECT_EQ(SpanOf(511, 0, false, 4).chunks, 2);
  EXPECT_EQ(SpanOf(511, 0, false, 8).chunks, 1);
  EXPECT_EQ(SpanOf(8191, 0, false, 64).chunks, 8) << "of kMostJoinedKeys each";
}

}  // namespace
}  // namespace assay
