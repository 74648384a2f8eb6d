// The sums of a streamed product (gemm_stream.cu): a warpgroup multiplies 64 weight rows by all activation rows of a
// stage. Plain weights are multiplied from shared memory. Quantised ones are expanded in registers to integers, which
// are exact, and each block's float32 sum is scaled, as in LaunchSkinny. There a lane takes eight consecutive columns
// of a block; here, where the activations keep their order, lane t takes columns 2 t and 2 t + 1 of each eight.
#pragma once

#include "engine/ops/kernels/stream_ring.cuh"

namespace assay {

#ifdef ASSAY_WARPGROUP

// Expands columns 2 t, 2 t + 1 of each eight of block b: four pairs.
template <class Format, class T>
__device__ __forceinline__ void ExpandPairsAcross(std::uint32_t (&pair)[4], const unsigned char* group, int row, int b,
                                                  int t) {
  const auto word = [&](int chunk, int i) {
    return *reinterpret_cast<const std::uint32_t*>(group + row * 64 + (chunk ^ (row / 2 % 4)) * 16 + 4 * i);
  };
#pragma unroll
  for (int p = 0; p < 4; ++p) {
    if constexpr (std::is_same_v<Format, Q8Format>)
      pair[p] = BytePair<T>(word(p, 2 * b + t / 2), t % 2 == 0 ? 0x4140u : 0x4342u);
    else
      pair[p] = NibblePair<T>(word(p, b) >> (4 * t));
  }
}

// 64 weight rows by 32 columns in the registers of a warpgroup: the operands of two products.
struct ExpandedBlock {
  std::uint32_t first[4], second[4];
  float scale_a, scale_b;
};
// Block i of the four of a stage, for weight rows `row` and row + 8.
template <class Format, class T, int N>
__device__ __forceinline__ void Expand(ExpandedBlock& block, const unsigned char* stage, int i, int row, int t) {
  const unsigned char* group = stage + i / Format::kBlocks * kTileRows * 64;
  std::uint32_t a[4], b[4];
  ExpandPairsAcross<Format, T>(a, group, row, i % Format::kBlocks, t);
  ExpandPairsAcross<Format, T>(b, group, row + 8, i % Format::kBlocks, t);
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    block.first[2 * h] = a[h], block.first[2 * h + 1] = b[h];
    block.second[2 * h] = a[2 + h], block.second[2 * h + 1] = b[2 + h];
  }
  const auto* scales = reinterpret_cast<const __half*>(stage + Stage<Format, N>::kScalesAt) + i;
  block.scale_a = __half2float(scales[4 * row]);
  block.scale_b = __half2float(scales[4 * (row + 8)]);
}

template <int kWidth>
__device__ __forceinline__ void AddScaled(float (&sum)[kWidth / 2], const float (&dot)[kWidth / 2],
                                          const ExpandedBlock& block) {
#pragma unroll
  for (int j = 0; j < kWidth / 8; ++j) {
    sum[4 * j] = fmaf(block.scale_a, dot[4 * j], sum[4 * j]);
    sum[4 * j + 1] = fmaf(block.scale_a, dot[4 * j + 1], sum[4 * j + 1]);
    sum[4 * j + 2] = fmaf(block.scale_b, dot[4 * j + 2], sum[4 * j + 2]);
    sum[4 * j + 3] = fmaf(block.scale_b, dot[4 * j + 3], sum[4 * j + 3]);
  }
}

// sum += `steps` steps of plain weights by kWidth activation rows, multiplied from shared memory. The products of one
// step run while the next is waited for.
template <class Format, class T, int N, Schedule kSchedule, int kWidth>
__device__ __forceinline__ void MultiplyPlain(float (&sum)[kWidth / 2], RingReader<Format, N>& reader, int steps,
                                              int thread) {
  const int lane = thread % 32, group = thread / kGroupThreads;
  int before = -1;  // the stage whose products may still run
  for (int step = 0; step < steps; ++step) {
    reader.template Wait<kSchedule>();
    const std::uint32_t w = SharedOperandLow(reader.weights(reader.stage) + group * 64 * 128),
                        x = SharedOperandLow(reader.activations(reader.stage));
    FenceProducts();
#pragma unroll
    for (int i = 0; i < 4; ++i)
      Warpgroup<T, kWidth>::Multiply(sum, SharedOperandOf(w + 2 * i), SharedOperandOf(x + 2 * i), true);
    CommitProducts();
    if (before >= 0) {
      WaitProducts<1>();
      reader.template Release<kSchedule>(before, lane);
    }
    before = reader.stage;
    reader.Next();
  }
  WaitProducts<0>();
  reader.template Release<kSchedule>(before, lane);
}

