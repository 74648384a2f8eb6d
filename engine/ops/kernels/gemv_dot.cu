// Products on CUDA cores: a warp owns four weight rows (two gate/up pairs), lanes stride over k with 16-byte loads.
#include <algorithm>

#include "engine/ops/kernels/product_finish.cuh"

namespace assay {
namespace {

constexpr int kWarps = 8;
constexpr int kRows = 4;   // weight rows a warp owns
constexpr int kAhead = 2;  // steps of weights in flight

// The rows as offsets from a common start: pointers would take twice the registers.
struct WeightRows {
  const uint4* data;
  const __half* scales;
  std::uint32_t data_at[kRows], scales_at[kRows];  // in vectors, in scales
};

__device__ __forceinline__ WeightRows RowsOf(const Product& p, std::int64_t row_vectors, std::int64_t matrix, std::int64_t first) {
  const std::int64_t half = p.w.rows / 2, groups = p.w.stride / 32;
  WeightRows rows;
  rows.data = static_cast<const uint4*>(p.w.data) + matrix * p.w.rows * row_vectors;
  rows.scales = static_cast<const __half*>(p.w.scales) + matrix * p.w.rows * groups;
#pragma unroll
  for (int j = 0; j < kRows; ++j) {
    // Rows past the end are read in place of nothing and dropped at the end.
    const std::int64_t r = p.finish == Finish::kGated ? min(first + j / 2, half - 1) + (j % 2) * half : min(first + j, p.w.rows - 1);
    rows.data_at[j] = static_cast<std::uint32_t>(r * row_vectors);
    rows.scales_at[j] = static_cast<std::uint32_t>(r * groups);
  }
  return rows;
}

// acc[n][j] += w_j . x_n over the lane's chunks first, first + step, ...; a chunk is what a lane holds of a group. Once the first
// weights are on their way, `ready` waits for the activations.
template <class Form, class T, int NB, class Ready>
__device__ __forceinline__ void Accumulate(float (&acc)[NB][kRows], const WeightRows& w, const T* const (&x)[NB], int cols, bool aligned,
                                           int first, int step, int chunks, Ready&& ready) {
  constexpr int kVectors = sizeof(Raw<Form>) / sizeof(uint4);
  Raw<Form> raw[kAhead][kRows];
  GroupScales<Form> scales[kAhead][kRows];
  const auto load = [&](int u, int c) {
    if (c >= chunks) return;
#pragma unroll
    for (int j = 0; j < kRows; ++j) {
#pragma unroll
      for (int v = 0; v < kVectors; ++v) raw[u][j].v[v] = LoadStream(w.data + (w.data_at[j] + static_cast<std::uint32_t>(c * kVectors + v)));
      scales[u][j].Load(w.scales + w.scales_at[j], c / 4);
    }
  };
#pragma unroll
  for (int u = 0; u < kAhead; ++u) load(u, first + u * step);
  ready();
  for (int base = first; base < chunks; base += kAhead * step) {
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      const int c = base + u * step;
      if (c >= chunks) break;
#pragma unroll
      for (int b = 0; b < Form::kBlocks; ++b) {
        const int k = 32 * (Form::kBlocks * (c / 4) + b) + 8 * (c % 4);
        float xs[NB][8];
#pragma unroll
        for (int n = 0; n < NB; ++n) LoadFloats8(xs[n], x[n], k, cols, aligned);
#pragma unroll
        for (int j = 0; j < kRows; ++j) {
          float ws[8];
          ExpandFloats<Form>(ws, raw[u][j], b);
#pragma unroll
          for (int n = 0; n < NB; ++n) {
            float sum = Form::kScaled ? 0.0f : acc[n][j];
#pragma unroll
            for (int i = 0; i < 8; ++i) sum = fmaf(ws[i], xs[n][i], sum);
            acc[n][j] = Form::kScaled ? fmaf(scales[u][j].At(b), sum, acc[n][j]) : sum;
          }
        }
      }
      load(u, c + kAhead * step);
    }
  }
}

// Blocks a multiprocessor must be able to hold: one row of 16-bit operands needs few registers, and three blocks keep a small
// matrix in one wave.
template <class T, int NB, bool kCombine>
constexpr int kBlocksPerSm = NB == 1 && sizeof(T) == 2 ? (kCombine ? 2 : 3) : 1;

// Whether a block first copies its activation row to shared memory: pays where expanding weights leaves few loads in flight
// that could hide the row's own; plain weights lose more by the barrier.
template <class Form, class T, int NB, bool kCombine>
constexpr bool kStaged = Form::kScaled && NB == 1 && sizeof(T) == 2 && !kCombine;

// grid (row groups / (kWarps / k_warps), result rows / NB or assignments). kCombine: grid.y = rows of out, warps split top_k.
template <class Form, class T, int NB, bool kCombine>
__global__ void __launch_bounds__(32 * kWarps, (kBlocksPerSm<T, NB, kCombine>))
    DotKernel(Product p, std::int64_t row_vectors, int chunks, int k_warps, bool aligned) {
  extern __shared__ uint4 staged[];
  LetSuccessorsStart();
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int per_group = p.finish == Finish::kGated ? 2 : 4;
  const int groups = kWarps / k_warps;
  const std::int64_t first = (static_cast<std::int64_t>(blockIdx.x) * groups + warp / k_warps) * per_group;
  const int cols = static_cast<int>(p.w.cols);
  const std::int64_t row0 = static_cast<std::int64_t>(blockIdx.y) * NB;
  float acc[NB][kRows] = {};
  if constexpr (kCombine) {
    WaitForPredecessors();  // for the choice of experts, and so for the activations too
    for (int k = warp; k < p.top_k; k += kWarps) {
      const std::int64_t a = row0 * p.top_k + k;
      const int matrix = min(max(p.expert[a], 0), p.experts - 1);
      float dot[1][kRows] = {};
      const T* const x[1] = {static_cast<const T*>(p.x) + a * cols};
      Accumulate<Form, T, 1>(dot, RowsOf(p, row_vectors, matrix, first), x, cols, aligned, lane, 32, chunks, [] {});
#pragma unroll
      for (int j = 0; j < kRows; ++j) acc[0][j] = fmaf(p.combine[a], dot[0][j], acc[0][j]);
    }
  } else {
    std::int64_t matrix = 0, x_row = row0;
    if (p.expert != nullptr) {
      WaitForPredecessors();
      matrix = min(max(p.expert[row0], 0), p.experts - 1);
      x_row = row0 / p.x_share;
    }
    const WeightRows weights = RowsOf(p, row_vectors, matrix, first);
    const int start = lane + 32 * (warp % k_warps), step = 32 * k_warps;
    if constexpr (kStaged<Form, T, NB, kCombine>) {
      // Padded with zeros to whole groups.
      const T* const row = static_cast<const T*>(p.x) + x_row * cols;
      const T* const x[1] = {reinterpret_cast<const T*>(staged)};
      Accumulate<Form, T, 1>(acc, weights, x, static_cast<int>(p.w.stride), true, start, step, chunks, [&] {
        WaitForPredecessors();
        for (int i = static_cast<int>(threadIdx.x); i < static_cast<int>(p.w.stride) / 8; i += 32 * kWarps)
          staged[i] = LoadOperand8(row, 8 * i, cols, aligned);
        __syncthreads();
      });
    } else {
      const T* x[NB];
#pragma unroll
      for (int n = 0; n < NB; ++n)
        x[n] = static_cast<const T*>(p.x) + (NB == 1 ? x_row : min(x_row + n, static_cast<std::int64_t>(p.rows) - 1)) * cols;
      Accumulate<Form, T, NB>(acc, weights, x, cols, aligned, start, step, chunks, [] { WaitForPredecessors(); });
    }
  }
  __shared__ float sums[kWarps][NB][kRows];
#pragma unroll
  for (int n = 0; n < NB; ++n) {
#pragma unroll
    for (int j = 0; j < kRows; ++j) {
      float v = acc[n][j];
#pragma unroll
      for (int d = 16; d > 0; d /= 2) v += __shfl_xor_sync(0xffffffffu, v, d);
      if (lane == 0) sums[warp][n][j] = v;
    }
  }
  __syncthreads();
  const int item = static_cast<int>(threadIdx.x);
  if (item >= groups * NB * 2) return;
  const int group = item / (NB * 2), n = item / 2 % NB, pair = item % 2;
  float a = 0.0f, b = 0.0f;
  for (int w = group * k_warps; w < (group + 1) * k_warps; ++w) {
    a += sums[w][n][2 * pair];
    b += sums[w][n][2 * pair + 1];
  }
  if (row0 + n >= p.rows) return;
  const std::int64_t start = (static_cast<std::int64_t>(blockIdx.x) * groups + group) * per_group;
  const std::int64_t o = start + (per_group == 2 ? pair : 2 * pair);
  FinishPair<T>(p, row0 + n, o, o + 1, a, b);
}

}  // namespace

