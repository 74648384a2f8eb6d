// The tensor-core product with weights as the M operand: 16 weight rows by 8 NT activation rows a block, k interleaved over
// eight warps in 64-byte groups. Sums of a result depend on nothing but its weight rows and its own activation row.
#pragma once

#include "engine/ops/kernels/product_finish.cuh"

namespace assay {

constexpr int kSkinnyWarps = 8;

// Where split products meet; unused when gridDim.z == 1.
struct SplitSums {
  float4* partial = nullptr;          // [token tiles][row tiles][splits][NT * 32]
  std::uint32_t* arrivals = nullptr;  // [token tiles][row tiles], zeros before and after
};

// The 16 weight rows of a block: lane row g and its partner, which is g + 8, or the up row of gate row g.
struct TileRows {
  std::int64_t a, b;          // result rows as Finish counts them
  std::int64_t load_a, load_b;  // rows to read: inside the matrix
};
__device__ __forceinline__ TileRows RowsOfTile(const Product& p, std::int64_t tile, int g) {
  if (p.finish == Finish::kGated) {
    const std::int64_t half = p.w.rows / 2, a = tile * 8 + g, load = min(a, half - 1);
    return {a, a + half, load, load + half};
  }
  const std::int64_t a = tile * 16 + g;
  return {a, a + 8, min(a, p.w.rows - 1), min(a + 8, p.w.rows - 1)};
}

template <class Form, int kAhead>
struct WeightRing {
  uint4 a[kAhead], b[kAhead];
  GroupScales<Form> scale_a[kAhead], scale_b[kAhead];
  const uint4 *row_a, *row_b;
  const __half *scales_a, *scales_b;

  __device__ __forceinline__ void Point(const Product& p, std::int64_t row_vectors, std::int64_t matrix, const TileRows& rows, int t) {
    const auto* data = static_cast<const uint4*>(p.w.data) + t;
    const auto* scales = static_cast<const __half*>(p.w.scales);
    const std::int64_t base = matrix * p.w.rows, groups = p.w.stride / 32;
    row_a = data + (base + rows.load_a) * row_vectors;
    row_b = data + (base + rows.load_b) * row_vectors;
    scales_a = scales + (base + rows.load_a) * groups;
    scales_b = scales + (base + rows.load_b) * groups;
  }
  __device__ __forceinline__ void Load(int u, int group) {
    a[u] = LoadStream(row_a + static_cast<std::int64_t>(group) * 4);
    b[u] = LoadStream(row_b + static_cast<std::int64_t>(group) * 4);
    scale_a[u].Load(scales_a, group);
    scale_b[u].Load(scales_b, group);
  }
};

// acc[n] += 16 weight rows x 8 activation rows over one group.
template <class Form, class T, int NT, int kAhead>
__device__ __forceinline__ void MultiplyGroup(float (&acc)[NT][4], const WeightRing<Form, kAhead>& ring, int u, int group, int t,
                                              const T* x, const std::uint32_t (&x_row)[NT], int cols, bool aligned) {
#pragma unroll
  for (int b = 0; b < Form::kBlocks; ++b) {
    std::uint32_t wa[4], wb[4];
    ExpandPairs<Form, T>(wa, ring.a[u], b);
    ExpandPairs<Form, T>(wb, ring.b[u], b);
    const int k = 32 * (Form::kBlocks * group + b) + 8 * t;
    const float sa = ring.scale_a[u].At(b), sb = ring.scale_b[u].At(b);
#pragma unroll
    for (int n = 0; n < NT; ++n) {
      const uint4 v = LoadOperand8(x + x_row[n], k, cols, aligned);
      if constexpr (Form::kScaled) {
        float dot[4] = {};
        Mma<T>(dot, wa[0], wb[0], wa[1], wb[1], v.x, v.y);
        Mma<T>(dot, wa[2], wb[2], wa[3], wb[3], v.z, v.w);
        acc[n][0] = fmaf(sa, dot[0], acc[n][0]);
        acc[n][1] = fmaf(sa, dot[1], acc[n][1]);
        acc[n][2] = fmaf(sb, dot[2], acc[n][2]);
        acc[n][3] = fmaf(sb, dot[3], acc[n][3]);
      } else {
        Mma<T>(acc[n], wa[0], wb[0], wa[1], wb[1], v.x, v.y);
        Mma<T>(acc[n], wa[2], wb[2], wa[3], wb[3], v.z, v.w);
      }
    }
  }
}

// Sums v over the splits of one tile in order. False for all blocks but the last to arrive, which holds the sum.
__device__ __forceinline__ bool MeetSplits(float4& v, const SplitSums& split, std::int64_t tile, int item, int items) {
  const int splits = static_cast<int>(gridDim.z);
  float4* slots = split.partial + tile * splits * items;
  if (item < items) slots[static_cast<std::int64_t>(blockIdx.z) * items + item] = v;
  __threadfence();
  __syncthreads();
  __shared__ bool last;
  if (item == 0) {
    last = atomicAdd(split.arrivals + tile, 1u) == static_cast<std::uint32_t>(splits - 1);
    if (last) split.arrivals[tile] = 0;
  }
  __syncthreads();
  if (!last) return false;
  __threadfence();
  v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  if (item >= items) return true;
  for (int s = 0; s < splits; ++s) {
    const float4 part = __ldcg(slots + static_cast<std::int64_t>(s) * items + item);
    v.x += part.x, v.y += part.y, v.z += part.z, v.w += part.w;
  }
  return true;
}

// Blocks a multiprocessor must be able to hold: as many as fit without spilling.
template <class Form, int NT>
constexpr int kBlocksPerSm = NT == 8 ? 1 : (NT == 1 && !Form::kScaled) ? 3 : 2;

// grid (token tiles, row tiles, splits of k). kGrouped: token tiles are those of `tiles`, each with its expert's matrix.
template <class Form, class T, int NT, bool kGrouped>
__global__ void __launch_bounds__(32 * kSkinnyWarps, (kBlocksPerSm<Form, NT>))
    SkinnyKernel(Product p, std::int64_t row_vectors, int groups, bool aligned, SplitSums split, ExpertTiles tiles) {
  constexpr int kAhead = 4;
  LetSuccessorsStart();
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32, g = lane / 4, t = lane % 4;
  const int end = static_cast<int>(static_cast<std::int64_t>(groups) * (blockIdx.z + 1) / gridDim.z);
  const int begin = static_cast<int>(static_cast<std::int64_t>(groups) * blockIdx.z / gridDim.z) + warp;
  const TileRows rows = RowsOfTile(p, blockIdx.y, g);
  std::int64_t matrix = 0;
  std::int32_t first = static_cast<std::int32_t>(blockIdx.x) * 8 * NT, count = min(8 * NT, p.rows - first);
  if constexpr (kGrouped) {
    WaitForPredecessors();
    const std::int32_t* tile = tiles.tiles + 3 * blockIdx.x;
    matrix = tile[0], first = tile[1], count = tile[2];
    if (count == 0) return;
  }
  WeightRing<Form, kAhead> ring;
  ring.Point(p, row_vectors, matrix, rows, t);
#pragma unroll
  for (int u = 0; u < kAhead; ++u)
    if (begin + u * kSkinnyWarps < end) ring.Load(u, begin + u * kSkinnyWarps);
  WaitForPredecessors();

  // Columns past the last row repeat it: a column of the product touches no other, and they are dropped at the end.
  const auto result_row = [&](int i) { return kGrouped ? tiles.list[first + i] : first + i; };
  std::uint32_t x_row[NT];
#pragma unroll
  for (int n = 0; n < NT; ++n) {
    const int i = result_row(min(8 * n + g, count - 1));
    x_row[n] = static_cast<std::uint32_t>(kGrouped ? i / p.x_share : i) * static_cast<std::uint32_t>(p.w.cols);
  }
  const auto* x = static_cast<const T*>(p.x);
  float acc[NT][4] = {};
  for (int base = begin; base < end; base += kAhead * kSkinnyWarps) {
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      const int group = base + u * kSkinnyWarps;
      if (group >= end) break;
      MultiplyGroup<Form, T, NT>(acc, ring, u, group, t, x, x_row, static_cast<int>(p.w.cols), aligned);
      if (group + kAhead * kSkinnyWarps < end) ring.Load(u, group + kAhead * kSkinnyWarps);
    }
  }

