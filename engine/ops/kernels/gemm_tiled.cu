// Products of up to 128 activation rows on tensor cores of compute capability 9.0a: plain weights of the mode's type.
//
// A tile is 64 or 128 activation rows, the M operand of one or two warpgroups, by R weight rows, the N operand. R is
// chosen so that there are as many tiles as multiprocessors or a few less: then each reads the same share of the
// weights, and no block waits for sums of others in L2. Where there are too few weight rows for that, the blocks of a
// cluster share a tile, each with a part of k, and the first adds their sums, which come to it by distributed shared
// memory.
//
// Weights and activations come through a ring in shared memory, filled by the tensor memory accelerator; weights are
// requested before the wait for predecessors, as deep as the ring is. The order of a sum depends on the weight's shape
// and on how many multiprocessors there are, never on the number of activation rows.
#include <algorithm>

#include "engine/ops/kernels/skinny.cuh"
#include "engine/ops/kernels/tensor_copy.cuh"

namespace assay {
namespace {

constexpr int kGroupThreads = 128;  // a warpgroup
constexpr int kGroupRows = 64;      // activation rows that it multiplies
constexpr int kBoxBytes = 128;      // of a row: 64 columns
constexpr int kMostStages = 24;
constexpr int kMostCluster = 4, kMostRowsOfFour = 48;  // more weight rows take clusters of two at most
constexpr int kAlignment = 1024;

// Boxes of a stage, each R weight rows and the activation rows. Small ones are multiplied in less time than a stage
// takes to wait for.
template <int R>
constexpr int kBoxes = R <= 80 ? 2 : 1;
// Warpgroups that share the weights of a stage. Small tiles of many rows would read activations more than weights.
template <int R>
constexpr int kMostGroups = R >= 64 ? 2 : 1;

struct TiledShape {
  int steps = 0;   // stages of a weight row
  int tiles = 0;   // of R weight rows
  int stages = 0;  // of the ring
  int cluster = 1;
};

// What one step along k holds.
template <int R, int kGroups>
struct TiledStage {
  static constexpr int kWeights = R * kBoxBytes;
  static constexpr int kBox = kWeights + kGroups * kGroupRows * kBoxBytes;
  static constexpr int kBytes = kBoxes<R> * kBox;
};

#ifdef ASSAY_WARPGROUP

// In the shared memory of the cluster's first block, at the place `to` has in this one's.
__device__ __forceinline__ void StoreAtFirst(std::uint32_t to, float4 v) {
  asm volatile(
      "{\n.reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, 0;\n"
      "st.shared::cluster.v4.f32 [there], {%1, %2, %3, %4};\n}" ::"r"(to),
      "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w)
      : "memory");
}
__device__ __forceinline__ void FetchMap(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

// Two results of activation row `row`, of weight rows `o` and `o` + 1.
template <class T>
__device__ __forceinline__ void StorePair(const Product& p, std::int64_t row, std::int64_t o, float2 v) {
  if (p.epilogue == Epilogue::kStore && p.w.rows % 2 == 0) {
    if (o < p.w.rows) *reinterpret_cast<float2*>(p.out + row * p.w.rows + o) = v;
  } else {
    ApplyEpilogue<T>(p, row, o, v.x);
    ApplyEpilogue<T>(p, row, o + 1, v.y);
  }
}
// The same of gate rows, whose up rows have the dot products `up`.
template <class T>
__device__ __forceinline__ void StoreGatedPair(const Product& p, std::int64_t row, std::int64_t o, float2 v,
                                               float2 up) {
  const std::int64_t width = p.w.rows / 2;
  if (o >= width) return;
  *reinterpret_cast<std::uint32_t*>(static_cast<T*>(p.operand) + row * width + o) =
      PackPair(Activate<T>(v.x, p.activation) * up.x, Activate<T>(v.y, p.activation) * up.y, T{});
}

// What lane t of a quad has of R weight rows by activation rows `row` and row + 8. Gated ones lie as eight gate rows,
// then their eight up rows.
template <class T, int R>
__device__ __forceinline__ void FinishTile(const Product& p, int tile, const float (&sum)[R / 2], int row, int t) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = row + 8 * half;
    if (r >= p.rows) return;
    const auto pair = [&](int j) { return make_float2(sum[4 * j + 2 * half], sum[4 * j + 2 * half + 1]); };
    if (p.epilogue == Epilogue::kGated) {
#pragma unroll
      for (int j = 0; j < R / 16; ++j)
        StoreGatedPair<T>(p, r, std::int64_t{tile} * (R / 2) + 8 * j + 2 * t, pair(2 * j), pair(2 * j + 1));
    } else {
#pragma unroll
      for (int j = 0; j < R / 8; ++j) StorePair<T>(p, r, std::int64_t{tile} * R + 8 * j + 2 * t, pair(j));
    }
  }
}

#endif

// grid (tiles in turn, or the clusters that have one each).
template <class T, int R, int kGroups>
__global__ void __launch_bounds__(kGroups* kGroupThreads + 32, 1)
    TiledKernel(Product p, TiledShape shape, const __grid_constant__ CUtensorMap weights,
                const __grid_constant__ CUtensorMap activations) {
#ifdef ASSAY_WARPGROUP
  using S = TiledStage<R, kGroups>;
  constexpr int kMultipliers = kGroups * kGroupThreads;
  extern __shared__ unsigned char unaligned[];
  __shared__ std::uint64_t barriers[2 * kMostStages];
  const std::uint32_t full = SharedAddress(barriers), empty = full + 8 * kMostStages;
  const std::uint32_t start = SharedAddress(unaligned), ring = (start + kAlignment - 1) / kAlignment * kAlignment;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  if (threadIdx.x == 0) {
    for (int s = 0; s < shape.stages; ++s) {
      InitBarrier(full + 8 * s, 1);
      InitBarrier(empty + 8 * s, kMultipliers / 32);
    }
    FenceBarriers();
  }
  if (threadIdx.x == kMultipliers) FetchMap(weights), FetchMap(activations);
  const bool shared_tile = shape.cluster > 1;
  if (shared_tile)
    SyncCluster();  // none stores into a block that has not begun
  else
    __syncthreads();
  const int rank = static_cast<int>(blockIdx.x) % shape.cluster;
  const int first = static_cast<int>(blockIdx.x) / shape.cluster, turn = static_cast<int>(gridDim.x) / shape.cluster;
  const int begin = shape.steps * rank / shape.cluster, steps = shape.steps * (rank + 1) / shape.cluster - begin;

  if (warp == kMultipliers / 32) {
    if (lane == 0) {
      const int total = ((shape.tiles - first - 1) / turn + 1) * steps, ahead = min(total, shape.stages);
      const bool gated = p.epilogue == Epilogue::kGated;
      int tile = first, step = 0;
      const auto copy_weights = [&](int stage) {
        ArriveExpecting(full + 8 * stage, static_cast<std::uint32_t>(kBoxes<R> * (R + p.rows) * kBoxBytes));
#pragma unroll
        for (int b = 0; b < kBoxes<R>; ++b) {
          const int column = ((begin + step) * kBoxes<R> + b) * kBoxBytes;
          CopyBox<true>(ring + stage * S::kBytes + b * S::kBox, weights,
                        {column, gated ? 0 : tile * R, 0, gated ? tile * (R / 16) : 0, 0}, full + 8 * stage);
        }
      };
      const auto copy_activations = [&](int stage, int at) {
#pragma unroll
        for (int b = 0; b < kBoxes<R>; ++b)
          CopyBox(ring + stage * S::kBytes + b * S::kBox + S::kWeights, activations,
                  int2{((begin + at) * kBoxes<R> + b) * kBoxBytes, 0}, full + 8 * stage);
      };
      const auto next = [&] {
        if (++step == steps) step = 0, tile += turn;
      };
      for (int i = 0; i < ahead; ++i, next()) copy_weights(i);
      if (ahead == total) LetSuccessorsStart();
      WaitForPredecessors();
      for (int i = 0; i < ahead; ++i) copy_activations(i, i % steps);
      int stage = 0;
      std::uint32_t phase = 0;
      for (int i = ahead; i < total; ++i, next()) {
        WaitBarrier(empty + 8 * stage, phase);
        copy_weights(stage);
        copy_activations(stage, step);
        if (++stage == shape.stages) stage = 0, phase ^= 1;
      }
      if (ahead < total) LetSuccessorsStart();
    } else {
      WaitForPredecessors();
    }
    __syncwarp();
    if (shared_tile) SyncCluster();
    return;
  }

  // Rows behind the last activation row are multiplied like the others: zeros take the least power.
  const int none = (kGroups * kGroupRows - p.rows) * (kBoxBytes / 16);
  for (int box = 0; box < shape.stages * kBoxes<R>; ++box) {
    auto* const behind =
        reinterpret_cast<uint4*>(unaligned + (ring - start) + box * S::kBox + S::kWeights + p.rows * kBoxBytes);
    for (int i = static_cast<int>(threadIdx.x); i < none; i += kMultipliers) behind[i] = {0, 0, 0, 0};
  }
  FenceShared();
  asm volatile("bar.sync 1, %0;" ::"n"(kMultipliers) : "memory");
  WaitForPredecessors();
  const std::uint32_t ring_operand = SharedOperandLow(ring);
  const int group = warp / (kGroupThreads / 32), row = 16 * warp + lane / 4;
  int stage = 0;
  std::uint32_t phase = 0;
  const auto release = [&](int s) {
    __syncwarp();
    if (lane == 0) Arrive(empty + 8 * s);
  };
  for (int tile = first; tile < shape.tiles; tile += turn) {
    float sum[R / 2];
#pragma unroll
    for (int i = 0; i < R / 2; ++i) sum[i] = 0.0f;
    int before = -1;  // the stage whose products may still run
    for (int step = 0; step < steps; ++step) {
      WaitBarrier(full + 8 * stage, phase);
      FenceProducts();
#pragma unroll
      for (int b = 0; b < kBoxes<R>; ++b) {
        const std::uint32_t w = ring_operand + (stage * S::kBytes + b * S::kBox) / 16,
                            x = w + (S::kWeights + group * kGroupRows * kBoxBytes) / 16;
#pragma unroll
        for (int i = 0; i < 4; ++i)
          Warpgroup<T, R>::Multiply(sum, SharedOperandOf(x + 2 * i), SharedOperandOf(w + 2 * i), true);
      }
      CommitProducts();
      if (before >= 0) {
        WaitProducts<1>();
        release(before);
      }
      before = stage;
      if (++stage == shape.stages) stage = 0, phase ^= 1;
    }
    WaitProducts<0>();
    release(before);
    if (shared_tile) {
      const int thread = static_cast<int>(threadIdx.x);
      float4* const sums = reinterpret_cast<float4*>(unaligned + (ring - start) +
                                                     shape.stages * S::kBytes);  // [cluster - 1][R / 8][kMultipliers]
      if (rank != 0 && 16 * warp < p.rows) {
        const std::uint32_t to = SharedAddress(sums + (rank - 1) * (R / 8) * kMultipliers + thread);
#pragma unroll
        for (int j = 0; j < R / 8; ++j)
          StoreAtFirst(to + j * kMultipliers * static_cast<int>(sizeof(float4)),
                       make_float4(sum[4 * j], sum[4 * j + 1], sum[4 * j + 2], sum[4 * j + 3]));
      }
      SyncCluster();
      if (rank != 0) return;
      for (int r = 1; r < shape.cluster; ++r) {
        const float4* const part = sums + (r - 1) * (R / 8) * kMultipliers + thread;
#pragma unroll
        for (int j = 0; j < R / 8; ++j) {
          const float4 v = part[j * kMultipliers];
          sum[4 * j] += v.x, sum[4 * j + 1] += v.y, sum[4 * j + 2] += v.z, sum[4 * j + 3] += v.w;
        }
      }
    }
    FinishTile<T, R>(p, tile, sum, row, lane % 4);
  }
#else
  __trap();  // code for another architecture: TiledRows does not let it come to this
#endif
}

// How a product is cut.
struct TiledCut {
  int rows = 0;     // R
  int cluster = 1;  // blocks that share a tile
};
constexpr int kRows[] = {16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 112, 128, 160};

// The cut that leaves the busiest multiprocessor the least: boxes of 64 columns, counted in weight rows. An activation
// box costs as much as that of so many weight rows, the sum over a cluster as much as so many rows of a box.
constexpr int kActivationCost = 16, kClusterCost = 180;

TiledCut CutOf(const Product& p, int sm_count) {
  TiledCut best;
  std::int64_t least = INT64_MAX;
  const int boxes = CeilDiv(2 * p.w.cols, kBoxBytes);
  for (const int rows : kRows) {
    if (p.epilogue == Epilogue::kGated && rows % 16 != 0) continue;
    const int tiles = CeilDiv(p.w.rows, rows);
    for (int cluster = 1; cluster <= kMostCluster; cluster *= 2) {
      // Blocks of a cluster have a stage or more each, and run at a time. Clusters of four may not find room
      // everywhere, and many sums would leave no room for the ring.
      const int most = cluster > 2 ? sm_count * 3 / 4 : sm_count;
      if (cluster > 1 && (2 * cluster > boxes || tiles * cluster > most)) continue;
      if (cluster > 2 && rows > kMostRowsOfFour) continue;
      const std::int64_t turns = CeilDiv(std::int64_t{tiles} * cluster, sm_count);
      const std::int64_t cost =
          turns * (rows + kActivationCost) * CeilDiv(boxes, cluster) + (cluster > 1 ? kClusterCost : 0);
      if (cost < least) least = cost, best = {rows, cluster};
    }
  }
  return best;
}

template <class T, int R, int kGroups>
void LaunchTiles(const KernelContext& ctx, const Product& p, int cluster) {
  using S = TiledStage<R, kGroups>;
  TiledShape shape;
  shape.steps = CeilDiv(2 * p.w.cols, kBoxBytes * kBoxes<R>);
  shape.tiles = CeilDiv(p.w.rows, R);
  shape.cluster = cluster;
  const int sums = (cluster - 1) * (R / 8) * kGroups * kGroupThreads * static_cast<int>(sizeof(float4)),
            beside = kAlignment + sums, room = static_cast<int>(ctx.shared_memory) - 2 * kMostStages * 8 - beside;
  const int blocks = cluster > 1 ? shape.tiles * cluster : std::min(shape.tiles, ctx.sm_count),
            steps = CeilDiv(shape.steps, cluster) * CeilDiv(shape.tiles * cluster, blocks);  // of a block
  shape.stages = std::min({kMostStages, steps, room / S::kBytes});
  // A stage is given back when products of the next have begun.
  Require<Error>(shape.stages >= std::min(2, steps), "{} bytes of shared memory hold no ring of a tile",
                 ctx.shared_memory);
  LaunchClusters(static_cast<unsigned>(cluster), TiledKernel<T, R, kGroups>, dim3(static_cast<unsigned>(blocks)),
                 dim3(kGroups * kGroupThreads + 32), shape.stages * S::kBytes + beside, ctx, p, shape,
                 MapOfTiles(ctx, p, p.w.data, p.w.row_bytes, R, kBoxBytes, CU_TENSOR_MAP_SWIZZLE_128B),
                 MapOfActivations(ctx, p, p.rows));
}

// Calls f(std::integral_constant<int, rows>) with one of kRows.
template <class F>
void WithRows(int rows, F&& f) {
  [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) {
    static_cast<void>(((rows == kRows[kIndex] && (f(std::integral_constant<int, kRows[kIndex]>{}), true)) || ...));
  }
  (std::make_integer_sequence<int, static_cast<int>(std::size(kRows))>{});
}

}  // namespace

