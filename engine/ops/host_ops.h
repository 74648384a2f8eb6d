// Ops on the host: short plain loops, threads over independent outputs, the arithmetic of each row in one fixed order
// whatever else is in the batch. So results are bit-equal across batch sizes, chunkings and neighbours.
#pragma once

#include "engine/ops/ops.h"

namespace assay {

class HostOps final : public Ops {
 public:
  explicit HostOps(Precision precision) : HostOps(precision, false) {}

  Memory& memory() override { return *memory_; }
  Precision precision() const override { return precision_; }
  Device device_id() const override { return Device::Host(); }
  std::string device() const override { return "host"; }
  void LogKernels(bool) override {}
  std::vector<std::string> LoggedKernels() const override { return {}; }
  OpsCounters counters() const override { return counters_; }

  // Keeps a part's stored bytes when the mode's products would read the same values from them (always in fp32, and for
  // Q8_0 and Q4_0); else converts to the mode's type, as a device does.
  std::unique_ptr<Weight> Prepare(const std::vector<HostTensor>& parts, WeightUse use) override;
  // Weights of these may be recipes. No call but Prepare may be made.
  std::unique_ptr<Ops> Planning() const override { return std::unique_ptr<Ops>(new HostOps(precision_, true)); }
  std::size_t own_bytes() const override { return 0; }
  std::size_t workspace_bytes() const override { return 0; }
  void Reserve(std::size_t) override {}

  void Embed(const EmbedArgs& args) override;
  void PleInput(const PleInputArgs& args) override;
  void Norm(const NormArgs& args) override;
  void Residual(const ResidualArgs& args) override;
  void AddBias(float* x, const float* bias, int rows, int width) override;
  void Join(const JoinArgs& args) override;
  void MatMul(float* out, const Weight& w, const void* x, int rows) override;
  void GatedMatMul(void* operand, const Weight& w, const void* x, int rows, Activation activation) override;
  void PleGate(const PleGateArgs& args) override;
  void Qkv(const QkvArgs& args) override;
  void Attention(const AttentionArgs& args) override;
  void Route(const RouteArgs& args) override;
  void ExpertGated(const ExpertGatedArgs& args) override;
  void ExpertDown(const ExpertDownArgs& args) override;
  void Logits(const LogitsArgs& args) override;
  void GatherRows(void* out, const void* in, const std::int32_t* index, int count, std::int64_t row_bytes) override;
  void Advance(const AdvanceArgs& args) override;
  std::unique_ptr<StepGraph> Capture(const std::function<void()>& body) override;
  void Synchronize() override {}
  std::unique_ptr<OpsClock> MakeClock() override;

 private:
  HostOps(Precision precision, bool planning);

  bool planning_;
  std::unique_ptr<Memory> memory_;
  Precision precision_;
  OpsCounters counters_;
};

}  // namespace assay
