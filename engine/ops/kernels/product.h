// Products of a weight with few or many activation rows, and the epilogue that follows them in the same kernel.
//
// Six paths to compute one product, all with float32 accumulation:
//   LaunchDot     CUDA cores. A warp owns two or four weight rows (a lane strides over k), any mode, any format.
//   LaunchSkinny  tensor cores, fp16 and bf16 modes. Weights are the M operand, 8 NT activation rows the N operand;
//                 eight warps of a block share 16 weight rows and interleave k in 64-byte groups, so a block reads
//                 rows as runs.
//   LaunchSkinnyTma  the same tiles with NT = 1; quantised weights come through shared memory, copied by the tensor
//                 memory accelerator of compute capability 9.0.
//   LaunchTiled   tensor cores of compute capability 9.0, plain weights. Activation rows are the M operand; tiles have
//                 as many weight rows as leave no multiprocessor idle.
//   LaunchStream  tensor cores of compute capability 9.0: weights stream through a ring in shared memory. Of more than
//                 128 rows, two blocks share the activations of a tile, quantised weights in batch-invariant mode
//                 alone.
//   cuBLAS        cuda_products.cc; the epilogue follows as a kernel of its own.
// In LaunchSkinny, in LaunchDot in fp32 mode, and in LaunchStream in batch-invariant mode, the order of a row's sum
// depends on the weight's shape alone, never on how many rows there are: they are the batch-invariant paths. Quantised
// weights are multiplied as integers, exact in fp16 and bf16, and the scale of each 32-group multiplies the group's
// float32 sum.
#pragma once

#include "engine/ops/kernels/kernel_context.h"

namespace assay {

// What becomes of a finished dot product.
enum class Epilogue : std::uint8_t {
  kStore,  // out[r, o] = dot
  kGated,  // operand[r, o] = round(act(dot_o) * dot_{o + rows/2})
  kPle,    // operand[r, o] = round(act(dot_o) * ple[r * ple_stride + o])
};

struct Product {
  WeightView w;
  const void* x = nullptr;  // operand [rows, w.cols]; with experts row a / x_share feeds assignment a
  int rows = 0;             // rows of the result: activation rows, or assignments
  Epilogue epilogue = Epilogue::kStore;
  float* out = nullptr;
  void* operand = nullptr;
  const float* ple = nullptr;
  std::int64_t ple_stride = 0;
  Activation activation = Activation::kSilu;
  // Experts only.
  const std::int32_t* expert = nullptr;  // [rows] matrix of each assignment
  int experts = 1;
  int x_share = 1;
  const float* combine = nullptr;  // [rows of out * top_k]: out[r] = sum_k combine[r, k] dot(x[r, k]); LaunchDot only
  int top_k = 1;

  std::int64_t width() const { return epilogue == Epilogue::kGated ? w.rows / 2 : w.rows; }  // of a result row
};

// Any rows. With p.expert, one product per assignment; with p.combine too, p.rows counts rows of out.
void LaunchDot(const KernelContext& ctx, const Product& p);

// Any rows; fp16 and bf16 modes, weights plain in the mode's type or split.
void LaunchSkinny(const KernelContext& ctx, const Product& p);

// Any rows, eight of them a launch; fp16 and bf16 modes, quantised weights, devices and products of which
// SkinnyTmaTakes says so: a weight row must be whole chunks of 256 bytes (512 columns of four bits). How many rows and
// multiprocessors there are decides where k is cut.
bool SkinnyTmaTakes(const KernelContext& ctx, const Product& p);
void LaunchSkinnyTma(const KernelContext& ctx, const Product& p);

// Any rows, 64 or 128 of them a launch, as TiledRows says; fp16 and bf16 modes. TiledRows is 0 for devices and products
// that this path does not take: it takes plain weights of the mode's type.
int TiledRows(const KernelContext& ctx, const Product& p);
void LaunchTiled(const KernelContext& ctx, const Product& p);

// Any rows; fp16 and bf16 modes, devices and products of which StreamTakes says so.
bool StreamTakes(const KernelContext& ctx, const Product& p);
void LaunchStream(const KernelContext& ctx, const Product& p);

// Assignments sorted by expert, without the host knowing the counts. Tables live in workspace.
struct ExpertTiles {
  std::int32_t* list = nullptr;   // [assignments] ids, by expert, then ascending
  std::int32_t* tiles = nullptr;  // [max_tiles][3]: expert, first index in list, count (0: nothing to do)
  int max_tiles = 0;
  int tile = 0;  // most assignments in a tile: 8, 16, 32, 64 or, streamed, 128
};
// Tiles of so many assignments are streamed where StreamTakes the product.
constexpr int kLeastStreamedTile = 32;
// Bytes of workspace for the tables of `assignments` over `experts`; `streams`: see StreamTakes.
std::size_t ExpertTileBytes(int assignments, int experts, bool streams);
ExpertTiles PlanExpertTiles(void* workspace, int assignments, int experts, bool streams);
void LaunchSortExperts(const KernelContext& ctx, const ExpertTiles& tiles, const std::int32_t* expert, int assignments,
                       int experts);
// Like LaunchSkinny, each assignment with its expert's matrix.
void LaunchGrouped(const KernelContext& ctx, const Product& p, const ExpertTiles& tiles);
void LaunchStreamGrouped(const KernelContext& ctx, const Product& p, const ExpertTiles& tiles);
// out[r, o] = sum_k weight[r, k] * partial[r, k, o], k in order.
void LaunchCombine(const KernelContext& ctx, float* out, const float* partial, const float* weight, int rows, int top_k,
                   std::int64_t width);

}  // namespace assay
