// Partial results of attention over chunks of a row's keys (split_keys.h): where kernels leave them, and their merge.
#pragma once

#include "engine/ops/kernels/attention.cuh"
#include "engine/ops/kernels/fault.cuh"
#include "engine/ops/split_keys.h"

namespace assay {

// Partial results: values [rows, heads, capacity, head_dim], then (largest score, sum of weights) [rows, heads,
// capacity].
struct Partials {
  float* values;
  float2* stats;
  int capacity;  // chunks of a row there is room for
  ASSAY_HD long long Index(long long row, int heads, int head, int chunk) const {
    return (row * heads + head) * capacity + chunk;
  }
};

// Chunks of a row that this launch has room for: all, unless the context bound is wrong, which is reported. Rows of
// padding (session < 0) move on with every step of a recorded loop and mean nothing.
__device__ __forceinline__ int ChunksOf(const KeySpan& span, const Partials& partials, std::int32_t session,
                                        std::uint64_t* fault) {
  if (span.chunks <= partials.capacity) return span.chunks;
  if (session >= 0 && blockIdx.y == 0 && blockIdx.z == 0 && threadIdx.x == 0)
    Report(fault, KernelFault::kContextBound, span.chunks, partials.capacity);
  return partials.capacity;
}

inline unsigned U(int v) { return static_cast<unsigned>(v); }

// How many chunks of a row are joined to one. `others`: (row, kv head, head tile)s, each with up to `capacity` chunks.
// As long as a block for every chunk finds room, `resident` on each multiprocessor, none are; else as many as leave
// nearly every multiprocessor a block, because blocks that come later wait, and partial results cost memory traffic.
int JoinedChunks(const KernelContext& ctx, std::int64_t others, int capacity, int resident);

// How many blocks share the chunks of one (row, kv head, head tile), of which there are `others`.
unsigned ChunkBlocks(const KernelContext& ctx, std::int64_t others, int capacity);

// In workspace, with room for the chunks of every row; none when no row has more than one.
Partials PartialsIn(const KernelContext& ctx, const Ops::AttentionArgs& args, int joined = 1);

// Adds up the chunks of each row in their order. Does nothing without partial results.
void LaunchMerge(const KernelContext& ctx, const Ops::AttentionArgs& args, const AttentionShape& shape,
                 const Partials& partials);

}  // namespace assay
