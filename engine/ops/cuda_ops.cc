#include "engine/ops/cuda_ops.h"

#include <algorithm>

#include "engine/memory/counting_memory.h"
#include "engine/memory/cuda_kernel_names.h"
#include "engine/ops/cuda_ops_impl.h"
#include "engine/ops/cuda_weight.h"
#include "engine/ops/kernels/kernels.h"
#include "engine/ops/kernels/probe.h"

namespace assay {
namespace {

constexpr std::size_t kLibraryWorkspace = std::size_t{32} << 20;  // what NVIDIA recommends for Hopper
constexpr std::size_t kStaging = std::size_t{64} << 20;           // workspace for rows of a weight that are converted

class CudaStepGraph final : public StepGraph {
 public:
  CudaStepGraph(CapturedGraph graph, const KernelContext& ctx) : graph_(std::move(graph)), ctx_(ctx) {}
  void Launch() override {
    const DeviceScope scope(ctx_.device);
    ASSAY_CUDA(cudaGraphLaunch(graph_.exec.get(), ctx_.stream));
    ++ctx_.counters->graph_launches;
    if (ctx_.log != nullptr) [[unlikely]]
      ctx_.log->names.insert(graph_.kernels.begin(), graph_.kernels.end());
  }
  std::int64_t nodes() const override { return static_cast<std::int64_t>(graph_.nodes); }
  std::vector<std::string> kernels() const override { return graph_.kernels; }

 private:
  CapturedGraph graph_;
  const KernelContext& ctx_;
};

class CudaClock final : public OpsClock {
 public:
  explicit CudaClock(const KernelContext& ctx) : ctx_(ctx) {}
  void Mark() override {
    const DeviceScope scope(ctx_.device);
    if (marks_ == events_.size()) events_.push_back(MakeEvent(ctx_.device));
    ASSAY_CUDA(cudaEventRecord(events_[marks_].get(), ctx_.stream));
    ++marks_;
  }
  std::vector<double> Intervals() override {
    const DeviceScope scope(ctx_.device);
    std::vector<double> seconds;
    if (marks_ > 0) {
      ++ctx_.counters->host_syncs;
      ASSAY_CUDA(cudaEventSynchronize(events_[marks_ - 1].get()));
    }
    for (std::size_t i = 1; i < marks_; ++i)
      seconds.push_back(static_cast<double>(ElapsedMs(events_[i - 1], events_[i])) * 1e-3);
    marks_ = 0;
    return seconds;
  }

 private:
  const KernelContext& ctx_;
  std::vector<CudaEvent> events_;  // kept for the next marks
  std::size_t marks_ = 0;
};

int CountOf(const Rows* rows) { return rows->count; }
int CountOf(int rows) { return rows; }

void RequireDevice(int device) {
  if (const Support support = CudaOpsAvailable(device); !support) throw DeviceError(support.reason, false);
}

// Throws DeviceError when there is no such device.
CudaShape ShapeOf(int device) {
  cudaDeviceProp properties = {};
  ASSAY_CUDA(cudaGetDeviceProperties(&properties, device));
  return {properties.name, properties.multiProcessorCount, 10 * properties.major + properties.minor,
          properties.sharedMemPerBlockOptin};
}

// A step that was recorded for a plan.
class PlannedStepGraph final : public StepGraph {
 public:
  explicit PlannedStepGraph(std::int64_t nodes) : nodes_(nodes) {}
  void Launch() override {}
  std::int64_t nodes() const override { return nodes_; }
  std::vector<std::string> kernels() const override { return {}; }

