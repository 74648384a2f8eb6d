// Engines that are wrong beside their ops: copies that do not arrive, weights and specs that are read wrongly, sessions
// that are kept wrongly.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "oracles/probes/forwarding_memory.h"
#include "suites/faults/hooked_ops.h"
#include "suites/support/engine_system.h"

namespace assay {

// Memory whose calls go through functions; each returns whether it has done the call.
struct MemoryHooks {
  std::function<bool(Memory&, void* to, const void* from, std::size_t bytes)> copy{};
  std::function<bool(Memory&, void* to, unsigned char byte, std::size_t bytes)> fill{};
};

class HookedMemory : public ForwardingMemory {
 public:
  HookedMemory(Memory& inner, MemoryHooks hooks, Witness engaged)
      : ForwardingMemory(inner), hooks_(std::move(hooks)), engaged_(std::move(engaged)) {}
  void Copy(void* to, const void* from, std::size_t bytes) override {
    if (hooks_.copy && hooks_.copy(inner_, to, from, bytes))
      *engaged_ = true;
    else
      inner_.Copy(to, from, bytes);
  }
  void Fill(void* to, unsigned char byte, std::size_t bytes) override {
    if (hooks_.fill && hooks_.fill(inner_, to, byte, bytes))
      *engaged_ = true;
    else
      inner_.Fill(to, byte, bytes);
  }

 private:
  MemoryHooks hooks_;
  Witness engaged_;
};

// A store whose spec, or whose tensors as floats, are changed.
struct StoreHooks {
  std::function<void(ModelSpec&)> spec{};
  std::function<void(TensorKey, std::vector<float>& values, std::int64_t cols)> tensor{};
};

class HookedStore final : public WeightStore {
 public:
  HookedStore(const WeightStore& inner, StoreHooks hooks, Witness engaged);
  const ModelSpec& spec() const override { return spec_; }
  bool Has(TensorKey key) const override { return inner_.Has(key); }
  HostTensor Load(TensorKey key, bool recipe_only) const override;
  std::vector<StoredTensorInfo> Listing() const override { return inner_.Listing(); }
  std::string format() const override { return inner_.format(); }

 private:
  std::string Digested(IdentityExtent extent) const override { return inner_.Identity(extent); }

  const WeightStore& inner_;
  StoreHooks hooks_;
  Witness engaged_;
  ModelSpec spec_;
};

// A system some of whose answers are wrong. A hook gets the system as it should be.
struct SystemHooks {
  std::function<SessionId(EngineSystem&, SessionId, Edit&)> fork{};
  std::function<void(EngineSystem&, SessionId, int length, Edit&)> truncate{};
  std::function<Support(const EngineSystem&, SessionId, int length, Witness&)> can_truncate{};
  std::function<void(EngineSystem&, SessionId, Witness&)> close{};
  std::function<void(std::vector<Feed>&, Witness&)> feeds{};                 // of a step, before it
  std::function<void(std::span<const Feed>, StepResult&, Witness&)> step{};  // after it
  std::function<void(std::vector<Tokens>&, Witness&)> decode{};              // after it
};

class HookedSystem final : public EngineSystem {
 public:
  template <class OwnOrBorrowed>
  HookedSystem(const WeightStore& store, OwnOrBorrowed&& of, const EngineOptions& options, SystemHooks hooks,
               Witness engaged)
      : EngineSystem(store, std::forward<OwnOrBorrowed>(of), options),
        hooks_(std::move(hooks)),
        engaged_(engaged),
        edit_(ops(), std::move(engaged)) {}

  SessionId Fork(SessionId session) override {
    return hooks_.fork ? hooks_.fork(*this, session, edit_) : EngineSystem::Fork(session);
  }
  void Truncate(SessionId session, int length) override {
    if (hooks_.truncate)
      hooks_.truncate(*this, session, length, edit_);
    else
      EngineSystem::Truncate(session, length);
  }
  Support CanTruncate(SessionId session, int length) const override {
    Witness engaged = engaged_;
    return hooks_.can_truncate ? hooks_.can_truncate(*this, session, length, engaged)
                               : EngineSystem::CanTruncate(session, length);
  }
  void Close(SessionId session) override {
    if (hooks_.close)
      hooks_.close(*this, session, engaged_);
    else
      EngineSystem::Close(session);
  }
  using SystemUnderTest::Step;
  StepResult Step(std::span<const Feed> feeds) override {
    std::vector<Feed> changed(feeds.begin(), feeds.end());
    if (hooks_.feeds) hooks_.feeds(changed, engaged_);
    StepResult result = EngineSystem::Step(changed);
    if (hooks_.step) hooks_.step(feeds, result, engaged_);
    return result;
  }
  std::vector<Tokens> Decode(std::span<const SessionId> sessions, std::span<const std::int32_t> first,
                             int steps) override {
    std::vector<Tokens> texts = EngineSystem::Decode(sessions, first, steps);
    if (hooks_.decode) hooks_.decode(texts, engaged_);
    return texts;
  }

 private:
  SystemHooks hooks_;
  Witness engaged_;
  Edit edit_;
};

// Makes such engines.
struct FaultyParts {
  OpsDecorator ops{};
  StoreHooks store{};
  SystemHooks system{};
};
class FaultyProvider final : public EngineProvider {
 public:
  FaultyProvider(FaultyParts parts, Witness engaged)
      : EngineProvider(parts.ops), parts_(std::move(parts)), engaged_(std::move(engaged)) {}
  std::unique_ptr<EngineSystem> MakeSystem(const WeightStore& store, std::unique_ptr<Ops> own,
                                           const EngineOptions& options) override {
    const HookedStore hooked(store, parts_.store, engaged_);
    return std::make_unique<HookedSystem>(hooked, std::move(own), options, parts_.system, engaged_);
  }
  std::unique_ptr<EngineSystem> MakeSystem(const WeightStore& store, Ops& borrowed,
                                           const EngineOptions& options) override {
    const HookedStore hooked(store, parts_.store, engaged_);
    return std::make_unique<HookedSystem>(hooked, borrowed, options, parts_.system, engaged_);
  }

 private:
  FaultyParts parts_;
  Witness engaged_;
};

}  // namespace assay
