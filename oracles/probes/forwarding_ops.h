// Base of the probes that decorate Ops: forwards every call to the ops it wraps. Does not own them.
#pragma once

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
  void Reserve(const OpsLimits& limits) override { inner_.Reserve(limits); }
  void At(Site site) override {
    Ops::At(site);
    inner_.At(site);
  }
  void Embed(const EmbedArgs& args) override { inner_.Embed(args); }
  void PleInput(const PleInputArgs& args) override { inner_.PleInput(args); }
  void Norm(const NormArgs& args) override { inner_.Norm(args); }
  void Residual(const ResidualArgs& args) override { inner_.Residual(args); }
  void Join(const JoinArgs& args) override { inner_.Join(args); }
  void MatMul(float* out, const Weight& w, const void* x, int rows) override { inner_.MatMul(out, w, x, rows); }
  void GatedMatMul(void* operand, const Weight& w, const void* x, int rows, Activation activation) override {
    inner_.GatedMatMul(operand, w, x, rows, activation);
  }
  void PleGate(const PleGateArgs& args) override { inner_.PleGate(args); }
  void Qkv(const QkvArgs& args) override { inner_.Qkv(args); }
  void Attention(const AttentionArgs& args) override { inner_.Attention(args); }
  void Route(const RouteArgs& args) override { inner_.Route(args); }
  void ExpertGated(const ExpertGatedArgs& args) override { inner_.ExpertGated(args); }
  void ExpertDown(const ExpertDownArgs& args) override { inner_.ExpertDown(args); }
  void Logits(const LogitsArgs& args) override { inner_.Logits(args); }
  void GatherRows(void* out, const void* in, const std::int32_t* index, int count, std::int64_t row_bytes) override {
    inner_.GatherRows(out, in, index, count, row_bytes);
  }
  void Advance(const AdvanceArgs& args) override { inner_.Advance(args); }
  std::unique_ptr<StepGraph> Capture(const std::function<void()>& body) override { return inner_.Capture(body); }
  void Synchronize() override { inner_.Synchronize(); }
  std::unique_ptr<OpsClock> MakeClock() override { return inner_.MakeClock(); }

 protected:
  Ops& inner_;
};

}  // namespace assay
