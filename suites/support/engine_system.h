// The engine of this tree as the system under test, in process, with its inside open to suites that ask for it.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "suites/support/system.h"

namespace assay {

class EngineSystem : public SystemUnderTest {
 public:
  // Over ops of its own, or over `ops`, which must outlive it.
  EngineSystem(const WeightStore& store, std::unique_ptr<Ops> ops, const EngineOptions& options)
      : own_(std::move(ops)), ops_(*own_), engine_(store, ops_, options) {}
  EngineSystem(const WeightStore& store, Ops& ops, const EngineOptions& options)
      : ops_(ops), engine_(store, ops_, options) {}

  const EngineOptions& limits() const override { return engine_.options(); }
  int vocab() const override { return engine_.spec().vocab; }
  SessionId Open() override { return engine_.Open(); }
  void Close(SessionId session) override { engine_.Close(session); }
  SessionId Fork(SessionId session) override { return engine_.Fork(session); }
  Support CanTruncate(SessionId session, int length) const override { return engine_.CanTruncate(session, length); }
  void Truncate(SessionId session, int length) override { engine_.Truncate(session, length); }
  int Length(SessionId session) const override { return engine_.Length(session); }
  using SystemUnderTest::Step;
  StepResult Step(std::span<const Feed> feeds) override { return engine_.Step(feeds); }
  std::vector<Tokens> Decode(std::span<const SessionId> sessions, std::span<const std::int32_t> first,
                             int steps) override {
    return engine_.Decode(sessions, first, steps);
  }
  StepResult Prefill(SessionId session, std::span<const std::int32_t> tokens, Want want = Want::kLast,
                     int chunk = 0) override {
    return engine_.Prefill(session, tokens, want, chunk);
  }
  EngineSystem* engine() override { return this; }

  Engine& inside() { return engine_; }
  Ops& ops() { return ops_; }
  Memory& memory() { return ops_.memory(); }

 private:
  std::unique_ptr<Ops> own_;
  Ops& ops_;
  Engine engine_;
};

class RoutingLog;

// Puts something between the engine and its ops: a planted fault, an instrument. Owns what it is given.
using OpsDecorator = std::function<std::unique_ptr<Ops>(std::unique_ptr<Ops>)>;

class EngineProvider : public SystemProvider {
 public:
  // Every engine runs over `decorate`d ops; null: over plain ones.
  explicit EngineProvider(OpsDecorator decorate = nullptr) : decorate_(std::move(decorate)) {}

  SystemInfo Describe() const override;
  Capabilities CapabilitiesOf(const Target&) const override { return {}; }
  std::unique_ptr<SystemUnderTest> Open(const WeightStore& store, const Target& target,
                                        const EngineOptions& options) override;
  // From now on an instrument stands between the engines and their decorated ops.
  void Watch(OpsDecorator instrument) { watch_ = std::move(instrument); }
  // Fresh decorated ops of the target's device and mode.
  std::unique_ptr<Ops> MakeOps(const Target& target) const;
  // Every engine is made here: over ops that it owns, or over `borrowed`, which must outlive it.
  // Engines of models with experts write into `log` what their routers choose: null: none does.
  void RecordRouting(RoutingLog* log) { log_ = log; }
  virtual std::unique_ptr<EngineSystem> MakeSystem(const WeightStore& store, std::unique_ptr<Ops> own,
                                                   const EngineOptions& options);
  virtual std::unique_ptr<EngineSystem> MakeSystem(const WeightStore& store, Ops& borrowed,
                                                   const EngineOptions& options);

 private:
  OpsDecorator decorate_, watch_;
  RoutingLog* log_ = nullptr;
};

}  // namespace assay
