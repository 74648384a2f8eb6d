#include "suites/support/workbench.h"

#include "suites/support/embedded.h"
#include "suites/support/routing.h"

namespace assay {

Workbench::Workbench(std::unique_ptr<SystemProvider> provider)
    : provider_(provider ? std::move(provider) : std::make_unique<EngineProvider>()), references_(*this) {}

Workbench::~Workbench() { Forget(); }

const WeightStore& Workbench::Store(const std::string& model, std::uint64_t seed) {
  std::unique_ptr<WeightStore>& store = stores_[{model, seed}];
  if (!store) store = OpenModel(ResolveModel(model), seed);
  return *store;
}

EngineProvider& Workbench::engines() {
  auto* engines = dynamic_cast<EngineProvider*>(provider_.get());
  Require(engines != nullptr, "{}: only the engine of this tree shows its inside", provider_->Describe().name);
  return *engines;
}

std::unique_ptr<SystemUnderTest> Workbench::Open(const Target& target, const EngineOptions& options) {
  ReleaseDevice();
  return provider_->Open(Store(target), target, options);
}

std::unique_ptr<Ops> Workbench::MakeOps(const Target& target) {
  ReleaseDevice();
  return engines().MakeOps(target);
}

std::unique_ptr<EngineSystem> Workbench::OpenEngine(const Target& target, const EngineOptions& options) {
  return engines().MakeSystem(Store(target), MakeOps(target), options);
}

std::unique_ptr<EngineSystem> Workbench::OpenEngine(const Target& target, const EngineOptions& options, Ops& ops) {
  return engines().MakeSystem(Store(target), ops, options);
}

void* Workbench::SharedObject(const std::string& key, const std::function<std::shared_ptr<void>()>& make) {
  if (shared_key_ != key || (!shared_ && !shared_refusal_)) {
    ReleaseDevice();
    shared_refusal_ = nullptr;
    std::shared_ptr<void> made;
    try {
      made = make();
    } catch (const OutOfMemory&) {
      shared_refusal_ = std::current_exception();
    }
    shared_ = std::move(made);
    shared_key_ = key;
  }
  if (shared_refusal_) std::rethrow_exception(shared_refusal_);
  return shared_.get();
}

void Workbench::RecordRouting() {
  if (routing_) return;
  routing_ = std::make_unique<RoutingLog>();
  if (auto* engines = dynamic_cast<EngineProvider*>(provider_.get())) engines->RecordRouting(routing_.get());
}

void Workbench::ForgetRouting() {
  if (auto* engines = dynamic_cast<EngineProvider*>(provider_.get())) engines->RecordRouting(nullptr);
  routing_.reset();
}

void Workbench::ReleaseDevice() {
  shared_.reset();
  references_.ReleaseDevice();
}

void Workbench::Forget() {
  ReleaseDevice();
  shared_key_.clear();
  shared_refusal_ = nullptr;
  references_.Forget();
  stores_.clear();
}

}  // namespace assay
