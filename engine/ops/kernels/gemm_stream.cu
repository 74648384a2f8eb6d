// The product that streams weights through a ring in shared memory to the tensor cores of compute capability 9.0a: for
// any number of activation rows, all 16-bit modes, plain, Q8_0 and Q4_0 weights.
//
// A tile is 128 weight rows by N activation rows, N from 8 to 128. The steps along k of all tiles, one after the other,
// are cut evenly over as many blocks as the multiprocessors hold; in batch-invariant mode by the weight's shape alone.
// Blocks that share a tile leave their sums in workspace, and the last of them, or each for some activation rows, adds
// them in the order of k. More rows than 128 take whole tiles, N up to 256, in batch-invariant mode each summed in the
// same parts in the same order; quantised weights else one launch for every 128.
//
// A block is one warpgroup that copies, mostly by the tensor memory accelerator, and two that multiply, 64 weight rows
// each. Weights are requested before the wait for predecessors, as deep as the ring is.
#include <algorithm>

#include "engine/ops/kernels/stream_finish.cuh"
#include "engine/ops/kernels/stream_multiply.cuh"

namespace assay {
namespace {

#ifdef ASSAY_WARPGROUP

// A block's share: whole tiles are finished at once, those that it shares when it has left all its sums.
template <class Format, class T, int N>
__device__ void MultiplyShare(const Multiplier<T, N, Schedule::kStreamK>& multiplier, const SplitSums& split,
                              RingReader<Format, N> reader, int thread) {
  using W = Walk<Schedule::kStreamK, N>;
  const W& walk = multiplier.walk;
  const auto shared = [&](const StreamSegment& segment) { return segment.steps < walk.cut.steps; };
  // In thread 0: of the shared tile that the block begins in, and of the one it ends in.
  typename SharedTile<N>::Shares shares[2] = {};
  StreamSegment segment;
  for (W steps = walk; steps.Next(segment);) {
    float sum[N / 2];
    Multiply<Format, T, N, Schedule::kStreamK>(sum, reader, segment.steps, segment.count, thread);
    if (!shared(segment)) {
      multiplier.Finish(segment, sum);
      continue;
    }
    const auto own = SharedTile<N>(walk.cut, split, segment.tile, thread).Leave(sum, split.fault, thread);
    (segment.step > 0 ? shares[0] : shares[1]) = own;
  }
  for (W tiles = walk; tiles.Next(segment);)
    if (shared(segment))
      SharedTile<N>(walk.cut, split, segment.tile, thread)
          .Finish(multiplier, segment, segment.step > 0 ? shares[0] : shares[1], segment.step > 0 ? 0 : 1, thread);
}

// Whole tiles. Those of all rows are summed in the parts that shares have, so that a row has the same bits beside many
// others as beside few; registers hold no second sum of 256, which take tiles that have one part.
template <class Format, class T, int N, Schedule kSchedule>
__device__ void MultiplyTiles(const Multiplier<T, N, kSchedule>& multiplier, RingReader<Format, N> reader, int thread) {
  StreamSegment segment;
  for (Walk<kSchedule, N> steps = multiplier.walk; steps.Next(segment);) {
    float sum[N / 2];
    if constexpr (kSchedule == Schedule::kGrouped || N > 128) {
      Multiply<Format, T, N, kSchedule>(sum, reader, segment.steps, segment.count, thread);
      multiplier.Finish(segment, sum);
    } else {
      float total[N / 2];
#pragma unroll
      for (int i = 0; i < N / 2; ++i) total[i] = Nothing().x;
      for (int step = 0; step < segment.steps;) {
        const int part = steps.cut.part(segment.tile, step);
        Multiply<Format, T, N, kSchedule>(sum, reader, part, segment.count, thread);
#pragma unroll
        for (int i = 0; i < N / 2; ++i) total[i] += sum[i];
        step += part;
      }
      multiplier.Finish(segment, total);
    }
  }
}

// All who arrive at a block's barriers.
template <Schedule kSchedule>
__device__ __forceinline__ void SyncBlocks() {
  if constexpr (kCluster<kSchedule> != 1)
    SyncCluster();
  else
    __syncthreads();
}
#endif

template <class Format, class T, int N, Schedule kSchedule>
__global__ void __launch_bounds__(kThreads, BlockShare<N>::kResident)
    StreamKernel(Product p, StreamCut cut, SplitSums split, ExpertTiles tiles,
                 const __grid_constant__ CUtensorMap weights, const __grid_constant__ CUtensorMap activations) {
#ifdef ASSAY_WARPGROUP
  using S = Stage<Format, N>;
  constexpr bool kGrouped = kSchedule == Schedule::kGrouped;
  extern __shared__ unsigned char shared[];
  __shared__ std::uint64_t barriers[2 * kMostStages];
  const std::uint32_t unaligned = SharedAddress(shared), ring = (unaligned + 1023) / 1024 * 1024;
  const std::uint32_t full = SharedAddress(barriers), empty = full + 8 * kMostStages;
  if (threadIdx.x == 0) {
    for (int s = 0; s < S::kCount; ++s) {
      InitBarrier(full + 8 * s, 1 + (Format::kScaled ? 32 : 0) + (kGrouped ? 64 : 1));
      InitBarrier(empty + 8 * s, kCluster<kSchedule> * 2 * kGroupThreads / 32);
    }
    FenceBarriers();
  }
  SyncBlocks<kSchedule>();
  const Walk<kSchedule, N> walk(p, cut, tiles);
  if (threadIdx.x < kGroupThreads) {
    GiveRegisters<BlockShare<N>::kCopyRegisters>();
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    const RingWriter<Format, N> writer{ring, full, empty};
    if (kGrouped || warp >= 2) WaitForPredecessors();  // they make activations and list assignments
    if (warp == 0) {
      if (lane == 0) {
        CopyWeights<Format, N>(walk, weights, writer);
        LetSuccessorsStart();  // their weights fill the pause that sums and results leave to memory
      }
    } else if (warp == 1) {
      if constexpr (Format::kScaled) CopyScales<Format, N>(walk, writer, lane);
    } else if constexpr (kGrouped) {
      CopyAssignedActivations<Format, N>(walk, writer, static_cast<int>(threadIdx.x) - 64);
    } else {
      if (warp == 2 && lane == 0) CopyActivations<Format, N>(walk, activations, writer);
    }
    if (!kGrouped && warp < 2) WaitForPredecessors();
  } else {
    TakeRegisters<BlockShare<N>::kMultiplyRegisters>();
    WaitForPredecessors();
    __shared__ GroupResults<N> results[2];
    const int thread = static_cast<int>(threadIdx.x) - kGroupThreads, group = thread / kGroupThreads;
    const Multiplier<T, N, kSchedule> multiplier{walk, results[group], group, thread % kGroupThreads};
    const RingReader<Format, N> reader{shared + (ring - unaligned), ring, full, empty};
    if constexpr (kSchedule == Schedule::kStreamK)
      MultiplyShare<Format>(multiplier, split, reader, thread);
    else
      MultiplyTiles<Format>(multiplier, reader, thread);
  }
  // Another block of the cluster may still arrive at this one's barriers.
  if constexpr (kCluster<kSchedule> != 1) SyncCluster();
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

constexpr int kMostRows = 128;     // of a tile that blocks may share
constexpr int kMostShares = 1023;  // that may have steps of one tile: SharedTile counts them

template <class S>
StreamCut CutOf(const Product& p) {
  return {static_cast<int>((p.w.row_bytes + S::kRowBytes - 1) / S::kRowBytes), RowTiles(p, kTileRows / 16)};
}

// In batch-invariant mode nothing but the weight's shape decides.
template <class S, int N>
StreamCut SharesOf(const KernelContext& ctx, const Product& p) {
  StreamCut cut = CutOf<S>(p);
  const int at_once = ctx.sm_count * BlockShare<N>::kResident,
            most = ctx.batch_invariant ? ctx.split_multiprocessors() : std::min(at_once, kMostShares);
  // A block that leaves its sums to another writes and reads as many bytes as some steps do.
  const int least_steps = ctx.batch_invariant ? 2 : 1 + N / 32;
  cut.shares =
      static_cast<int>(std::min<std::int64_t>(most, std::max<std::int64_t>(cut.tiles, cut.total() / least_steps)));
  // Where two blocks run on a multiprocessor, as those of few rows do, none needs to share.
  if (ctx.batch_invariant && cut.tiles > most && cut.tiles <= 2 * most) cut.shares = cut.tiles;
  cut.at_once = cut.shares <= at_once;
  return cut;
}

template <class Format, class T, int N>
void LaunchStreamK(const KernelContext& ctx, const Product& p) {
  using S = Stage<Format, N>;
  const StreamCut cut = SharesOf<S, N>(ctx, p);
  const SplitSums split = SplitOver(ctx, std::size_t{2} * cut.shares * kTileRows * N * sizeof(float), cut.tiles);
  Launch(StreamKernel<Format, T, N, Schedule::kStreamK>, dim3(static_cast<unsigned>(cut.shares)), dim3(kThreads),
         S::kCount * S::kBytes + 1024, ctx, p, cut, split, ExpertTiles{}, MapOfWeights<Format, N>(ctx, p),
         MapOfActivations(ctx, p, kBoxRows<Schedule::kStreamK, N>));
}

template <class Format, class T, int N>
void LaunchWholeTiles(const KernelContext& ctx, const Product& p, const StreamCut& cut) {
  using S = Stage<Format, N>;
  constexpr unsigned kBlocks = kCluster<Schedule::kDataParallel>;
  const std::int64_t clusters = std::int64_t{(cut.tiles + kBlocks - 1) / kBlocks} * ((p.rows + N - 1) / N),
                     at_once = std::max(1U, ctx.sm_count * BlockShare<N>::kResident / kBlocks);
  LaunchClusters(kBlocks, StreamKernel<Format, T, N, Schedule::kDataParallel>,
                 dim3(static_cast<unsigned>(std::min(clusters, at_once)) * kBlocks), dim3(kThreads),
                 S::kCount * S::kBytes + 1024, ctx, p, cut, SplitSums{}, ExpertTiles{}, MapOfWeights<Format, N>(ctx, p),
                 MapOfActivations(ctx, p, kBoxRows<Schedule::kDataParallel, N>));
}

// In the tiles that registers allow: two sums of each result are kept where a tile has parts, and of quantised weights
// those of some blocks.
template <class Format, class T>
void LaunchDataParallel(const KernelContext& ctx, const Product& p) {
  constexpr int N = Format::kScaled ? 64 : 128;
  StreamCut cut = CutOf<Stage<Format, N>>(p);
  cut.shares = cut.tiles;
  if (ctx.batch_invariant) cut = SharesOf<Stage<Format, N>, N>(ctx, p);
  if constexpr (!Format::kScaled) {
    // Large tiles are faster by a sixth or more, unless fewer of them leave multiprocessors idle.
    const auto waves = [&](int rows) {
      const std::int64_t tiles = std::int64_t{cut.tiles} * ((p.rows + rows - 1) / rows);
      return (tiles + ctx.sm_count - 1) / ctx.sm_count * rows;
    };
    if (cut.shares == cut.tiles && 5 * waves(256) <= 6 * waves(N)) return LaunchWholeTiles<Format, T, 256>(ctx, p, cut);
  }
  LaunchWholeTiles<Format, T, N>(ctx, p, cut);
}

}  // namespace

bool StreamTakes(const KernelContext& ctx, const Product& p) {
#ifdef ASSAY_STREAM
  return ctx.compute_capability == 90 && ctx.precision.operands != DType::kF32 && AlignedRows(p) &&
         (p.epilogue != Epilogue::kGated ||
          (p.w.rows % 16 == 0 && reinterpret_cast<std::uintptr_t>(p.operand) % 16 == 0));
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
      if ((ctx.batch_invariant || !Format::kScaled) && all.rows > kMostRows)
        return LaunchDataParallel<Format, T>(ctx, all);
      for (int row = 0; row < all.rows; row += kMostRows) {
        const Product p = RowsOf<T>(all, row, std::min(all.rows - row, kMostRows));
        WithStreamTile(p.rows, [&](auto n) { LaunchStreamK<Format, T, decltype(n)::value>(ctx, p); });
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
        Launch(StreamKernel<Format, T, N, Schedule::kGrouped>,
               dim3(static_cast<unsigned>(ctx.sm_count * BlockShare<N>::kResident)), dim3(kThreads),
               S::kCount * S::kBytes + 1024, ctx, p, cut, SplitSums{}, tiles, MapOfWeights<Format, N>(ctx, p),
               CUtensorMap{});
      });
    });
  });
}

}  // namespace assay
