// The class behind MakeCudaOps. Methods that only launch a kernel are in cuda_ops.cc, products in cuda_products.cc.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/memory/cuda_device.h"
#include "engine/memory/cuda_fault.h"
#include "engine/memory/cuda_memory.h"
#include "engine/memory/cuda_stream.h"
#include "engine/ops/cuda_ops.h"
#include "engine/ops/kernels/kernel_context.h"
#include "engine/ops/kernels/product.h"

namespace assay {

class CudaOps final : public Ops, public WorkspaceSource {
 public:
  explicit CudaOps(const CudaOptions& options);
  CudaOps(const CudaOptions& options, const CudaShape& shape);  // for plans: launches nothing, allocates nothing
  ~CudaOps() override;

  Memory& memory() override { return *memory_; }
  Precision precision() const override { return ctx_.precision; }
  Device device_id() const override { return Device::Cuda(options_.device); }
  std::string device() const override { return shape_.name; }
  void LogKernels(bool on) override;
  std::vector<std::string> LoggedKernels() const override;
  OpsCounters counters() const override { return counters_; }
  std::unique_ptr<Weight> Prepare(const std::vector<HostTensor>& parts, WeightUse use) override;
  std::unique_ptr<Ops> Planning() const override { return std::make_unique<CudaOps>(options_, shape_); }
  std::size_t own_bytes() const override {
    return semaphores_.bytes() + library_workspace_.bytes() + workspace_.bytes() + outgrown_bytes_;
  }
  std::size_t workspace_bytes() const override { return asked_; }
  void Reserve(std::size_t workspace_bytes) override { Grown(workspace_bytes); }
  void LetOverlap(bool on) override;

  void Embed(const EmbedArgs& args) override;
  void PleInput(const PleInputArgs& args) override;
  void Norm(const NormArgs& args) override;
  void Residual(const ResidualArgs& args) override;
  void AddBias(float* x, const float* bias, int rows, int width) override;
  void Join(const JoinArgs& args) override;
  void MatMul(float* out, const Weight& w, const void* x, int rows) override;
  void GatedMatMul(void* operand, const Weight& w, const void* x, int rows, Activation activation) override;
  void PleGate(const PleGateArgs& args) override;
  void Qkv(const QkvArgs& args) override;
  void Attention(const AttentionArgs& args) override;
  void Route(const RouteArgs& args) override;
  void ExpertGated(const ExpertGatedArgs& args) override;
  void ExpertDown(const ExpertDownArgs& args) override;
  void Logits(const LogitsArgs& args) override;
  void GatherRows(void* out, const void* in, const std::int32_t* index, int count, std::int64_t row_bytes) override;
  void Advance(const AdvanceArgs& args) override;
  std::unique_ptr<StepGraph> Capture(const std::function<void()>& body) override;
  void Synchronize() override;
  std::unique_ptr<OpsClock> MakeClock() override;

  void* Workspace(std::size_t bytes) override {
    asked_ = std::max(asked_, bytes);
    return Grown(bytes);
  }
  void PoisonWorkspace();
  void PoisonArrivals();

 private:
  // Workspace of at least `bytes`. Grows outside captures; graphs keep the buffer with which they were recorded.
  void* Grown(std::size_t bytes);
  // Settings that both constructors share, and what these ops allocate for themselves.
  void Begin();
  // Runs `body` as one call of the seam: on this ops' device, counted, and a failure says in which op and where in the
  // model.
  template <class Body>
  void Call(const char* op, Body&& body);
  // The call of an op that is one launcher, skipped when there are no rows.
  template <auto launch, class Args>
  void Forward(const char* op, const Args& args);

  GemmPath PathOf(const Product& p) const;
  // Whether a gated product has so many rows that an epilogue of its own would cost more than the library saves.
  bool StreamsGated(const Product& p) const;
  // Streams a gated product of a weight that the library would have expanded as well; false: this is none.
  bool RunExpanded(const Product& p);
  // Whether tiles of assignments may be streamed, and the product of all of them, one way or the other.
  bool StreamsExperts(const Product& p) const;
  void RunExperts(const Product& p, const ExpertTiles& tiles, bool streams);
  bool FewAssignments(std::int64_t assignments) const;
  // Rows of a weight that are expanded to the mode's type for the library at a time; all where it reads them as kept.
  std::int64_t LibraryRows(const WeightView& w) const;
  // raw[r, o] = w_o . x[r] by cuBLAS; `scratch` has room for LibraryScratch(w) bytes; null where that is 0.
  void LibraryProduct(float* raw, const WeightView& w, const void* x, int rows, void* scratch);
  // 0 where the library reads the weight as it is kept.
  std::size_t LibraryScratch(const WeightView& w) const;
  void Run(const Product& p);
  // Runs p by the library in chunks of rows, then `apply(chunk, raw)`, its epilogue, for each.
  template <class Apply>
  void RunLibrary(const Product& p, Apply&& apply);

  const CudaOptions options_;
  const CudaShape shape_;
  CudaStream stream_;
  OpsCounters counters_;
  std::unique_ptr<FaultWord> faults_;
  std::unique_ptr<Memory> memory_;
  Buffer semaphores_, library_workspace_, workspace_;
  std::vector<Buffer> outgrown_;  // workspaces that recorded graphs use
  std::size_t outgrown_bytes_ = 0;
  std::size_t asked_ = 0;  // by calls, at most
  CublasHandle cublas_;
  KernelContext ctx_;
  KernelLog log_;
  int semaphores_used_ = 0;
  bool capturing_ = false, recorded_ = false;
};

template <class Body>
void CudaOps::Call(const char* op, Body&& body) {
  ++counters_.calls;
  try {
    const DeviceScope scope(ctx_.device);
    body();
  } catch (const DeviceError& error) {
    throw DeviceError(fmt::format("{} (layer {}, step '{}'): {}", op, site_.layer, site_.step, error.what()),
                      error.lost);
  }
}

}  // namespace assay
