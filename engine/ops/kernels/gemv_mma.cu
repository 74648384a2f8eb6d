// Skinny products on tensor cores.
#include <algorithm>

#include "engine/ops/kernels/skinny.cuh"

namespace assay {
namespace {

// Parts of k given to different blocks, so that small weights use the whole device. Depends on the shape alone: the order of a
// sum must not change with the number of activation rows.
unsigned Splits(unsigned row_tiles, int groups, int sm_count) {
  const int wanted = (2 * sm_count + static_cast<int>(row_tiles) - 1) / static_cast<int>(row_tiles);
  return static_cast<unsigned>(std::clamp(std::min(wanted, groups / (2 * kSkinnyWarps)), 1, 16));
}

constexpr int kMostTiles = 16;  // token tiles a launch, which bounds the workspace of split products

}  // namespace

std::size_t SkinnyWorkspaceBytes(const KernelContext& ctx) {
  // Split products have fewer than 2 SMs row tiles, hence row_tiles * splits < 4 SMs; 8 is the largest NT.
  return std::size_t{4} * static_cast<std::size_t>(ctx.sm_count) * kMostTiles * 8 * 32 * sizeof(float4);
}

void LaunchSkinny(const KernelContext& ctx, const Product& all) {
  With16Bit(ctx.precision, [&](auto t) {
    using T = decltype(t);
    WithForm<T>(all.w, [&](auto form) {
      using Form = decltype(form);
      WithTile(all.rows, [&](auto nt) {
        constexpr int NT = decltype(nt)::value;
        const std::int64_t row_vectors = RowBytes(all.w) / 16;
        const int groups = static_cast<int>(row_vectors / 4);
        const unsigned row_tiles = RowTiles(all), splits = Splits(row_tiles, groups, ctx.sm_count);
        const bool aligned = AlignedRows(all);
        for (int row = 0; row < all.rows; row += kMostTiles * 8 * NT) {
          Product p = all;
          p.rows = std::min(all.rows - row, kMostTiles * 8 * NT);
          p.x = static_cast<const T*>(all.x) + row * all.w.cols;
          if (p.out != nullptr) p.out += row * all.width();
          if (p.operand != nullptr) p.operand = static_cast<T*>(p.operand) + row * all.width();
          if (p.ple != nullptr) p.ple += row * all.ple_stride;
          const auto token_tiles = static_cast<unsigned>((p.rows + 8 * NT - 1) / (8 * NT));
          SplitSums split;
          if (splits > 1) {
            Require<Error>(token_tiles * row_tiles <= static_cast<unsigned>(kArrivals), "{} tiles of a split product: too many", token_tiles * row_tiles);
            split.partial = static_cast<float4*>(ctx.Workspace(std::size_t{token_tiles} * row_tiles * splits * NT * 32 * sizeof(float4)));
            split.arrivals = ctx.arrivals;
          }
          Launch(SkinnyKernel<Form, T, NT, false>, dim3(token_tiles, row_tiles, splits), dim3(32 * kSkinnyWarps), 0, ctx, p, row_vectors,
                 groups, aligned, split, ExpertTiles{});
        }
      });
    });
  });
}

}  // namespace assay