void LaunchDot(const KernelContext& ctx, const Product& p) {
  WithOperand(ctx.precision, [&](auto t) {
    using T = decltype(t);
    WithForm<T>(p.w, [&](auto form) {
      using Form = decltype(form);
      const int chunks = static_cast<int>(p.w.stride / (8 * Form::kBlocks));
      const std::int64_t row_vectors = RowBytes(p.w) / 16;
      const std::int64_t groups = (p.width() + (p.finish == Finish::kGated ? 1 : 3)) / (p.finish == Finish::kGated ? 2 : 4);
      const bool aligned = AlignedRows(p);
      const dim3 block(32 * kWarps);
      const auto rows = static_cast<unsigned>(p.rows);
      if (p.combine != nullptr) {
        Launch(DotKernel<Form, T, 1, true>, dim3(static_cast<unsigned>(groups), rows), block, 0, ctx, p, row_vectors, chunks, kWarps, aligned);
        return;
      }
      // Few row groups cannot fill the device: split k over warps of a block. In batch-invariant mode by the shape alone.
      const std::int64_t warps = groups * (p.expert != nullptr && !ctx.batch_invariant ? p.rows : 1);
      int k_warps = 1;
      while (k_warps < kWarps && warps * k_warps < 16 * ctx.sm_count && chunks > 32 * k_warps) k_warps *= 2;
      const auto grid_x = static_cast<unsigned>((groups + kWarps / k_warps - 1) / (kWarps / k_warps));
      if (p.rows == 1 || p.expert != nullptr) {
        const std::size_t shared = kStaged<Form, T, 1, false> ? static_cast<std::size_t>(p.w.stride) * sizeof(T) : 0;
        Launch(DotKernel<Form, T, 1, false>, dim3(grid_x, rows), block, shared, ctx, p, row_vectors, chunks, k_warps, aligned);
      } else {
        Launch(DotKernel<Form, T, 4, false>, dim3(grid_x, (rows + 3) / 4), block, 0, ctx, p, row_vectors, chunks, k_warps, aligned);
      }
    });
  });
}

}  // namespace assay
