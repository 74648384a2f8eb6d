// Keys of a row cut into chunks. The length of a chunk depends on the row's own number of keys alone, so that partial
// sums and their merge are the same for every N, every neighbour and every grid.
#pragma once

#include <initializer_list>

#include "engine/base/portable.h"

namespace assay {

struct KeySpan {
  int first;   // position of the first visible key
  int end;     // one past the last
  int length;  // keys of a chunk
  int chunks;
};

// Short chunks when there are few keys (a single row must fill the device), long ones when partial results would cost
// more.
ASSAY_HD inline int ChunkLength(int keys) { return keys <= 2048 ? 64 : keys <= 8192 ? 128 : 256; }

ASSAY_HD inline KeySpan SpanOf(int position, int window) {
  const int first = window > 0 && position >= window ? position - window + 1 : 0, keys = position + 1 - first;
  const int length = ChunkLength(keys);
  return {first, position + 1, length, (keys + length - 1) / length};
}

// The most chunks of any row with at most `keys` keys.
inline int MostChunks(int keys) {
  int most = 1;
  for (const int bound : {keys, keys < 2048 ? keys : 2048, keys < 8192 ? keys : 8192}) {
    const int length = ChunkLength(bound), chunks = (bound + length - 1) / length;
    most = chunks > most ? chunks : most;
  }
  return most;
}

}  // namespace assay