  constexpr int kItems = NT * 32;
  __shared__ float4 sums[kSkinnyWarps][kItems];
#pragma unroll
  for (int n = 0; n < NT; ++n) sums[warp][n * 32 + lane] = make_float4(acc[n][0], acc[n][1], acc[n][2], acc[n][3]);
  __syncthreads();
  const int item = static_cast<int>(threadIdx.x);
  float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  if (item < kItems) {
    for (int w = 0; w < kSkinnyWarps; ++w) {
      const float4 part = sums[w][item];
      v.x += part.x, v.y += part.y, v.z += part.z, v.w += part.w;
    }
  }
  if (gridDim.z > 1 && !MeetSplits(v, split, static_cast<std::int64_t>(blockIdx.x) * gridDim.y + blockIdx.y, item, kItems)) return;
  if (item >= kItems) return;
  // Item = (n, lane) of the accumulators: rows a and b, activation rows 2t and 2t + 1 of tile n. lane is the same as before.
  const int i = 8 * (item / 32) + 2 * t;
  if (i < count) FinishPair<T>(p, result_row(i), rows.a, rows.b, v.x, v.z);
  if (i + 1 < count) FinishPair<T>(p, result_row(i + 1), rows.a, rows.b, v.y, v.w);
}

inline unsigned RowTiles(const Product& p) {
  return static_cast<unsigned>(p.finish == Finish::kGated ? (p.w.rows / 2 + 7) / 8 : (p.w.rows + 15) / 16);
}

// Calls f(std::integral_constant<int, NT>) with the smallest NT in {1, 2, 4, 8} whose 8 NT activation rows hold `rows`.
template <class F>
void WithTile(int rows, F&& f) {
  if (rows <= 8) f(std::integral_constant<int, 1>{});
  else if (rows <= 16) f(std::integral_constant<int, 2>{});
  else if (rows <= 32) f(std::integral_constant<int, 4>{});
  else f(std::integral_constant<int, 8>{});
}

// Calls f(T{}) for the 16-bit modes.
template <class F>
void With16Bit(Precision precision, F&& f) {
  if (precision == Precision::kFp16) f(__half{});
  else f(__nv_bfloat16{});
}

}  // namespace assay
