// What a process holds while it judges: opened models, reference answers, tolerances, and whatever occupies a device.
// One object a process (or a worker, or a test) owns it all, and all of it is freed here.
#pragma once

#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "suites/support/engine_system.h"
#include "suites/support/references.h"
#include "suites/support/system.h"
#include "suites/support/target.h"

namespace assay {

class RoutingLog;

class Workbench {
 public:
  // Systems come from `provider`; null: the engine of this tree.
  explicit Workbench(std::unique_ptr<SystemProvider> provider = nullptr);
  ~Workbench();
  Workbench(const Workbench&) = delete;
  Workbench& operator=(const Workbench&) = delete;

  // The model's weights; opened once. Embedded names resolve to fixtures. Throws InputError.
  const WeightStore& Store(const std::string& model, std::uint64_t seed);
  const WeightStore& Store(const Target& target) { return Store(target.model, target.seed); }
  const ModelSpec& Spec(const Target& target) { return Store(target).spec(); }

  ReferenceAnswers& references() { return references_; }
  SystemProvider& provider() { return *provider_; }
  // What the system rounds when it computes the target: the twin's arithmetic. Throws Unsupported.
  TwinArithmetic ArithmeticOf(const Target& target) { return provider_->ArithmeticOf(Store(target), target); }

  // A system over the target's model. First frees what references and shared objects hold on a device.
  std::unique_ptr<SystemUnderTest> Open(const Target& target, const EngineOptions& options);
  // The engine of this tree, for cases that need its inside (Capability::kInternals).
  std::unique_ptr<EngineSystem> OpenEngine(const Target& target, const EngineOptions& options);
  // The same over `ops`, which must outlive it: instruments around MakeOps.
  std::unique_ptr<EngineSystem> OpenEngine(const Target& target, const EngineOptions& options, Ops& ops);
  // Fresh ops of the target as the provider makes them, planted faults included. Frees like Open.
  std::unique_ptr<Ops> MakeOps(const Target& target);

  // One object that consecutive cases share because it is costly: the one made for `key`, until another key is asked
  // for or the device is needed. A failure to make it for lack of memory is remembered and thrown again.
  template <class T>
  T& Shared(const std::string& key, const std::function<std::unique_ptr<T>()>& make) {
    return *static_cast<T*>(SharedObject(key, [&] { return std::shared_ptr<void>(make()); }));
  }

  // From now on engines of models with experts keep a log of what their routers chose (suites/support/routing.h), until
  // the next case begins.
  void RecordRouting();
  void ForgetRouting();
  RoutingLog* routing() { return routing_.get(); }  // null: none is kept

  // Frees what lies on devices: the references' part and the shared object. Answers stay.
  void ReleaseDevice();
  // Frees everything that belongs to models.
  void Forget();

 private:
  void* SharedObject(const std::string& key, const std::function<std::shared_ptr<void>()>& make);
  EngineProvider& engines();

  std::unique_ptr<SystemProvider> provider_;
  std::map<std::pair<std::string, std::uint64_t>, std::unique_ptr<WeightStore>> stores_;
  ReferenceAnswers references_;
  std::unique_ptr<RoutingLog> routing_;
  std::string shared_key_;
  std::shared_ptr<void> shared_;
  std::exception_ptr shared_refusal_;
};

}  // namespace assay
