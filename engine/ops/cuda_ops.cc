#include "engine/ops/cuda_ops.h"

#include <algorithm>

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
  CudaStepGraph(CudaGraphExec exec, std::int64_t nodes, cudaStream_t stream, OpsCounters* counters)
      : exec_(std::move(exec)), nodes_(nodes), stream_(stream), counters_(counters) {}
  void Launch() override {
    ASSAY_CUDA(cudaGraphLaunch(exec_.get(), stream_));
    ++counters_->graph_launches;
  }
  std::int64_t nodes() const override { return nodes_; }

 private:
  CudaGraphExec exec_;
  std::int64_t nodes_;
  cudaStream_t stream_;
  OpsCounters* counters_;
};

class CudaClock final : public OpsClock {
 public:
  CudaClock(cudaStream_t stream, OpsCounters* counters) : stream_(stream), counters_(counters) {}
  void Mark() override {
    if (marks_ == events_.size()) events_.push_back(MakeEvent());
    ASSAY_CUDA(cudaEventRecord(events_[marks_].get(), stream_));
    ++marks_;
  }
  std::vector<double> Intervals() override {
    std::vector<double> seconds;
    if (marks_ > 0) {
      ++counters_->host_syncs;
      ASSAY_CUDA(cudaEventSynchronize(events_[marks_ - 1].get()));
    }
    for (std::size_t i = 1; i < marks_; ++i)
      seconds.push_back(static_cast<double>(ElapsedMs(events_[i - 1], events_[i])) * 1e-3);
    marks_ = 0;
    return seconds;
  }

 private:
  cudaStream_t stream_;
  OpsCounters* counters_;
  std::vector<CudaEvent> events_;  // kept for the next marks
  std::size_t marks_ = 0;
};

CudaStream StreamOn(int device) {
  if (const Support support = CudaOpsAvailable(device); !support) throw DeviceError(support.reason, false);
  ASSAY_CUDA(cudaSetDevice(device));
  return MakeStream();
}

}  // namespace

Support CudaOpsAvailable(int device) {
  if (Support support = CudaAvailable(device); !support) return support;
  return KernelsRunOn(device);
}

std::unique_ptr<Ops> MakeCudaOps(const CudaOptions& options) { return std::make_unique<CudaOps>(options); }

void PoisonWorkspace(Ops& ops) {
  auto* cuda = dynamic_cast<CudaOps*>(&ops);
  Require(cuda != nullptr, "only CUDA ops have a workspace to poison, these run on {}", ops.device());
  cuda->PoisonWorkspace();
}

CudaOps::CudaOps(const CudaOptions& options)
    : stream_(StreamOn(options.device)), memory_(stream_.get(), &counters_.host_syncs) {
  cudaDeviceProp properties = {};
  ASSAY_CUDA(cudaGetDeviceProperties(&properties, options.device));
  name_ = properties.name;
  ctx_.stream = stream_.get();
  ctx_.precision = options.precision;
  ctx_.batch_invariant = options.batch_invariant;
  ctx_.sm_count = properties.multiProcessorCount;
  ctx_.compute_capability = 10 * properties.major + properties.minor;
  ctx_.pdl = options.pdl && KernelsWait();
  forced_ = options.product_way;
  ctx_.workspace_source = this;
  ctx_.counters = &counters_;
  arrivals_ = Buffer(memory_, kArrivals * sizeof(std::uint32_t), "arrival counters");
  memory_.Fill(arrivals_.data(), 0, arrivals_.bytes());
  ctx_.arrivals = arrivals_.as<std::uint32_t>();
  library_workspace_ = Buffer(memory_, kLibraryWorkspace, "cuBLAS workspace");
  cublas_ = MakeCublas(stream_.get(), library_workspace_.data(), kLibraryWorkspace);
}

CudaOps::~CudaOps() { ASSAY_CUDA_NOEXCEPT(cudaStreamSynchronize(stream_.get())); }

std::unique_ptr<Weight> CudaOps::Prepare(const std::vector<HostTensor>& parts, WeightUse use) {
  std::unique_ptr<CudaWeight> weight;
  Call("Prepare", [&] {
    if (!staging_) staging_ = Buffer(memory_, kStaging, "upload staging");
    weight = std::make_unique<CudaWeight>(ctx_, memory_, staging_, parts, use);
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

void CudaOps::Embed(const EmbedArgs& args) {
  Call("Embed", [&] {
    if (args.rows->count > 0) LaunchEmbed(ctx_, args);
  });
}
void CudaOps::PleInput(const PleInputArgs& args) {
  Call("PleInput", [&] {
    if (args.rows->count > 0) LaunchPleInput(ctx_, args);
  });
}
void CudaOps::Norm(const NormArgs& args) {
  Call("Norm", [&] {
    if (args.rows > 0) LaunchNorm(ctx_, args);
  });
}
void CudaOps::Residual(const ResidualArgs& args) {
  Call("Residual", [&] {
    if (args.rows > 0) LaunchResidual(ctx_, args);
  });
}
void CudaOps::Join(const JoinArgs& args) {
  Call("Join", [&] {
    if (args.rows > 0) LaunchJoin(ctx_, args);
  });
}
void CudaOps::Qkv(const QkvArgs& args) {
  Call("Qkv", [&] {
    if (args.rows->count > 0) LaunchQkv(ctx_, args);
  });
}
void CudaOps::Attention(const AttentionArgs& args) {
  Call("Attention", [&] {
    if (args.rows->count > 0) LaunchAttention(ctx_, args);
  });
}
void CudaOps::Route(const RouteArgs& args) {
  Call("Route", [&] {
    if (args.rows > 0) LaunchRoute(ctx_, args);
  });
}
void CudaOps::Logits(const LogitsArgs& args) {
  Call("Logits", [&] {
    if (args.rows > 0) LaunchLogits(ctx_, args);
  });
}
void CudaOps::GatherRows(void* out, const void* in, const std::int32_t* index, int count, std::int64_t row_bytes) {
  Call("GatherRows", [&] {
    if (count > 0) LaunchGatherRows(ctx_, out, in, index, count, row_bytes);
  });
}
void CudaOps::Advance(const AdvanceArgs& args) {
  Call("Advance", [&] {
    if (args.rows > 0) LaunchAdvance(ctx_, args);
  });
}

std::unique_ptr<StepGraph> CudaOps::Capture(const std::function<void()>& body) {
  struct Capturing {
    explicit Capturing(bool& flag) : flag_(flag) { flag_ = true; }
    ~Capturing() { flag_ = false; }
    bool& flag_;
  };
  CudaGraphExec exec;
  std::size_t nodes = 0;
  {
    const Capturing capturing(capturing_);
    exec = CaptureGraph(stream_.get(), body, &nodes);
  }
  return std::make_unique<CudaStepGraph>(std::move(exec), static_cast<std::int64_t>(nodes), stream_.get(), &counters_);
}

std::unique_ptr<OpsClock> CudaOps::MakeClock() { return std::make_unique<CudaClock>(stream_.get(), &counters_); }

void CudaOps::Synchronize() {
  ++counters_.host_syncs;
  ASSAY_CUDA(cudaStreamSynchronize(stream_.get()));
}

}  // namespace assay
