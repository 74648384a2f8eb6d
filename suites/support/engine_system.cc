#include "suites/support/engine_system.h"

#include "engine/ops/ops_factory.h"
#include "reports/environment/build.h"
#include "suites/support/routing.h"

namespace assay {

SystemInfo EngineProvider::Describe() const {
  const BuildInfo build = ThisBuild();
  SystemInfo info;
  info.name = "assay engine";
  info.version = build.version;
  info.commit = build.commit;
  info.activations = "as operands";
  info.claims_repeatable = true;
  return info;
}

std::unique_ptr<Ops> EngineProvider::MakeOps(const Target& target) const {
  std::unique_ptr<Ops> ops = assay::MakeOps(target.device, target.precision, target.batch_invariant);
  if (decorate_) ops = decorate_(std::move(ops));
  return watch_ ? watch_(std::move(ops)) : std::move(ops);
}

std::unique_ptr<SystemUnderTest> EngineProvider::Open(const WeightStore& store, const Target& target,
                                                      const EngineOptions& options) {
  return MakeSystem(store, MakeOps(target), options);
}

std::unique_ptr<EngineSystem> EngineProvider::MakeSystem(const WeightStore& store, std::unique_ptr<Ops> own,
                                                         const EngineOptions& options) {
  if (log_ != nullptr && HasExperts(store.spec()))
    return std::make_unique<RoutedSystem>(store, std::make_unique<OwningProbe<RoutingOps>>(std::move(own)), options,
                                          *log_);
  return std::make_unique<EngineSystem>(store, std::move(own), options);
}

std::unique_ptr<EngineSystem> EngineProvider::MakeSystem(const WeightStore& store, Ops& borrowed,
                                                         const EngineOptions& options) {
  if (log_ != nullptr && HasExperts(store.spec()))
    return std::make_unique<RoutedSystem>(store, std::make_unique<RoutingOps>(borrowed), options, *log_);
  return std::make_unique<EngineSystem>(store, borrowed, options);
}

}  // namespace assay
