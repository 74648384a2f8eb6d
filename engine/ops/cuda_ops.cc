#include "engine/ops/cuda_ops.h"

#include <algorithm>

#include "engine/memory/cuda_kernel_names.h"
#include "engine/ops/cuda_ops_impl.h"
#include "engine/ops/cuda_weight.h"
#include "engine/ops/kernels/kernels.h"
#include "engine/ops/kernels/probe.h"

namespace assay {
namespace {

constexpr std::size_t kLibraryWorkspace = std::size_t{32} << 20;  // what NVIDIA recommends for Hopper
constexpr std::size_t kStaging = std::size_t{64} << 20;

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

CudaStream StreamOn(int device) {
  if (const Support support = CudaOpsAvailable(device); !support) throw DeviceError(support.reason, false);
  return MakeStream(device);
}

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

CudaOps::CudaOps(const CudaOptions& options)
    : stream_(StreamOn(options.device)),
      faults_(options.device),
      memory_(options.device, stream_.get(), &counters_.host_syncs, &faults_) {
  const DeviceScope scope(options.device);
  cudaDeviceProp properties = {};
  ASSAY_CUDA(cudaGetDeviceProperties(&properties, options.device));
  name_ = properties.name;
  ctx_.device = options.device;
  ctx_.stream = stream_.get();
  ctx_.precision = options.precision;
  ctx_.batch_invariant = options.batch_invariant;
  ctx_.sm_count = properties.multiProcessorCount;
  ctx_.compute_capability = 10 * properties.major + properties.minor;
  ctx_.shared_memory = properties.sharedMemPerBlockOptin;
  ctx_.pdl = options.pdl && KernelsWait(options.device);
  forced_path_ = options.gemm_path;
  ctx_.workspace_source = this;
  ctx_.counters = &counters_;
  ctx_.fault = faults_.on_device();
  ctx_.semaphores_used = &semaphores_used_;
  semaphores_ = Buffer(memory_, kSemaphores * sizeof(std::uint32_t), "split-K semaphores");
  memory_.Fill(semaphores_.data(), 0, semaphores_.bytes());
  ctx_.semaphores = semaphores_.as<std::uint32_t>();
  library_workspace_ = Buffer(memory_, kLibraryWorkspace, "cuBLAS workspace");
  cublas_ = MakeCublas(options.device, stream_.get(), library_workspace_.data(), kLibraryWorkspace);
}

CudaOps::~CudaOps() {
  const DeviceScope scope(ctx_.device, std::nothrow);
  ASSAY_CUDA_NOEXCEPT(cudaStreamSynchronize(stream_.get()));
  cublas_ = CublasHandle();
}

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
    if (!staging_) staging_ = Buffer(memory_, kStaging, "upload staging");
    weight = std::make_unique<CudaWeight>(ctx_, memory_, staging_, parts, use);
    LaunchFence(ctx_);
  });
  library_needs_scratch_ = library_needs_scratch_ || (use != WeightUse::kTable && LibraryScratch(weight->view()) != 0);
  return weight;
}

void* CudaOps::Workspace(std::size_t bytes) {
  if (bytes <= workspace_.bytes() && workspace_) return workspace_.data();
  Require<Error>(!capturing_, "a captured step needs {} bytes of workspace, {} are reserved", bytes,
                 workspace_.bytes());
  // The old buffer may stand in recorded graphs and in kernels under way.
  Buffer grown(memory_, bytes + bytes / 4, "workspace");
  if (workspace_) outgrown_.push_back(std::move(workspace_));
  workspace_ = std::move(grown);
  return workspace_.data();
}

void CudaOps::PoisonWorkspace() {
  if (workspace_) memory_.Fill(workspace_.data(), 0xff, workspace_.bytes());
}

void CudaOps::PoisonArrivals() {
  const std::vector<std::uint32_t> ones(kSemaphores, 1);
  memory_.CopyIn(semaphores_.data(), ones.data(), semaphores_.bytes());
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
  const Capturing capturing(*this);
  return std::make_unique<CudaStepGraph>(CaptureGraph(ctx_.device, stream_.get(), body), ctx_);
}

std::unique_ptr<OpsClock> CudaOps::MakeClock() { return std::make_unique<CudaClock>(ctx_); }

void CudaOps::Synchronize() {
  const DeviceScope scope(ctx_.device);
  ++counters_.host_syncs;
  ASSAY_CUDA(cudaStreamSynchronize(stream_.get()));
  faults_.Check();
}

}  // namespace assay
