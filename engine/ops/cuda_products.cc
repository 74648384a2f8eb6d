// Products of CudaOps: which of the six paths (kernels/product.h) computes one, and the cuBLAS path itself.
#include <algorithm>

#include "engine/ops/cuda_ops_impl.h"
#include "engine/ops/kernels/convert.h"
#include "engine/ops/kernels/kernels.h"

namespace assay {
namespace {

// Up to how many activation rows each path is taken in fp16 and bf16 modes, tried in this order; above them cuBLAS is.
struct PathLimits {
  int dot = 0, skinny_tma = 0, skinny = 0, tiled = 0, stream = 0;
};
constexpr std::int64_t kSmallWeight = std::int64_t{1} << 20;   // elements
constexpr std::int64_t kLargeWeight = std::int64_t{48} << 20;  // elements
constexpr std::int64_t kWideWeight = 4096;                     // rows and columns
// Activation rows, for which layers of narrow weights keep out of tiles: a multiprocessor divides its memory anew for
// them, which costs a step more than they gain.
constexpr int kFewRows16 = 8;

// `streams`, `copies_ahead`: StreamTakes, SkinnyTmaTakes. `tiled`: as far as tiles are faster than the library; 0: the
// path does not take it. `expanded`: the library would read weights of the mode's type, twice the bytes or more.
PathLimits LimitsOf(const WeightView& w, bool expanded, bool streams, bool copies_ahead, int tiled) {
  const std::int64_t elements = w.rows * w.cols;
  // Of a small weight only the path's own latency counts. One with more rows than columns fills the device for the
  // tensor cores, which wait for no sums of other blocks then.
  if (elements <= kSmallWeight) {
    const int dot = w.rows <= w.cols ? 8 : expanded ? 1 : 4;
    return {.dot = dot, .skinny = tiled > 0 ? kFewRows16 : 64, .tiled = tiled};
  }
  if (!expanded) {
    const bool wide = std::min(w.rows, w.cols) >= kWideWeight;
    return {.dot = 1, .skinny = tiled == 0 ? 16 : wide ? 0 : kFewRows16, .tiled = tiled};
  }
  // Of one row dot reads as fast, but takes CUDA cores longer to expand four bits than memory to deliver them. Without
  // copies ahead tensor cores lose less to their tiles if tiles are many.
  const bool slow_dot = w.type == DType::kQ4_0 && (copies_ahead || elements >= kLargeWeight);
  PathLimits limits{.dot = slow_dot ? 0 : 1, .skinny_tma = copies_ahead ? 8 : 0, .skinny = 64};
  if (!streams) return limits;
  // A product that many blocks share spends some microseconds on their sums, which a large weight does not notice. One
  // with longer rows than it has rows is large at half of that, because the skinny path cuts it over blocks as well.
  limits.skinny = elements >= (w.cols > w.rows ? kLargeWeight / 2 : kLargeWeight) ? 8 : 32;
  limits.stream = 256;
  return limits;
}

// Up to so many rows tiles are faster than the library. Of gated products the library leaves float32 sums, which a
// kernel of its own reads: tiles take as many as one launch does, and more than kLibraryGated16 are streamed.
constexpr int kTiled16 = 64, kLibraryGated16 = 512;

constexpr int kPlainDot32 = 4, kExpandedDot32 = 16;  // the same in fp32 mode, where dot is the only other path

constexpr std::int64_t kFewAssignments = 64;                   // experts: up to here one product per assignment
constexpr int kAssignmentRows = 2048;                          // rows of a chunk of an expert product: bounds workspace
constexpr std::size_t kRawBytes = std::size_t{512} << 20;      // most float32 results in flight before an epilogue
constexpr std::size_t kScratchBytes = std::size_t{128} << 20;  // most expanded weights in flight

constexpr std::size_t Padded(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

cudaDataType_t LibraryType(Precision precision) {
  if (precision.operands == DType::kF32) return CUDA_R_32F;
  return precision.operands == DType::kF16 ? CUDA_R_16F : CUDA_R_16BF;
}

// Other weights are expanded to the mode's type for the library.
bool LibraryReads(const WeightView& w, Precision precision) {
  return w.layout == WeightLayout::kPlain && w.type == OperandType(precision);
}

// The matrix part of a Product.
Product Plain(const Weight& w, const void* x, int rows) {
  Product p;
  p.w = ViewOf(w);
  p.x = x;
  p.rows = rows;
  p.experts = static_cast<int>(w.experts);
  return p;
}

}  // namespace

GemmPath CudaOps::PathOf(const Product& p) const {
  const bool expanded = !LibraryReads(p.w, ctx_.precision), streams = StreamTakes(ctx_, p);
  const int tiled = TiledRows(ctx_, p);
  if (options_.gemm_path == GemmPath::kTiled && tiled == 0) return GemmPath::kSkinny;
  if (options_.gemm_path == GemmPath::kStream && !streams) return GemmPath::kSkinny;
  if (options_.gemm_path == GemmPath::kSkinnyTma && !SkinnyTmaTakes(ctx_, p)) return GemmPath::kSkinny;
  if (options_.gemm_path != GemmPath::kAuto) return options_.gemm_path;
  if (ctx_.precision.operands == DType::kF32) {
    const bool dot = ctx_.batch_invariant || p.rows <= (expanded ? kExpandedDot32 : kPlainDot32);
    return dot ? GemmPath::kDot : GemmPath::kLibrary;
  }
  const std::int64_t elements = p.w.rows * p.w.cols;
  // By the weight alone: few rows of a small one would wait for the sums of others longer than for its bytes.
  if (ctx_.batch_invariant) return streams && elements > kSmallWeight ? GemmPath::kStream : GemmPath::kSkinny;
  if (!expanded && StreamsGated(p)) return GemmPath::kStream;
  const PathLimits limits = LimitsOf(p.w, expanded, streams, SkinnyTmaTakes(ctx_, p),
                                     p.epilogue == Epilogue::kGated ? tiled : std::min(tiled, kTiled16));
  if (p.rows <= limits.dot) return GemmPath::kDot;
  if (p.rows <= limits.skinny_tma) return GemmPath::kSkinnyTma;
  if (p.rows <= limits.skinny) return GemmPath::kSkinny;
  if (p.rows <= limits.tiled) return GemmPath::kTiled;
  return p.rows <= limits.stream ? GemmPath::kStream : GemmPath::kLibrary;
}

bool CudaOps::StreamsGated(const Product& p) const {
  return p.epilogue == Epilogue::kGated && p.rows > kLibraryGated16 && StreamTakes(ctx_, p);
}

bool CudaOps::FewAssignments(std::int64_t assignments) const {
  if (ctx_.precision.operands == DType::kF32) return true;  // the grouped products are for 16-bit operands
  if (options_.gemm_path != GemmPath::kAuto) return options_.gemm_path == GemmPath::kDot;
  return !ctx_.batch_invariant && assignments <= kFewAssignments;
}

bool CudaOps::StreamsExperts(const Product& p) const {
  if (options_.gemm_path == GemmPath::kSkinny) return false;
  return !ctx_.batch_invariant && StreamTakes(ctx_, p);
}

void CudaOps::RunExperts(const Product& p, const ExpertTiles& tiles, bool streams) {
  LaunchSortExperts(ctx_, tiles, p.expert, p.rows, p.experts);
  if (streams && (tiles.tile >= kLeastStreamedTile || options_.gemm_path == GemmPath::kStream))
    LaunchStreamGrouped(ctx_, p, tiles);
  else
    LaunchGrouped(ctx_, p, tiles);
}

std::int64_t CudaOps::LibraryRows(const WeightView& w) const {
  if (LibraryReads(w, ctx_.precision)) return w.rows;
  const std::int64_t most = static_cast<std::int64_t>(kScratchBytes) / (w.stride * OperandBytes(ctx_.precision));
  return std::clamp<std::int64_t>(most / 64 * 64, 1, w.rows);
}

std::size_t CudaOps::LibraryScratch(const WeightView& w) const {
  if (LibraryReads(w, ctx_.precision)) return 0;
  return Padded(LibraryRows(w) * w.stride * OperandBytes(ctx_.precision));
}

void CudaOps::LibraryProduct(float* raw, const WeightView& w, const void* x, int rows, void* scratch) {
  const cudaDataType_t type = LibraryType(ctx_.precision);
  const std::int64_t step = LibraryRows(w);
  for (std::int64_t row = 0; row < w.rows; row += step) {
    const std::int64_t count = std::min(step, w.rows - row);
    const void* data = w.data;
    if (scratch != nullptr) {
      LaunchExpand(ctx_, scratch, w, row, count);
      data = scratch;
    }
    // Row-major [rows, out] is column-major [out, rows]: out = W^T x with W column-major [cols, out].
    const float one = 1.0f, zero = 0.0f;
    // Environment variables may make the library compute float32 from lower types, but not the pedantic kind.
    const cublasComputeType_t compute =
        ctx_.precision.operands == DType::kF32 ? CUBLAS_COMPUTE_32F_PEDANTIC : CUBLAS_COMPUTE_32F;
    ++counters_.kernel_launches;
    if (!ctx_.launches) continue;
    ASSAY_CUBLAS(cublasGemmEx(cublas_.get(), CUBLAS_OP_T, CUBLAS_OP_N, static_cast<int>(count), rows,
                              static_cast<int>(w.cols), &one, data, type, static_cast<int>(w.stride), x, type,
                              static_cast<int>(w.cols), &zero, raw + row, CUDA_R_32F, static_cast<int>(w.rows), compute,
                              CUBLAS_GEMM_DEFAULT));
    if (ctx_.log != nullptr)
      ctx_.log->names.insert(fmt::format("cublas {}x{}x{} {}", count, rows, w.cols, Name(ctx_.precision)));
  }
}

bool CudaOps::RunExpanded(const Product& p) {
  const std::int64_t row_bytes = p.w.stride * OperandBytes(ctx_.precision);
  const std::size_t bytes = Padded(p.w.rows * row_bytes);
  if (options_.gemm_path != GemmPath::kAuto || LibraryReads(p.w, ctx_.precision) || !StreamsGated(p) ||
      bytes > kRawBytes)
    return false;
  Product plain = p;
  plain.w.data = Workspace(bytes);
  plain.w.scales = nullptr;
  plain.w.row_bytes = row_bytes;
  plain.w.type = OperandType(ctx_.precision);
  plain.w.layout = WeightLayout::kPlain;
  plain.w.block = 1;
  plain.w.block_bytes = OperandBytes(ctx_.precision);
  LaunchExpand(ctx_, const_cast<void*>(plain.w.data), p.w, 0, p.w.rows);
  KernelContext in_order = ctx_;
  in_order.pdl = false;  // weights are copied before the wait for predecessors, and the one before writes them
  LaunchStream(in_order, plain);
  return true;
}

template <class Apply>
void CudaOps::RunLibrary(const Product& p, Apply&& apply) {
  const std::size_t scratch = LibraryScratch(p.w), row_bytes = p.w.rows * sizeof(float);
  const int chunk = static_cast<int>(std::clamp<std::size_t>(kRawBytes / row_bytes, 1, p.rows));
  auto* work = static_cast<std::byte*>(Workspace(scratch + chunk * row_bytes));
  auto* raw = reinterpret_cast<float*>(work + scratch);
  const std::int64_t x_bytes = p.w.cols * OperandBytes(ctx_.precision),
                     out_bytes = p.width() * OperandBytes(ctx_.precision);
  for (int row = 0; row < p.rows; row += chunk) {
    Product part = p;
    part.rows = std::min(chunk, p.rows - row);
    part.x = static_cast<const std::byte*>(p.x) + row * x_bytes;
    part.operand = static_cast<std::byte*>(p.operand) + row * out_bytes;
    if (p.ple != nullptr) part.ple = p.ple + row * p.ple_stride;
    LibraryProduct(raw, p.w, part.x, part.rows, scratch != 0 ? work : nullptr);
    apply(part, raw);
  }
}

void CudaOps::Run(const Product& p) {
  if (p.rows <= 0) return;
  switch (PathOf(p)) {
    case GemmPath::kDot:
      return LaunchDot(ctx_, p);
    case GemmPath::kSkinny:
      return LaunchSkinny(ctx_, p);
    case GemmPath::kSkinnyTma:
      return LaunchSkinnyTma(ctx_, p);
    case GemmPath::kTiled:
      return LaunchTiled(ctx_, p);
    case GemmPath::kStream:
      return LaunchStream(ctx_, p);
    default:
      break;
  }
  if (RunExpanded(p)) return;
  switch (p.epilogue) {
    case Epilogue::kStore: {
      const std::size_t scratch = LibraryScratch(p.w);
      return LibraryProduct(p.out, p.w, p.x, p.rows, scratch != 0 ? Workspace(scratch) : nullptr);
    }
    case Epilogue::kGated:
      return RunLibrary(p, [&](const Product& part, const float* raw) {
        LaunchGate(ctx_, part.operand, raw, part.rows, part.width(), part.activation);
      });
    case Epilogue::kPle:
      return RunLibrary(p, [&](const Product& part, const float* raw) {
        LaunchPleProduct(ctx_, part.operand, raw, part.ple, part.ple_stride, part.rows, part.width(), part.activation);
      });
  }
}

void CudaOps::MatMul(float* out, const Weight& w, const void* x, int rows) {
  Call("MatMul", [&] {
    Product p = Plain(w, x, rows);
    p.out = out;
    Run(p);
  });
}

void CudaOps::GatedMatMul(void* operand, const Weight& w, const void* x, int rows, Activation activation) {
  Call("GatedMatMul", [&] {
    Product p = Plain(w, x, rows);
    p.epilogue = Epilogue::kGated;
    p.operand = operand;
    p.activation = activation;
    Run(p);
  });
}

void CudaOps::PleGate(const PleGateArgs& args) {
  Call("PleGate", [&] {
    Product p = Plain(*args.w, args.x, args.rows);
    p.epilogue = Epilogue::kPle;
    p.operand = args.operand;
    p.ple = args.ple;
    p.ple_stride = args.ple_stride;
    p.activation = args.activation;
    Run(p);
  });
}

void CudaOps::ExpertGated(const ExpertGatedArgs& args) {
  Call("ExpertGated", [&] {
    const std::int64_t bytes = OperandBytes(ctx_.precision);
    for (int row = 0; row < args.rows; row += kAssignmentRows) {
      const int rows = std::min(kAssignmentRows, args.rows - row), assignments = rows * args.top_k;
      Product p = Plain(*args.w, static_cast<const std::byte*>(args.x) + row * args.w->cols * bytes, assignments);
      p.epilogue = Epilogue::kGated;
      p.activation = args.activation;
      p.operand = static_cast<std::byte*>(args.operand) + std::int64_t{row} * args.top_k * p.width() * bytes;
      p.expert = args.expert + std::int64_t{row} * args.top_k;
      p.x_share = args.top_k;
      if (FewAssignments(assignments)) {
        LaunchDot(ctx_, p);
        continue;
      }
      const bool streams = StreamsExperts(p);
      const ExpertTiles tiles =
          PlanExpertTiles(Workspace(ExpertTileBytes(assignments, p.experts, streams)), assignments, p.experts, streams);
      RunExperts(p, tiles, streams);
    }
  });
}

void CudaOps::ExpertDown(const ExpertDownArgs& args) {
  Call("ExpertDown", [&] {
    const std::int64_t bytes = OperandBytes(ctx_.precision);
    for (int row = 0; row < args.rows; row += kAssignmentRows) {
      const int rows = std::min(kAssignmentRows, args.rows - row), assignments = rows * args.top_k;
      const std::int64_t first = std::int64_t{row} * args.top_k;
      Product p = Plain(*args.w, static_cast<const std::byte*>(args.x) + first * args.w->cols * bytes, assignments);
      p.expert = args.expert + first;
      float* out = args.out + row * p.w.rows;
      if (FewAssignments(assignments)) {
        p.rows = rows;
        p.out = out;
        p.combine = args.weight + first;
        p.top_k = args.top_k;
        LaunchDot(ctx_, p);
        continue;
      }
      const bool streams = StreamsExperts(p);
      const std::size_t table_bytes = ExpertTileBytes(assignments, p.experts, streams);
      const std::size_t partial_bytes = std::int64_t{assignments} * p.w.rows * sizeof(float);
      auto* work = static_cast<std::byte*>(Workspace(table_bytes + partial_bytes));
      const ExpertTiles tiles = PlanExpertTiles(work, assignments, p.experts, streams);
      p.out = reinterpret_cast<float*>(work + table_bytes);
      RunExperts(p, tiles, streams);
      LaunchCombine(ctx_, out, p.out, args.weight + first, rows, args.top_k, p.w.rows);
    }
  });
}

}  // namespace assay