 private:
  std::int64_t nodes_;
};

}  // namespace

Support CudaOpsAvailable(int device) {
  if (Support support = CudaAvailable(device); !support) return support;
  return KernelsRunOn(device);
}

std::unique_ptr<Ops> MakeCudaOps(const CudaOptions& options) { return std::make_unique<CudaOps>(options); }

namespace {

CudaOps& Poisonable(Ops& ops) {
  auto* cuda = dynamic_cast<CudaOps*>(&ops);
  Require(cuda != nullptr, "only CUDA ops have memory of their own to poison, these run on {}", ops.device());
  return *cuda;
}

}  // namespace

void PoisonWorkspace(Ops& ops) { Poisonable(ops).PoisonWorkspace(); }
void PoisonArrivals(Ops& ops) { Poisonable(ops).PoisonArrivals(); }

CudaShape ShapeForPlans(int device) {
  return CudaAvailable(device) ? ShapeOf(device) : CudaShape{"NVIDIA H100 80GB HBM3", 132, 90, 232448};
}

std::unique_ptr<Ops> MakeCudaPlanningOps(const CudaOptions& options, const CudaShape& shape) {
  return std::make_unique<CudaOps>(options, shape);
}

CudaOps::CudaOps(const CudaOptions& options)
    : options_(options),
      shape_((RequireDevice(options.device), ShapeOf(options.device))),
      stream_(MakeStream(options.device)),
      faults_(std::make_unique<FaultWord>(options.device)),
      memory_(std::make_unique<CudaMemory>(options.device, stream_.get(), &counters_.host_syncs, faults_.get())) {
  const DeviceScope scope(options.device);
  ctx_.device = options.device;
  ctx_.stream = stream_.get();
  LetOverlap(options.pdl);
  ctx_.fault = faults_->on_device();
  ctx_.semaphores_used = &semaphores_used_;
  Begin();
  memory_->Fill(semaphores_.data(), 0, semaphores_.bytes());
  cublas_ = MakeCublas(options.device, stream_.get(), library_workspace_.data(), kLibraryWorkspace);
}

CudaOps::CudaOps(const CudaOptions& options, const CudaShape& shape)
    : options_(options), shape_(shape), memory_(std::make_unique<CountingMemory>()) {
  ctx_.device = -1;
  ctx_.launches = false;
  Begin();
}

void CudaOps::Begin() {
  ctx_.precision = options_.precision;
  ctx_.batch_invariant = options_.batch_invariant;
  ctx_.sm_count = options_.sm_count > 0 ? options_.sm_count : shape_.sm_count;
  ctx_.compute_capability = shape_.compute_capability;
  ctx_.shared_memory = shape_.shared_memory;
  ctx_.workspace_source = this;
  ctx_.counters = &counters_;
  semaphores_ = Buffer(*memory_, kSemaphores * sizeof(std::uint32_t), "split-K semaphores");
  ctx_.semaphores = semaphores_.as<std::uint32_t>();
  library_workspace_ = Buffer(*memory_, kLibraryWorkspace, "cuBLAS workspace");
}

CudaOps::~CudaOps() {
  if (!stream_) return;
  const DeviceScope scope(ctx_.device, std::nothrow);
  ASSAY_CUDA_NOEXCEPT(cudaStreamSynchronize(stream_.get()));
  cublas_ = CublasHandle();
}

void CudaOps::LetOverlap(bool on) { ctx_.pdl = on && ctx_.launches && KernelsWait(ctx_.device); }

void CudaOps::LogKernels(bool on) {
  if (on) log_ = KernelLog();
  ctx_.log = on ? &log_ : nullptr;
}

std::vector<std::string> CudaOps::LoggedKernels() const {
  const DeviceScope scope(ctx_.device);
  std::set<std::string> names = log_.names;
  for (const void* const kernel : log_.kernels) names.insert(KernelNameOf(kernel));
  return {names.begin(), names.end()};
}

std::unique_ptr<Weight> CudaOps::Prepare(const std::vector<HostTensor>& parts, WeightUse use) {
  std::unique_ptr<CudaWeight> weight;
  Call("Prepare", [&] {
    Grown(kStaging);
    weight = std::make_unique<CudaWeight>(ctx_, *memory_, workspace_, parts, use);
    LaunchFence(ctx_);
  });
  return weight;
}

void* CudaOps::Grown(std::size_t bytes) {
  if (bytes <= workspace_.bytes()) return workspace_.data();
  Require<Error>(!capturing_, "a captured step needs {} bytes of workspace, {} are reserved", bytes,
                 workspace_.bytes());
  if (recorded_) {
    outgrown_bytes_ += workspace_.bytes();
    outgrown_.push_back(std::move(workspace_));
  }
  workspace_ = Buffer();  // freeing waits for kernels that use it
  workspace_ = Buffer(*memory_, bytes, "workspace");
  return workspace_.data();
}

void CudaOps::PoisonWorkspace() {
  if (workspace_) memory_->Fill(workspace_.data(), 0xff, workspace_.bytes());
}

void CudaOps::PoisonArrivals() {
  const std::vector<std::uint32_t> ones(kSemaphores, 1);
  memory_->CopyIn(semaphores_.data(), ones.data(), semaphores_.bytes());
}

template <auto launch, class Args>
void CudaOps::Forward(const char* op, const Args& args) {
  Call(op, [&] {
    if (CountOf(args.rows) > 0) launch(ctx_, args);
  });
}

void CudaOps::Embed(const EmbedArgs& args) { Forward<LaunchEmbed>("Embed", args); }
void CudaOps::PleInput(const PleInputArgs& args) { Forward<LaunchPleInput>("PleInput", args); }
void CudaOps::Norm(const NormArgs& args) { Forward<LaunchNorm>("Norm", args); }
void CudaOps::Residual(const ResidualArgs& args) { Forward<LaunchResidual>("Residual", args); }
void CudaOps::AddBias(float* x, const float* bias, int rows, int width) {
  Call("AddBias", [&] {
    if (rows > 0) LaunchAddBias(ctx_, x, bias, rows, width);
  });
}
void CudaOps::Join(const JoinArgs& args) { Forward<LaunchJoin>("Join", args); }
void CudaOps::Qkv(const QkvArgs& args) { Forward<LaunchQkv>("Qkv", args); }
void CudaOps::Attention(const AttentionArgs& args) { Forward<LaunchAttention>("Attention", args); }
void CudaOps::Route(const RouteArgs& args) { Forward<LaunchRoute>("Route", args); }
void CudaOps::Logits(const LogitsArgs& args) { Forward<LaunchLogits>("Logits", args); }
void CudaOps::Advance(const AdvanceArgs& args) { Forward<LaunchAdvance>("Advance", args); }
void CudaOps::GatherRows(void* out, const void* in, const std::int32_t* index, int count, std::int64_t row_bytes) {
  Call("GatherRows", [&] {
    if (count > 0) LaunchGatherRows(ctx_, out, in, index, count, row_bytes);
  });
}

std::unique_ptr<StepGraph> CudaOps::Capture(const std::function<void()>& body) {
  // What is recorded is not launched: it belongs in the graph's own list.
  struct Capturing {
    explicit Capturing(CudaOps& ops) : ops_(ops), log_(std::exchange(ops.ctx_.log, nullptr)) { ops_.capturing_ = true; }
    ~Capturing() {
      ops_.capturing_ = false;
      ops_.ctx_.log = log_;
    }
    CudaOps& ops_;
    KernelLog* log_;
  };
  if (!ctx_.launches) {
    const std::int64_t before = counters_.kernel_launches;
    body();
    return std::make_unique<PlannedStepGraph>(counters_.kernel_launches - before);
  }
  const Capturing capturing(*this);
  recorded_ = true;
  return std::make_unique<CudaStepGraph>(CaptureGraph(ctx_.device, stream_.get(), body), ctx_);
}

std::unique_ptr<OpsClock> CudaOps::MakeClock() { return std::make_unique<CudaClock>(ctx_); }

void CudaOps::Synchronize() {
  if (!stream_) return;
  const DeviceScope scope(ctx_.device);
  ++counters_.host_syncs;
  ASSAY_CUDA(cudaStreamSynchronize(stream_.get()));
  faults_->Check();
}

}  // namespace assay
