// Copies by the tensor memory accelerator of compute capability 9.0: boxes of a matrix, known by a tensor map, into
// shared memory. One thread asks for a box; its bytes are counted by a barrier (warpgroup.cuh).
#pragma once

#include <cuda.h>

#include <array>

#include "engine/ops/kernels/product.h"
#include "engine/ops/kernels/warpgroup.cuh"

namespace assay {

// Arrives, and lets the phase wait for so many bytes more.
__device__ __forceinline__ void ArriveExpecting(std::uint32_t barrier, std::uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
__device__ __forceinline__ void CopyBox(std::uint32_t to, const CUtensorMap& map, int2 at, std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::
          "r"(to),
      "l"(&map), "r"(barrier), "r"(at.x), "r"(at.y)
      : "memory");
}
// Into the same place of the blocks of the cluster that `blocks` has a bit for; each one's barrier counts.
__device__ __forceinline__ void CopyBoxTo(std::uint16_t blocks, std::uint32_t to, const CUtensorMap& map, int2 at,
                                          std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster"
      " [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(at.x), "r"(at.y), "h"(blocks)
      : "memory");
}
// What is read once leaves the L2 cache first.
template <bool kOnce>
__device__ __forceinline__ void CopyBox(std::uint32_t to, const CUtensorMap& map, const int (&at)[5],
                                        std::uint32_t barrier) {
  std::uint64_t policy = 0;
  if constexpr (kOnce)
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  else
    asm volatile("createpolicy.fractional.L2::evict_normal.b64 %0, 1.0;" : "=l"(policy));
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint"
      " [%0], [%1, {%3, %4, %5, %6, %7}], [%2], %8;" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]), "r"(at[4]), "l"(policy)
      : "memory");
}

// A matrix of bytes as boxes of it are copied: sizes and box innermost first, strides in bytes from the second
// dimension on, multiples of 16. With a swizzle of 64 or 128 bytes a box has so many innermost, whose 16-byte chunks
// are exchanged from row to row so that reading a column of chunks meets all banks. What lies beyond `sizes` is copied
// as zeros.
template <std::size_t kRank>
CUtensorMap MakeTensorMap(const void* data, const std::array<cuuint64_t, kRank>& sizes,
                          const std::array<cuuint64_t, kRank - 1>& strides, const std::array<cuuint32_t, kRank>& box,
                          CUtensorMapSwizzle swizzle) {
  // Of the driver, which a program that also runs without one cannot link.
  static const auto encode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    ASSAY_CUDA(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found));
    Require<Error>(found == cudaDriverEntryPointSuccess, "the driver has no cuTensorMapEncodeTiled");
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
  }();
  std::array<cuuint32_t, kRank> steps;
  steps.fill(1);
  CUtensorMap map = {};
  const CUresult result = encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, kRank, const_cast<void*>(data), sizes.data(),
                                 strides.data(), box.data(), steps.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  Require<Error>(result == CUDA_SUCCESS, "cuTensorMapEncodeTiled: error {}", static_cast<int>(result));
  return map;
}

// The rows of a matrix, or of all experts, as tiles of `tile_rows` are copied, in the order of RowsOfTile:
// [expert][pair of 8 rows][half][8 rows] where a gated product's rows are exchanged, else [expert][row]. `data`: a
// plane of p.w with rows of `row_bytes`, of which a box has `box_bytes`.
inline CUtensorMap MapOfTiles(const KernelContext& ctx, const Product& p, const void* data, std::int64_t row_bytes,
                              cuuint32_t tile_rows, cuuint32_t box_bytes, CUtensorMapSwizzle swizzle) {
  if (!ctx.launches) return {};
  const auto row = static_cast<cuuint64_t>(row_bytes), rows = static_cast<cuuint64_t>(p.w.rows),
             experts = static_cast<cuuint64_t>(p.experts);
  if (p.epilogue == Epilogue::kGated)
    return MakeTensorMap<5>(data, {row, 8, 2, rows / 16, experts}, {row, rows / 2 * row, 8 * row, rows * row},
                            {box_bytes, 8, 2, tile_rows / 16, 1}, swizzle);
  return MakeTensorMap<5>(data, {row, rows, 1, 1, experts}, {row, rows * row, rows * row, rows * row},
                          {box_bytes, tile_rows, 1, 1, 1}, swizzle);
}

// Activations, `rows` rows and 64 columns at a time.
inline CUtensorMap MapOfActivations(const KernelContext& ctx, const Product& p, int rows) {
  if (!ctx.launches) return {};
  const auto row = static_cast<cuuint64_t>(2 * p.w.cols);
  return MakeTensorMap<2>(p.x, {row, static_cast<cuuint64_t>(p.rows)}, {row}, {128, static_cast<cuuint32_t>(rows)},
                          CU_TENSOR_MAP_SWIZZLE_128B);
}

}  // namespace assay
