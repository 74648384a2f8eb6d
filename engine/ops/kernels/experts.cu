// Products of many assignments with their experts' matrices. A stable counting sort on the device makes tiles of
// assignments that share a matrix. The host never learns the counts; the grid covers the worst case and idle tiles
// leave at once.
#include <algorithm>

#include "engine/ops/kernels/skinny.cuh"

namespace assay {
namespace {

constexpr int kSortThreads = 256;
constexpr int kMostExperts = 1024;

__device__ __forceinline__ int WarpSum(int v) {
#pragma unroll
  for (int d = 16; d > 0; d /= 2) v += __shfl_xor_sync(0xffffffffu, v, d);
  return v;
}

// Each block works for one expert: it counts all assignments by expert (integer counts are the same in any order), puts
// its own tiles after those of lower experts, and lists its assignments in ascending order.
__global__ void __launch_bounds__(kSortThreads)
    SortKernel(ExpertTiles t, const std::int32_t* expert, int assignments, int experts) {
  __shared__ int count[kMostExperts];
  __shared__ int before, tiles_before, tiles_all;
  __shared__ int warp_hits[kSortThreads / 32];
  LetSuccessorsStart();
  const int tid = static_cast<int>(threadIdx.x), lane = tid % 32, warp = tid / 32, own = static_cast<int>(blockIdx.x);
  for (int e = tid; e < experts; e += kSortThreads) count[e] = 0;
  WaitForPredecessors();
  __syncthreads();
  for (int i = tid; i < assignments; i += kSortThreads) atomicAdd(&count[min(max(expert[i], 0), experts - 1)], 1);
  __syncthreads();
  if (warp == 0) {
    int sum = 0, tiles = 0, all = 0;
    for (int e = lane; e < experts; e += 32) {
      const int n = (count[e] + t.tile - 1) / t.tile;
      all += n;
      if (e < own) sum += count[e], tiles += n;
    }
    sum = WarpSum(sum), tiles = WarpSum(tiles), all = WarpSum(all);
    if (lane == 0) before = sum, tiles_before = tiles, tiles_all = all;
  }
  __syncthreads();
  for (int i = tid; i * t.tile < count[own]; i += kSortThreads) {
    std::int32_t* tile = t.tiles + 3 * (tiles_before + i);
    tile[0] = own;
    tile[1] = before + i * t.tile;
    tile[2] = min(t.tile, count[own] - i * t.tile);
  }
  if (own == 0) {
    for (int i = tiles_all + tid; i < t.max_tiles; i += kSortThreads)
      t.tiles[3 * i] = 0, t.tiles[3 * i + 1] = 0, t.tiles[3 * i + 2] = 0;
  }
  int place = before;
  for (int base = 0; base < assignments; base += kSortThreads) {
    const int i = base + tid;
    const bool hit = i < assignments && min(max(expert[i], 0), experts - 1) == own;
    const unsigned mask = __ballot_sync(0xffffffffu, hit);
    if (lane == 0) warp_hits[warp] = __popc(mask);
    __syncthreads();
    int offset = 0, total = 0;
    for (int w = 0; w < kSortThreads / 32; ++w) {
      if (w < warp) offset += warp_hits[w];
      total += warp_hits[w];
    }
    if (hit) t.list[place + offset + __popc(mask & ((1u << lane) - 1u))] = i;
    place += total;
    __syncthreads();
  }
}

__global__ void CombineKernel(float* out, const float* partial, const float* weight, int top_k, std::int64_t width) {
  LetSuccessorsStart();
  WaitForPredecessors();
  const std::int64_t o = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, r = blockIdx.y;
  if (o >= width) return;
  float sum = 0.0f;
  for (int k = 0; k < top_k; ++k) sum = fmaf(weight[r * top_k + k], partial[(r * top_k + k) * width + o], sum);
  out[r * width + o] = sum;
}

// How many assignments a tile holds: the expected number per expert, rounded up, so that tiles are neither empty nor
// many.
int TileSize(int assignments, int experts, bool streams) {
  int tile = 8;
  while (tile < (streams ? 128 : 64) && tile * experts < assignments) tile *= 2;
  return tile;
}
int MaxTiles(int assignments, int experts, int tile) { return assignments / tile + std::min(assignments, experts); }
std::size_t ListBytes(int assignments) { return (std::size_t{4} * assignments + 255) / 256 * 256; }

}  // namespace

std::size_t ExpertTileBytes(int assignments, int experts, bool streams) {
  const int tile = TileSize(assignments, experts, streams);
  return ListBytes(assignments) + (std::size_t{12} * MaxTiles(assignments, experts, tile) + 255) / 256 * 256;
}

ExpertTiles PlanExpertTiles(void* workspace, int assignments, int experts, bool streams) {
  ExpertTiles t;
  t.tile = TileSize(assignments, experts, streams);
  t.max_tiles = MaxTiles(assignments, experts, t.tile);
  t.list = static_cast<std::int32_t*>(workspace);
  t.tiles = t.list + ListBytes(assignments) / 4;
  return t;
}

void LaunchSortExperts(const KernelContext& ctx, const ExpertTiles& tiles, const std::int32_t* expert, int assignments,
                       int experts) {
  Require(experts <= kMostExperts, "{} experts: at most {} can be sorted", experts, kMostExperts);
  Launch(SortKernel, dim3(static_cast<unsigned>(experts)), dim3(kSortThreads), 0, ctx, tiles, expert, assignments,
         experts);
}

void LaunchGrouped(const KernelContext& ctx, const Product& p, const ExpertTiles& tiles) {
  With16Bit(ctx.precision, [&](auto t) {
    using T = decltype(t);
    WithWeightFormat<T>(p.w, [&](auto format) {
      using Format = decltype(format);
      WithTile(tiles.tile, [&](auto nt) {
        WithWhole(p, [&](auto whole) {
          const int row_tiles = RowTiles(p, 1);
          const dim3 grid(static_cast<unsigned>(tiles.max_tiles), static_cast<unsigned>(row_tiles), 1);
          Launch(SkinnyKernel<Format, T, decltype(nt)::value, 1, true, decltype(whole)::value>, grid,
                 dim3(32 * kSkinnyWarps), 0, ctx, p, p.w.row_bytes / 16, static_cast<int>(p.w.row_bytes / kGroupBytes),
                 row_tiles, AlignedRows(p), SplitSums{}, tiles);
        });
      });
    });
  });
}

void LaunchCombine(const KernelContext& ctx, float* out, const float* partial, const float* weight, int rows, int top_k,
                   std::int64_t width) {
  Launch(CombineKernel, dim3(static_cast<unsigned>((width + 255) / 256), static_cast<unsigned>(rows)), dim3(256), 0,
         ctx, out, partial, weight, top_k, width);
}

}  // namespace assay
