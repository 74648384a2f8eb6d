// Skinny products on tensor cores.
#include <algorithm>

#include "engine/ops/kernels/skinny.cuh"

namespace assay {
namespace {

// Into how many parts k is split over blocks, where there are fewer tiles than multiprocessors to read them. A
// reduction costs about as much as reading a megabyte, so k is not split before half of the multiprocessors would be
// idle, nor into parts of less than sixteen blocks of columns. The number depends on the shape alone, because the order
// of a sum must not change with the number of activation rows.
unsigned Splits(int tiles, int groups, int blocks, int sm_count) {
  const int wanted = (sm_count / 2 + tiles - 1) / tiles;
  return static_cast<unsigned>(std::clamp(std::min(wanted, groups * blocks / 16), 1, 16));
}

// Calls f with 2 where blocks of 32 rows of quantised weights still give every multiprocessor one, activation rows are
// whole and the registers allow it, because an activation is then read for twice as many weights; else with 1. And with
// WholeRows(p).
template <class Format, int NT, class F>
void WithRowTile(const Product& p, int tiles, int sm_count, F&& f) {
  WithWhole(p, [&](auto whole) {
    if constexpr (decltype(whole)::value && Format::kScaled && NT <= 2) {
      if (tiles >= 2 * sm_count) return f(std::integral_constant<int, 2>{}, whole);
    }
    f(std::integral_constant<int, 1>{}, whole);
  });
}

constexpr int kMostTiles = 16;  // token tiles a launch, which bounds the workspace of split products

}  // namespace

void LaunchSkinny(const KernelContext& ctx, const Product& all) {
  const int tiles = RowTiles(all, 1), groups = static_cast<int>(all.w.row_bytes / kGroupBytes);
  With16Bit(ctx.precision, [&](auto t) {
    WithWeightFormat<decltype(t)>(all.w, [&](auto format) {
      using T = decltype(t);
      using Format = decltype(format);
      const unsigned splits = Splits(tiles, groups, Format::kBlocks, ctx.split_multiprocessors());
      WithTile(all.rows, [&](auto nt) {
        WithRowTile<Format, decltype(nt)::value>(all, tiles, ctx.split_multiprocessors(), [&](auto mt, auto whole) {
          constexpr int NT = decltype(nt)::value, MT = decltype(mt)::value;
          constexpr bool kWhole = decltype(whole)::value;
          const int row_tiles = RowTiles(all, MT);
          for (int row = 0; row < all.rows; row += kMostTiles * 8 * NT) {
            const Product p = RowsOf<T>(all, row, std::min(all.rows - row, kMostTiles * 8 * NT));
            const int token_tiles = (p.rows + 8 * NT - 1) / (8 * NT), reductions = token_tiles * row_tiles;
            SplitSums split;
            if (splits > 1) split = SplitOver(ctx, sizeof(float4) * reductions * splits * MT * NT * 32, reductions);
            const int blocks =
                SkinnyShape<Format, NT, MT>::kBlocksPerSm * ctx.sm_count / (token_tiles * static_cast<int>(splits));
            const dim3 grid(static_cast<unsigned>(token_tiles), static_cast<unsigned>(std::clamp(blocks, 1, row_tiles)),
                            splits);
            Launch(SkinnyKernel<Format, T, NT, MT, false, kWhole>, grid, dim3(32 * kSkinnyWarps), 0, ctx, p,
                   p.w.row_bytes / 16, groups, row_tiles, AlignedRows(p), split, ExpertTiles{});
          }
        });
      });
    });
  });
}

}  // namespace assay