// sum += `steps` steps of quantised weights, which are expanded in registers: the next blocks while the products of
// some run.
template <class Format, class T, int N, Schedule kSchedule, int kWidth>
__device__ __forceinline__ void MultiplyExpanded(float (&sum)[kWidth / 2], RingReader<Format, N>& reader, int steps,
                                                 int thread) {
  constexpr int kTogether = N <= 16 || N == 64 ? 2 : 1;  // blocks, as registers allow
  const int lane = thread % 32, t = lane % 4, row = thread / 32 * 16 + lane / 4;
  ExpandedBlock blocks[2 * kTogether];
  const auto expand = [&](int first) {
#pragma unroll
    for (int i = first; i < first + kTogether; ++i)
      Expand<Format, T, N>(blocks[i % (2 * kTogether)], reader.data + reader.stage * Stage<Format, N>::kBytes, i, row,
                           t);
  };
  reader.template Wait<kSchedule>();
  expand(0);
  for (int step = 0; step < steps; ++step) {
    const int stage = reader.stage;
    const std::uint32_t x = SharedOperandLow(reader.activations(stage));
#pragma unroll
    for (int first = 0; first < 4; first += kTogether) {
      float dot[kTogether][kWidth / 2];
      FenceProducts();
#pragma unroll
      for (int i = first; i < first + kTogether; ++i) {
        const ExpandedBlock& block = blocks[i % (2 * kTogether)];
        const std::uint32_t at = x + (i / 2 * N * 128 + i % 2 * 64) / 16;
        Warpgroup<T, kWidth>::Multiply(dot[i - first], block.first, SharedOperandOf(at), false);
        Warpgroup<T, kWidth>::Multiply(dot[i - first], block.second, SharedOperandOf(at + 2), true);
      }
      CommitProducts();
      if (first + kTogether < 4) {
        expand(first + kTogether);
      } else {
        reader.Next();
        if (step + 1 < steps) {
          reader.template Wait<kSchedule>();
          expand(0);
        }
      }
      WaitProducts<0>();
#pragma unroll
      for (int i = first; i < first + kTogether; ++i)
        AddScaled<kWidth>(sum, dot[i - first], blocks[i % (2 * kTogether)]);
    }
    reader.template Release<kSchedule>(stage, lane);
  }
}

// Calls f(std::integral_constant<int, kWidth>) with the width that activations are copied in.
template <Schedule kSchedule, int N, class F>
__device__ __forceinline__ void WithWidth(int width, F&& f) {
  if constexpr (kSchedule != Schedule::kStreamK && N >= 64) {
    if (width == N / 2) return f(std::integral_constant<int, N / 2>{});
    if constexpr (N == 256) {
      if (width == 192) return f(std::integral_constant<int, 192>{});
    }
  }
  f(std::integral_constant<int, N>{});
}

// sum = `steps` steps of `count` activation rows; of those beyond, anything.
template <class Format, class T, int N, Schedule kSchedule>
__device__ __forceinline__ void Multiply(float (&sum)[N / 2], RingReader<Format, N>& reader, int steps, int count,
                                         int thread) {
#pragma unroll
  for (int i = 0; i < N / 2; ++i) sum[i] = 0.0f;
  WithWidth<kSchedule, N>(Width<kSchedule, N>(count), [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    auto& first = reinterpret_cast<float(&)[kWidth / 2]>(sum);
    if constexpr (Format::kScaled)
      MultiplyExpanded<Format, T, N, kSchedule, kWidth>(first, reader, steps, thread);
    else
      MultiplyPlain<Format, T, N, kSchedule, kWidth>(first, reader, steps, thread);
  });
}

#endif

}  // namespace assay
