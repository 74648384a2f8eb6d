// Converts stored rows to the layouts that products read, and back.
#include <cstring>

#include "engine/ops/kernels/convert.h"
#include "engine/ops/kernels/fragments.cuh"
#include "engine/ops/kernels/weight_view.cuh"

namespace assay {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ std::int64_t TargetRow(const WeightView& to, const StoredRows& from, std::int64_t source) {
  return source / from.view.rows * to.rows + from.first_row + source % from.view.rows;
}

// The grid is (source rows, column chunks).
template <class T>
__global__ void __launch_bounds__(kThreads) PlainKernel(WeightView to, StoredRows from) {
  WaitForPredecessors();
  const std::int64_t row = TargetRow(to, from, from.first + blockIdx.x);
  T* out = static_cast<T*>(const_cast<void*>(to.data)) + row * to.stride;
  for (std::int64_t c = static_cast<std::int64_t>(blockIdx.y) * kThreads + threadIdx.x; c < to.stride;
       c += static_cast<std::int64_t>(gridDim.y) * kThreads)
    out[c] = RoundTo<T>(c < to.cols ? WeightElement(from.view, blockIdx.x, c) : 0.0f);
}

// The grid is (source rows, column chunks); a thread moves a run of eight columns.
__global__ void __launch_bounds__(kThreads) SplitKernel(WeightView to, StoredRows from) {
  WaitForPredecessors();
  const bool eight = to.type == DType::kQ8_0;
  const std::int64_t row = TargetRow(to, from, from.first + blockIdx.x);
  const auto* source =
      static_cast<const unsigned char*>(from.view.data) + static_cast<std::int64_t>(blockIdx.x) * from.view.row_bytes;
  auto* quants = static_cast<unsigned char*>(const_cast<void*>(to.data)) + row * to.row_bytes;
  auto* scales = static_cast<unsigned short*>(const_cast<void*>(to.scales)) + row * (to.stride / 32);
  for (std::int64_t run = static_cast<std::int64_t>(blockIdx.y) * kThreads + threadIdx.x; run < to.stride / 8;
       run += static_cast<std::int64_t>(gridDim.y) * kThreads) {
    const std::int64_t c = 8 * run;
    const unsigned char* block = c < to.cols ? source + c / 32 * to.block_bytes : nullptr;
    const int i0 = static_cast<int>(c % 32);
    if (i0 == 0) scales[c / 32] = block == nullptr ? 0 : static_cast<unsigned short>(blocks::Bits16(block));
    if (eight) {
      for (int e = 0; e < 8; ++e) quants[SplitByteQ8(c + e)] = block == nullptr ? 0 : block[2 + i0 + e];
    } else {
      std::uint32_t word = 0;
      for (int e = 0; e < 8; ++e) {
        const int i = i0 + e;
        const int nibble = block == nullptr ? 8 : blocks::Nibble(block[2 + i % 16], i / 16);
        word |= static_cast<std::uint32_t>(nibble) << SplitShiftQ4(c + e);
      }
      reinterpret_cast<std::uint32_t*>(quants)[SplitWordQ4(c)] = word;
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    ReadKernel(T* to, std::int64_t to_stride, WeightView from, std::int64_t first) {
  LetSuccessorsStart();
  WaitForPredecessors();
  T* out = to + static_cast<std::int64_t>(blockIdx.x) * to_stride;
  for (std::int64_t c = static_cast<std::int64_t>(blockIdx.y) * kThreads + threadIdx.x; c < to_stride;
       c += static_cast<std::int64_t>(gridDim.y) * kThreads)
    out[c] = RoundTo<T>(c < from.cols ? WeightElement(from, first + blockIdx.x, c) : 0.0f);
}

// Split weights, 16 bytes at a time. The grid is (rows, chunks of their vectors).
template <class Format, class T>
__global__ void __launch_bounds__(kThreads) ExpandKernel(T* to, WeightView from, std::int64_t first) {
  LetSuccessorsStart();
  WaitForPredecessors();
  const std::int64_t row = first + blockIdx.x, vectors = from.row_bytes / 16;
  const auto* data =
      reinterpret_cast<const uint4*>(static_cast<const unsigned char*>(from.data) + row * from.row_bytes);
  const __half* scales = static_cast<const __half*>(from.scales) + row * (from.stride / 32);
  T* out = to + static_cast<std::int64_t>(blockIdx.x) * from.stride;
  for (std::int64_t v = static_cast<std::int64_t>(blockIdx.y) * kThreads + threadIdx.x; v < vectors;
       v += static_cast<std::int64_t>(gridDim.y) * kThreads) {
    const Raw<Format> raw = {{data[v]}};
    GroupScales<Format> scale;
    scale.Load(scales, static_cast<int>(v / 4));
#pragma unroll
    for (int b = 0; b < Format::kBlocks; ++b) {
      float integers[8];
      ExpandFloats<Format>(integers, raw, b);
      alignas(16) T rounded[8];
#pragma unroll
      for (int i = 0; i < 8; ++i) rounded[i] = RoundTo<T>(__fmul_rn(scale.At(b), integers[i]));
      uint4 stored[sizeof(rounded) / 16];
      memcpy(stored, rounded, sizeof(rounded));
      auto* place = reinterpret_cast<uint4*>(out + 32 * (Format::kBlocks * (v / 4) + b) + 8 * (v % 4));
#pragma unroll
      for (std::size_t i = 0; i < sizeof(rounded) / 16; ++i) place[i] = stored[i];
    }
  }
}

dim3 RowGrid(std::int64_t rows, std::int64_t items) {
  const std::int64_t chunks = (items + kThreads - 1) / kThreads;
  return {static_cast<unsigned>(rows), static_cast<unsigned>(chunks > 64 ? 64 : chunks)};
}

}  // namespace

void LaunchConvert(const KernelContext& ctx, const WeightView& to, const StoredRows& from) {
  if (to.layout == WeightLayout::kSplit) {
    Require<Error>(from.view.type == to.type, "{} cannot be repacked as {}", Name(from.view.type), Name(to.type));
    Launch(SplitKernel, RowGrid(from.count, to.stride / 8), dim3(kThreads), 0, ctx, to, from);
    return;
  }
  const auto run = [&](auto t) {
    Launch(PlainKernel<decltype(t)>, RowGrid(from.count, to.stride), dim3(kThreads), 0, ctx, to, from);
  };
  if (to.type == DType::kF32)
    run(float{});
  else if (to.type == DType::kF16)
    run(__half{});
  else
    run(__nv_bfloat16{});
}

void LaunchExpand(const KernelContext& ctx, void* to, const WeightView& from, std::int64_t first, std::int64_t count) {
  WithOperand(ctx.precision, [&](auto t) {
    using T = decltype(t);
    const auto split = [&](auto format) {
      Launch(ExpandKernel<decltype(format), T>, RowGrid(count, from.row_bytes / 16), dim3(kThreads), 0, ctx,
             static_cast<T*>(to), from, first);
    };
    if (from.layout == WeightLayout::kSplit) return from.type == DType::kQ8_0 ? split(Q8Format{}) : split(Q4Format{});
    Launch(ReadKernel<T>, RowGrid(count, from.stride), dim3(kThreads), 0, ctx, static_cast<T*>(to), from.stride, from,
           first);
  });
}

void LaunchReadWeight(const KernelContext& ctx, float* to, const WeightView& from, std::int64_t first,
                      std::int64_t count) {
  Launch(ReadKernel<float>, RowGrid(count, from.cols), dim3(kThreads), 0, ctx, to, from.cols, from, first);
}

}  // namespace assay
