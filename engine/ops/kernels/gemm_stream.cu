// The product that streams weights through a ring in shared memory to the tensor cores of compute capability 9.0a: for
// 8 to 128 activation rows at a time, all 16-bit modes, plain, Q8_0 and Q4_0 weights.
//
// A tile is 128 weight rows by N activation rows. The steps along k of all tiles, one after the other, are cut evenly
// over as many blocks as the multiprocessors hold, by the shape alone. Blocks that share a tile leave their sums in
// workspace, and the last of them, or each for some activation rows, adds them in the order of k.
//
// A block is one warpgroup that copies, mostly by the tensor memory accelerator, and two that multiply, 64 weight rows
// each. Weights are requested before the wait for predecessors, as deep as the ring is.
#include <algorithm>

#include "engine/ops/kernels/stream_finish.cuh"
#include "engine/ops/kernels/stream_multiply.cuh"

namespace assay {
namespace {

#ifdef ASSAY_WARPGROUP

template <class Format, class T, int N, bool kGrouped>
__device__ void MultiplySteps(const Walk<kGrouped>& walk, const SplitSums& split, RingReader<Format, N> reader,
                              int thread) {
  __shared__ GroupResults<N> results[2];
  const int group = thread / kGroupThreads;
  const Multiplier<T, N, kGrouped> multiplier{walk, results[group], group, thread % kGroupThreads};
  const auto shared = [&](const StreamSegment& segment) { return !kGrouped && segment.steps < walk.cut.steps; };
  // In thread 0: of the shared tile that the block begins in, and of the one it ends in.
  typename SharedTile<N>::Shares shares[2] = {};
  StreamSegment segment;
  for (Walk<kGrouped> steps = walk; steps.Next(segment);) {
    float sum[N / 2];
#pragma unroll
    for (int i = 0; i < N / 2; ++i) sum[i] = 0.0f;
    if constexpr (Format::kScaled)
      MultiplyExpanded<Format, T, N, kGrouped>(sum, reader, segment.steps, thread);
    else
      MultiplyPlain<Format, T, N, kGrouped>(sum, reader, segment.steps, thread);
    if (!shared(segment)) {
      multiplier.Finish(segment, sum);
      continue;
    }
    const auto own = SharedTile<N>(walk.cut, split, segment.tile, thread).Leave(sum, split.fault, thread);
    (segment.step > 0 ? shares[0] : shares[1]) = own;
  }
  if constexpr (!kGrouped) {
    for (Walk<kGrouped> tiles = walk; tiles.Next(segment);)
      if (shared(segment))
        SharedTile<N>(walk.cut, split, segment.tile, thread)
            .Finish(multiplier, segment, segment.step > 0 ? shares[0] : shares[1], segment.step > 0 ? 0 : 1, thread);
  }
}
#endif

template <class Format, class T, int N, bool kGrouped>
__global__ void __launch_bounds__(kThreads, BlockShare<N>::kResident)
    StreamKernel(Product p, StreamCut cut, SplitSums split, ExpertTiles tiles,
                 const __grid_constant__ CUtensorMap weights, const __grid_constant__ CUtensorMap activations) {
#ifdef ASSAY_WARPGROUP
  using S = Stage<Format, N>;
  extern __shared__ unsigned char shared[];
  __shared__ std::uint64_t barriers[2 * kMostStages];
  LetSuccessorsStart();
  const std::uint32_t unaligned = SharedAddress(shared), ring = (unaligned + 1023) / 1024 * 1024;
  const std::uint32_t full = SharedAddress(barriers), empty = full + 8 * kMostStages;
  if (threadIdx.x == 0) {
    for (int s = 0; s < S::kCount; ++s) {
      InitBarrier(full + 8 * s, 1 + (Format::kScaled ? 32 : 0) + (kGrouped ? 64 : 1));
      InitBarrier(empty + 8 * s, 2 * kGroupThreads / 32);
    }
    FenceShared();
  }
  __syncthreads();
  const Walk<kGrouped> walk(p, cut, tiles);
  if (threadIdx.x < kGroupThreads) {
    GiveRegisters<BlockShare<N>::kCopyRegisters>();
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    const RingWriter<Format, N> writer{ring, full, empty};
    if (kGrouped || warp >= 2) WaitForPredecessors();  // they make activations and list assignments
    if (warp == 0) {
      if (lane == 0) CopyWeights<Format, N>(walk, weights, writer);
    } else if (warp == 1) {
      if constexpr (Format::kScaled) CopyScales<Format, N>(walk, writer, lane);
    } else if constexpr (kGrouped) {
      CopyAssignedActivations<Format, N>(walk, writer, static_cast<int>(threadIdx.x) - 64);
    } else {
      if (warp == 2 && lane == 0) CopyAllActivations<Format, N>(walk, activations, writer);
    }
    if (!kGrouped && warp < 2) WaitForPredecessors();
  } else {
    TakeRegisters<BlockShare<N>::kMultiplyRegisters>();
    WaitForPredecessors();
    MultiplySteps<Format, T, N>(walk, split, RingReader<Format, N>{shared + (ring - unaligned), ring, full, empty},
                                static_cast<int>(threadIdx.x) - kGroupThreads);
  }
#else
  __trap();  // code for another architecture: StreamTakes does not let it come to this
#endif
}

// Calls f(std::integral_constant<int, N>) with the smallest N that holds `rows`.
template <class F>
void WithStreamTile(int rows, F&& f) {
  if (rows <= 8)
    f(std::integral_constant<int, 8>{});
  else if (rows <= 16)
    f(std::integral_constant<int, 16>{});
  else if (rows <= 32)
    f(std::integral_constant<int, 32>{});
  else if (rows <= 64)
    f(std::integral_constant<int, 64>{});
  else
    f(std::integral_constant<int, 128>{});
}

constexpr int kMostRows = 128;     // a launch
constexpr int kMostBlocks = 1023;  // that may share a tile: SharedTile counts them

template <class S>
StreamCut CutOf(const Product& p) {
  return {static_cast<int>((p.w.row_bytes + S::kRowBytes - 1) / S::kRowBytes), RowTiles(p, kTileRows / 16)};
}

}  // namespace

bool StreamTakes(const KernelContext& ctx, const Product& p) {
#ifdef ASSAY_STREAM
  return ctx.compute_capability == 90 && ctx.precision.operands != DType::kF32 && AlignedRows(p) &&
         (p.epilogue != Epilogue::kGated || p.w.rows % 16 == 0);
#else
  static_cast<void>(ctx), static_cast<void>(p);
  return false;
#endif
}

void LaunchStream(const KernelContext& ctx, const Product& all) {
  With16Bit(ctx.precision, [&](auto t) {
    WithWeightFormat<decltype(t)>(all.w, [&](auto format) {
      using T = decltype(t);
      using Format = decltype(format);
      for (int row = 0; row < all.rows; row += kMostRows) {
        const Product p = RowsOf<T>(all, row, std::min(all.rows - row, kMostRows));
        WithStreamTile(p.rows, [&](auto n) {
          constexpr int N = decltype(n)::value;
          using S = Stage<Format, N>;
          const StreamCut cut = CutOf<S>(p);
          const int most = std::min(ctx.sm_count * BlockShare<N>::kResident, kMostBlocks);
          SplitSums split;
          split.partial = static_cast<float4*>(ctx.Workspace(std::size_t{2} * most * kTileRows * N * sizeof(float)));
          split.semaphores = ctx.semaphores;
          split.fault = ctx.fault;
          Require<Error>(cut.tiles <= kSemaphores, "{} tiles of a streamed product: too many", cut.tiles);
          if (ctx.semaphores_used != nullptr) *ctx.semaphores_used = std::max(*ctx.semaphores_used, cut.tiles);
          // A block that leaves its sums to another writes and reads as many bytes as some steps do.
          constexpr int kLeastSteps = 1 + N / 32;
          const auto blocks = static_cast<unsigned>(
              std::min<std::int64_t>(most, std::max<std::int64_t>(cut.tiles, cut.total() / kLeastSteps)));
          Launch(StreamKernel<Format, T, N, false>, dim3(blocks), dim3(kThreads), S::kCount * S::kBytes + 1024, ctx, p,
                 cut, split, ExpertTiles{}, MapOfWeights<Format, N>(ctx, p), MapOfActivations<N>(ctx, p));
        });
      }
    });
  });
}

void LaunchStreamGrouped(const KernelContext& ctx, const Product& p, const ExpertTiles& tiles) {
  With16Bit(ctx.precision, [&](auto t) {
    using T = decltype(t);
    WithWeightFormat<T>(p.w, [&](auto format) {
      using Format = decltype(format);
      WithStreamTile(tiles.tile, [&](auto n) {
        constexpr int N = std::max(decltype(n)::value, kLeastStreamedTile);
        using S = Stage<Format, N>;
        const StreamCut cut = CutOf<S>(p);
        Launch(StreamKernel<Format, T, N, true>, dim3(static_cast<unsigned>(ctx.sm_count * BlockShare<N>::kResident)),
               dim3(kThreads), S::kCount * S::kBytes + 1024, ctx, p, cut, SplitSums{}, tiles,
               MapOfWeights<Format, N>(ctx, p), CUtensorMap{});
      });
    });
  });
}

}  // namespace assay