int TiledRows(const KernelContext& ctx, const Product& p) {
#ifdef ASSAY_STREAM
  const auto begins_on = [](const void* at, std::uintptr_t bytes) {
    return reinterpret_cast<std::uintptr_t>(at) % bytes == 0;
  };
  if (ctx.compute_capability != 90 || ctx.precision.operands == DType::kF32 || p.w.layout != WeightLayout::kPlain ||
      !AlignedRows(p) || !begins_on(p.out, 8) || !begins_on(p.operand, 4) ||
      (p.epilogue == Epilogue::kGated && p.w.rows % 16 != 0))
    return 0;
  int most = 0;
  WithRows(CutOf(p, ctx.sm_count).rows, [&](auto r) { most = kMostGroups<decltype(r)::value> * kGroupRows; });
  return most;
#else
  static_cast<void>(ctx), static_cast<void>(p);
  return 0;
#endif
}

void LaunchTiled(const KernelContext& ctx, const Product& all) {
  const TiledCut cut = CutOf(all, ctx.sm_count);
  With16Bit(ctx.precision, [&](auto t) {
    using T = decltype(t);
    WithRows(cut.rows, [&](auto r) {
      constexpr int R = decltype(r)::value, kMost = kMostGroups<R> * kGroupRows;
      for (int row = 0; row < all.rows; row += kMost) {
        const Product p = RowsOf<T>(all, row, std::min(all.rows - row, kMost));
        if (p.rows <= kGroupRows)
          LaunchTiles<T, R, 1>(ctx, p, cut.cluster);
        else
          LaunchTiles<T, R, kMostGroups<R>>(ctx, p, cut.cluster);
      }
    });
  });
}

}  // namespace assay
