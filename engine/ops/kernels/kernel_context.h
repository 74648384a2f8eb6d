// What a kernel launcher needs to know beside its op's arguments. Launchers are declared in kernels.h and product.h,
// take `const KernelContext&` and the args structs of Ops, and enqueue work on ctx.stream; CudaOps calls nothing else.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

#include "engine/base/tensor.h"
#include "engine/ops/ops.h"

namespace assay {

// Scratch memory shared by all ops of one CudaOps: an op may use it from its first kernel to its last, and its contents
// mean nothing afterwards. Growing is refused inside a capture; CudaOps::Reserve grows it beforehand. A memory plan
// learns how far by running the same launchers without launches.
class WorkspaceSource {
 public:
  virtual void* Workspace(std::size_t bytes) = 0;  // 256-byte aligned, at least `bytes` long

 protected:
  ~WorkspaceSource() = default;
};

// Which kernels were launched, each once.
struct KernelLog {
  std::set<const void*> kernels;  // host symbols of this program's kernels
  std::set<std::string> names;    // of what has no symbol here: kernels of recorded graphs, products of a library
};

struct KernelContext {
  int device = 0;  // which is current while a launcher runs
  cudaStream_t stream = nullptr;
  Precision precision = Precision::kBf16;
  bool batch_invariant = false;  // results of a row must depend on nothing but what is before it in its session
  bool pdl = true;               // programmatic dependent launch: see launch.cuh
  bool launches = true;          // false: launches are counted and workspace is asked for, but nothing runs
  int sm_count = 0;
  int compute_capability = 0;     // 90
  std::size_t shared_memory = 0;  // the most a block can have
  WorkspaceSource* workspace_source = nullptr;
  // [kSemaphores] of split-K sums; zero between kernels, because who counts in one resets it.
  std::uint32_t* semaphores = nullptr;
  int* semaphores_used = nullptr;  // how many of them some launch has counted in so far
  std::uint64_t* fault = nullptr;  // where kernels report: fault.cuh; null: nowhere
  OpsCounters* counters = nullptr;
  KernelLog* log = nullptr;  // null: launches are not logged

  // The multiprocessors over which the sum of a row may be split. In batch-invariant mode the same number on every
  // device, a slice of one counted in: that of an H100.
  int split_multiprocessors() const { return batch_invariant ? 132 : sm_count; }

  void* Workspace(std::size_t bytes) const { return workspace_source->Workspace(bytes); }
};
constexpr int kSemaphores = 16384;

// How a prepared weight lies in device memory: kept_format.h. Rows of all experts follow each other: row = expert *
// rows + r.
enum class WeightLayout : std::uint8_t {
  kPlain,   // kF32, kF16, kBF16: row-major, `stride` elements from row to row, zeros from cols to stride
  kSplit,   // kQ8_0, kQ4_0: quants and fp16 scales in planes of their own; see weight_view.cuh
  kBlocks,  // any type as in the file (tables): rows unpadded
};
struct WeightView {
  const void* data = nullptr;
  const void* scales = nullptr;  // kSplit: fp16 [experts * rows][stride / 32]
  std::int64_t rows = 0;         // of one expert
  std::int64_t cols = 0;
  std::int64_t stride = 0;     // columns of a row, padding counted
  std::int64_t row_bytes = 0;  // of a row in `data`
  DType type = DType::kBF16;
  WeightLayout layout = WeightLayout::kPlain;
  int block = 1;        // elements per block of `type`
  int block_bytes = 2;  // bytes per block
};

// The view of a weight that CudaOps prepared. One element: WeightElement(view, row, col) in weight_view.cuh.
const WeightView& ViewOf(const Weight& weight);

}  // namespace assay
