// Base of the probes that decorate Ops: forwards every call to the ops it wraps. Does not own them.
#pragma once

#include <memory>
#include <utility>

#include "engine/ops/ops.h"

namespace assay {

class ForwardingOps : public Ops {
 public:
  explicit ForwardingOps(Ops& inner) : inner_(inner) {}

  Memory& memory() override { return inner_.memory(); }
  Precision precision() const override { return inner_.precision(); }
  Device device_id() const override { return inner_.device_id(); }
  bool on_host() const override { return inner_.on_host(); }
  std::string device() const override { return inner_.device(); }
  void LogKernels(bool on) override { inner_.LogKernels(on); }
  std::vector<std::string> LoggedKernels() const override { return inner_.LoggedKernels(); }
  OpsCounters counters() const override { return inner_.counters(); }
  std::unique_ptr<Weight> Prepare(const std::vector<HostTensor>& parts, WeightUse use) override {
    return inner_.Prepare(parts, use);
  }
  std::unique_ptr<Ops> Planning() const override { return inner_.Planning(); }
  std::size_t own_bytes() const override { return inner_.own_bytes(); }
  std::size_t workspace_bytes() const override { return inner_.workspace_bytes(); }
  void Reserve(std::size_t workspace_bytes) override { inner_.Reserve(workspace_bytes); }
  void LetOverlap(bool on) override { inner_.LetOverlap(on); }
  void At(Site site) override {
    Ops::At(site);
    inner_.At(site);
  }
  void Embed(const EmbedArgs& args) override {
    if (Before("Embed")) inner_.Embed(args);
  }
  void PleInput(const PleInputArgs& args) override {
    if (Before("PleInput")) inner_.PleInput(args);
  }
  void Norm(const NormArgs& args) override {
    if (Before("Norm")) inner_.Norm(args);
  }
  void Residual(const ResidualArgs& args) override {
    if (Before("Residual")) inner_.Residual(args);
  }
  void AddBias(float* x, const float* bias, int rows, int width) override {
    if (Before("AddBias")) inner_.AddBias(x, bias, rows, width);
  }
  void Join(const JoinArgs& args) override {
    if (Before("Join")) inner_.Join(args);
  }
  void MatMul(float* out, const Weight& w, const void* x, int rows) override {
    if (Before("MatMul")) inner_.MatMul(out, w, x, rows);
  }
  void GatedMatMul(void* operand, const Weight& w, const void* x, int rows, Activation activation) override {
    if (Before("GatedMatMul")) inner_.GatedMatMul(operand, w, x, rows, activation);
  }
  void PleGate(const PleGateArgs& args) override {
    if (Before("PleGate")) inner_.PleGate(args);
  }
  void Qkv(const QkvArgs& args) override {
    if (Before("Qkv")) inner_.Qkv(args);
  }
  void Attention(const AttentionArgs& args) override {
    if (Before("Attention")) inner_.Attention(args);
  }
  void Route(const RouteArgs& args) override {
    if (Before("Route")) inner_.Route(args);
  }
  void ExpertGated(const ExpertGatedArgs& args) override {
    if (Before("ExpertGated")) inner_.ExpertGated(args);
  }
  void ExpertDown(const ExpertDownArgs& args) override {
    if (Before("ExpertDown")) inner_.ExpertDown(args);
  }
  void Logits(const LogitsArgs& args) override {
    if (Before("Logits")) inner_.Logits(args);
  }
  void GatherRows(void* out, const void* in, const std::int32_t* index, int count, std::int64_t row_bytes) override {
    if (Before("GatherRows")) inner_.GatherRows(out, in, index, count, row_bytes);
  }
  void Advance(const AdvanceArgs& args) override {
    if (Before("Advance")) inner_.Advance(args);
  }
  std::unique_ptr<StepGraph> Capture(const std::function<void()>& body) override { return inner_.Capture(body); }
  void Synchronize() override { inner_.Synchronize(); }
  std::unique_ptr<OpsClock> MakeClock() override { return inner_.MakeClock(); }

 protected:
  // Called before every op of the seam; says whether it is forwarded. A probe that overrides an op calls it itself, or
  // forwards through ForwardingOps.
  virtual bool Before(const char* op) {
    static_cast<void>(op);
    return true;
  }

  Ops& inner_;
};

// A probe that owns the ops it decorates.
template <class Probe>
class OwningProbe : private std::unique_ptr<Ops>, public Probe {
 public:
  template <class... Args>
  explicit OwningProbe(std::unique_ptr<Ops> inner, Args&&... args)
      : std::unique_ptr<Ops>(std::move(inner)), Probe(**this, std::forward<Args>(args)...) {}
};

}  // namespace assay
