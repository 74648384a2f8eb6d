// Ops whose every call is computed again in float64, from the very inputs that the call had, and judged element by
// element. A wrong op is named where it goes wrong: step, layer, op, row, element, both values and what may lie between
// them. Faults in what an op is told (a wrong argument) are not its own and are not seen.
//
// Bounds are those of rounding: gamma_K = (K + c) 2^-24 times the sum of absolute terms for a sum of K terms, and half
// a place of the result's type where it is rounded. Inputs that are not finite are not judged.
//
// Copies inputs and outputs to the host: not for steps that are recorded on a device.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "oracles/probes/forwarding_ops.h"
#include "oracles/verdict/tally.h"

namespace assay {

class CheckingOps : public ForwardingOps {
 public:
  // Judgements of metric "op", one for each output of each call: value = error over what rounding allows, at most 1.
  using Sink = std::function<void(const Judgement&)>;
  CheckingOps(Ops& inner, Sink sink) : ForwardingOps(inner), sink_(std::move(sink)) {}

  std::unique_ptr<Weight> Prepare(const std::vector<HostTensor>& parts, WeightUse use) override;
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

 private:
  using Floats = std::vector<float>;
  using Ints = std::vector<std::int32_t>;

  // A number and how far float32 arithmetic may be from it.
  struct Real {
    double value = 0, error = 0;
  };
  using Reals = std::vector<Real>;
  struct Values {
    std::int64_t rows = 0, cols = 0;
    std::vector<HostTensor> parts;  // what it was prepared from, until it is first asked for
    WeightUse use = WeightUse::kMatrix;
    Floats all{};         // [experts, rows, cols]
    double rounding = 0;  // of a value on its way into a product, relative
    const float* Row(std::int64_t expert, std::int64_t row) const { return all.data() + (expert * rows + row) * cols; }
  };

  Floats Read(const float* data, std::int64_t count);
  Ints Read(const std::int32_t* data, std::int64_t count);
  Floats ReadAs(DType type, const void* data, std::int64_t count);
  Floats ReadOperand(const void* data, std::int64_t count) { return ReadAs(precision().operands, data, count); }
  const Values& Of(const Weight& weight);

  // What the rounding of a factor to the mode's type may add on a device, relative to the sum of a product's sizes.
  double DeviceRounding() const;
  static Real Product(const float* w, const float* x, std::int64_t cols, double rounding = 0);
  // x * (mean(x^2) + eps)^-1/2 * weight, in place; a null weight is 1.
  static void Rms(Real* x, const float* weight, int width, float eps);
  static Real Activated(Activation activation, const Real& x);
  static Real Times(const Real& a, const Real& b);
  void Rotate(Real* head, int head_dim, int position, const Floats& inv_freq) const;
  Real Score(const float* q, const float* k, int head_dim) const;

  // Judges `found` [rows, width], which the op rounded to `type`, against `expected`.
  void Judge(const char* what, const Floats& found, const Reals& expected, std::int64_t width,
             DType type = DType::kF32);
  void Same(const char* what, const Ints& found, const Ints& expected, std::int64_t width);
  void Put(const char* what, double worst, std::int64_t row, std::int64_t element, const std::string& detail);

  Sink sink_;
  std::map<const Weight*, Values> weights_;
  std::int64_t step_ = -1;  // calls of Embed before
};

}  // namespace assay
