// Products on CUDA cores. A warp owns four weight rows (two gate/up pairs) or two, and its lanes stride over k with
// 16-byte loads.
#include <algorithm>

#include "engine/ops/kernels/epilogue.cuh"

namespace assay {
namespace {

constexpr int kWarps = 8;
constexpr int kLoads = 8;      // of weights in flight a lane: over the rows a warp owns, then over steps
constexpr int kFewWarps = 15;  // a multiprocessor: fewer leave its memory pipe half empty

// The rows are offsets from a common start, because pointers would take twice the registers.
template <int kRows>
struct WeightRows {
  const uint4* data;
  const __half* scales;
  std::uint32_t data_at[kRows], scales_at[kRows];  // in vectors, in scales
};

template <int kRows>
__device__ __forceinline__ WeightRows<kRows> RowsOf(const Product& p, std::int64_t row_vectors, std::int64_t matrix,
                                                    std::int64_t first) {
  const std::int64_t half = p.w.rows / 2, groups = p.w.stride / 32;
  WeightRows<kRows> rows;
  rows.data = static_cast<const uint4*>(p.w.data) + matrix * p.w.rows * row_vectors;
  rows.scales = static_cast<const __half*>(p.w.scales) + matrix * p.w.rows * groups;
#pragma unroll
  for (int j = 0; j < kRows; ++j) {
    // Indices past the end repeat the last row; their results are dropped at the end.
    const std::int64_t r =
        p.epilogue == Epilogue::kGated ? min(first + j / 2, half - 1) + (j % 2) * half : min(first + j, p.w.rows - 1);
    rows.data_at[j] = static_cast<std::uint32_t>(r * row_vectors);
    rows.scales_at[j] = static_cast<std::uint32_t>(r * groups);
  }
  return rows;
}

// Adds w_j . x_n to acc[n][j] over the lane's chunks first, first + step, ...; a chunk is what a lane holds of a group.
// The wait for the activations comes when the first weights are on their way.
template <bool kWhole, class Format, class T, int NB, int kRows>
__device__ __forceinline__ void Accumulate(float (&acc)[NB][kRows], const WeightRows<kRows>& w, const T* const (&x)[NB],
                                           int cols, bool aligned, int first, int step, int chunks) {
  constexpr int kVectors = sizeof(Raw<Format>) / sizeof(uint4), kAhead = kLoads / kRows;
  Raw<Format> raw[kAhead][kRows];
  GroupScales<Format> scales[kAhead][kRows];
  const auto load = [&](int u, int c) {
    if (c >= chunks) return;
#pragma unroll
    for (int j = 0; j < kRows; ++j) {
#pragma unroll
      for (int v = 0; v < kVectors; ++v)
        raw[u][j].v[v] = LoadStream(w.data + (w.data_at[j] + static_cast<std::uint32_t>(c * kVectors + v)));
      scales[u][j].Load(w.scales + w.scales_at[j], c / 4);
    }
  };
#pragma unroll
  for (int u = 0; u < kAhead; ++u) load(u, first + u * step);
  WaitForPredecessors();
  for (int base = first; base < chunks; base += kAhead * step) {
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      const int c = base + u * step;
      if (c >= chunks) break;
#pragma unroll
      for (int b = 0; b < Format::kBlocks; ++b) {
        const int k = 32 * (Format::kBlocks * (c / 4) + b) + 8 * (c % 4);
        float xs[NB][8];
#pragma unroll
        for (int n = 0; n < NB; ++n) LoadFloats8<kWhole>(xs[n], x[n], k, cols, aligned);
#pragma unroll
        for (int j = 0; j < kRows; ++j) {
          float ws[8];
          ExpandFloats<Format>(ws, raw[u][j], b);
#pragma unroll
          for (int n = 0; n < NB; ++n) {
            float sum = Format::kScaled ? 0.0f : acc[n][j];
#pragma unroll
            for (int i = 0; i < 8; ++i) sum = fmaf(ws[i], xs[n][i], sum);
            acc[n][j] = Format::kScaled ? fmaf(scales[u][j].At(b), sum, acc[n][j]) : sum;
          }
        }
      }
      load(u, c + kAhead * step);
    }
  }
}

// How many blocks a multiprocessor must be able to hold. One row of 16-bit operands needs few registers, and three
// blocks keep a small matrix in one wave.
template <class T, int NB, bool kCombine>
constexpr int kBlocksPerSm = NB == 1 && sizeof(T) == 2 ? (kCombine ? 2 : 3) : 1;

// The grid is (row groups / (kWarps / k_warps), result rows / NB or assignments). With kCombine grid.y counts rows of
// out and warps split top_k. kWhole: WholeRows(p).
template <class Format, class T, int NB, int kRows, bool kCombine, bool kWhole>
__global__ void __launch_bounds__(32 * kWarps, (kBlocksPerSm<T, NB, kCombine>))
    DotKernel(Product p, std::int64_t row_vectors, int chunks, int k_warps, bool aligned) {
  LetSuccessorsStart();
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int per_group = p.epilogue == Epilogue::kGated ? kRows / 2 : kRows;
  const int groups = kWarps / k_warps;
  const std::int64_t first = (static_cast<std::int64_t>(blockIdx.x) * groups + warp / k_warps) * per_group;
  const int cols = static_cast<int>(p.w.cols);
  const std::int64_t row0 = static_cast<std::int64_t>(blockIdx.y) * NB;
  float acc[NB][kRows] = {};
  if constexpr (kCombine) {
    WaitForPredecessors();  // for the choice of experts
    for (int k = warp; k < p.top_k; k += kWarps) {
      const std::int64_t a = row0 * p.top_k + k;
      const int matrix = min(max(p.expert[a], 0), p.experts - 1);
      float dot[1][kRows] = {};
      const T* const x[1] = {static_cast<const T*>(p.x) + a * cols};
      Accumulate<kWhole, Format>(dot, RowsOf<kRows>(p, row_vectors, matrix, first), x, cols, aligned, lane, 32, chunks);
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
    const WeightRows<kRows> weights = RowsOf<kRows>(p, row_vectors, matrix, first);
    const int start = lane + 32 * (warp % k_warps), step = 32 * k_warps;
    const T* x[NB];
#pragma unroll
    for (int n = 0; n < NB; ++n)
      x[n] =
          static_cast<const T*>(p.x) + (NB == 1 ? x_row : min(x_row + n, static_cast<std::int64_t>(p.rows) - 1)) * cols;
    Accumulate<kWhole, Format>(acc, weights, x, cols, aligned, start, step, chunks);
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
  constexpr int kPairs = kRows / 2;
  if (item >= groups * NB * kPairs) return;
  const int group = item / (NB * kPairs), n = item / kPairs % NB, pair = item % kPairs;
  float a = 0.0f, b = 0.0f;
  for (int w = group * k_warps; w < (group + 1) * k_warps; ++w) {
    a += sums[w][n][2 * pair];
    b += sums[w][n][2 * pair + 1];
  }
  if (row0 + n >= p.rows) return;
  const std::int64_t start = (static_cast<std::int64_t>(blockIdx.x) * groups + group) * per_group;
  const std::int64_t o = start + (p.epilogue == Epilogue::kGated ? pair : 2 * pair);
  ApplyEpiloguePair<T>(p, row0 + n, o, o + 1, a, b);
}

}  // namespace

void LaunchDot(const KernelContext& ctx, const Product& p) {
  WithOperand(ctx.precision, [&](auto t) {
    using T = decltype(t);
    WithWeightFormat<T>(p.w, [&](auto format) {
      using Format = decltype(format);
      const int chunks = static_cast<int>(p.w.stride / (8 * Format::kBlocks));
      const std::int64_t row_vectors = p.w.row_bytes / 16;
      const bool aligned = AlignedRows(p), whole = WholeRows(p);
      const dim3 block(32 * kWarps);
      const auto rows = static_cast<unsigned>(p.rows);
      const auto groups_of = [&](int own) {  // of `own` weight rows
        const int results = p.epilogue == Epilogue::kGated ? own / 2 : own;
        return (p.width() + results - 1) / results;
      };
      if (p.combine != nullptr) {
        Launch(whole ? DotKernel<Format, T, 1, 4, true, true> : DotKernel<Format, T, 1, 4, true, false>,
               dim3(static_cast<unsigned>(groups_of(4)), rows), block, 0, ctx, p, row_vectors, chunks, kWarps, aligned);
        return;
      }
      // Few row groups cannot fill the device, so k is split over the warps of a block; in fp32 mode, where this is the
      // batch-invariant path, the shape alone decides.
      const std::int64_t products = p.expert != nullptr && !ctx.batch_invariant ? p.rows : 1,
                         enough = std::int64_t{kFewWarps} * ctx.split_multiprocessors();
      // nb: activation rows a warp multiplies at once.
      const auto launch = [&](auto nb, auto kernel, int own) {
        constexpr unsigned NB = decltype(nb)::value;
        const unsigned grid_y = (rows + NB - 1) / NB;
        const std::int64_t groups = groups_of(own);
        int k_warps = 1;
        while (k_warps < kWarps && groups * products * k_warps < enough && chunks > 32 * k_warps) k_warps *= 2;
        const auto blocks = [&](int split) { return (groups + kWarps / split - 1) / (kWarps / split); };
        if constexpr (sizeof(T) == 2 && NB == 1) {
          // And further where the last wave of blocks then leaves fewer multiprocessors idle: on an H200 products got
          // faster where waves became shorter by a sixth or more, and warps kept steps enough to pay for their start.
          const auto waves = [&](int split) {
            const std::int64_t all = blocks(split) * grid_y, at_once = kBlocksPerSm<T, NB, false> * ctx.sm_count;
            return static_cast<double>((all + at_once - 1) / at_once) / static_cast<double>(all);
          };
          constexpr int kLeastSteps = Format::kScaled ? 4 : 2;
          for (int more = 2 * k_warps; more <= kWarps && chunks >= 32 * kLeastSteps * more; more *= 2)
            if (waves(more) < 0.85 * waves(k_warps)) k_warps = more;
        }
        Launch(kernel, dim3(static_cast<unsigned>(blocks(k_warps)), grid_y), block, 0, ctx, p, row_vectors, chunks,
               k_warps, aligned);
      };
      constexpr std::integral_constant<unsigned, 1> kOne;
      constexpr std::integral_constant<unsigned, 4> kFour;
      if (p.rows > 1 && p.expert == nullptr)
        return launch(kFour, whole ? DotKernel<Format, T, 4, 4, false, true> : DotKernel<Format, T, 4, 4, false, false>,
                      4);
      if (!whole) return launch(kOne, DotKernel<Format, T, 1, 4, false, false>, 4);
      // Where k must be split, two rows a warp split it in half as many parts; expanding weights for fewer rows at a
      // time also lets loads be reissued sooner. Plain weights have nothing to expand and keep four, as does fp32 mode,
      // where this is the batch-invariant path and the split must not follow the number of rows.
      if constexpr (Format::kScaled && sizeof(T) == 2) {
        if (groups_of(4) * products < enough) return launch(kOne, DotKernel<Format, T, 1, 2, false, true>, 2);
      }
      launch(kOne, DotKernel<Format, T, 1, 4, false, true>, 4);
    });
  });
}

}  // namespace assay
