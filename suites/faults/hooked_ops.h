// Ops that change what an op is told or what it says, by functions: the op seam's faults of the catalogue are these and
// no code of their own. What is changed is copied to the host and back: on a device, steps whose feedback is changed
// are not recorded but made anew, by the same kernels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/base/quant.h"
#include "oracles/probes/forwarding_ops.h"

namespace assay {

using Witness = std::shared_ptr<bool>;  // whether the fault has changed anything

// What hooks change things with; every change that is one sets the witness.
class Edit {
 public:
  Edit(Ops& ops, Witness engaged) : ops_(ops), engaged_(std::move(engaged)) {}

  template <class T, class U>
  void Set(T& field, U value) {
    const T to = static_cast<T>(value);
    if (field != to) *engaged_ = true;
    field = to;
  }
  // A row description of which one array is changed; lives until the next op.
  using Ints = std::vector<std::int32_t>;
  using IntEdit = std::function<void(Ints&)>;
  void Token(const Rows*& rows, const IntEdit& edit) { Array(rows, &Rows::token, 0, edit); }
  void Position(const Rows*& rows, const IntEdit& edit) { Array(rows, &Rows::position, 1, edit); }
  void Session(const Rows*& rows, const IntEdit& edit) { Array(rows, &Rows::session, 2, edit); }

  // Numbers in device memory, in place.
  using Floats = std::vector<float>;
  using FloatEdit = std::function<void(Floats&)>;
  void Values(const float* data, std::int64_t count, const FloatEdit& edit) {
    Floats values(static_cast<std::size_t>(count));
    ops_.memory().CopyOut(values.data(), data, values.size() * sizeof(float));
    const Floats before = values;
    edit(values);
    Note(before != values);
    ops_.memory().CopyIn(const_cast<float*>(data), values.data(), values.size() * sizeof(float));
  }
  void Numbers(std::int32_t* data, std::int64_t count, const IntEdit& edit) {
    Ints values(static_cast<std::size_t>(count));
    ops_.memory().CopyOut(values.data(), data, values.size() * sizeof(std::int32_t));
    const Ints before = values;
    edit(values);
    Note(before != values);
    ops_.memory().CopyIn(data, values.data(), values.size() * sizeof(std::int32_t));
  }
  // Numbers of a type that ops write, from element `first` on, in place.
  void Stored(DType type, void* data, std::int64_t first, std::int64_t count, const FloatEdit& edit) {
    std::vector<std::byte> bytes(StoredBytes(type, 1, count));
    std::byte* const at = static_cast<std::byte*>(data) + static_cast<std::int64_t>(StoredBytes(type, 1, first));
    ops_.memory().CopyOut(bytes.data(), at, bytes.size());
    Floats values(static_cast<std::size_t>(count));
    DequantiseRow(type, bytes.data(), values.data(), count);
    const Floats before = values;
    edit(values);
    Note(before != values);
    QuantiseRow(type, values.data(), bytes.data(), count);
    ops_.memory().CopyIn(at, bytes.data(), bytes.size());
  }
  void Operand(void* data, std::int64_t first, std::int64_t count, const FloatEdit& edit) {
    Stored(precision().operands, data, first, count, edit);
  }
  // Keys or values.
  void Cached(void* data, std::int64_t first, std::int64_t count, const FloatEdit& edit) {
    Stored(precision().kv, data, first, count, edit);
  }
  void Note(bool changed) { *engaged_ = *engaged_ || changed; }
  Site site() const { return ops_.site(); }
  Precision precision() const { return ops_.precision(); }
  Ops& ops() { return ops_; }

 private:
  void Array(const Rows*& rows, const std::int32_t* Rows::*field, int slot, const IntEdit& edit) {
    Ints values(static_cast<std::size_t>(rows->count));
    ops_.memory().CopyOut(values.data(), rows->*field, values.size() * sizeof(std::int32_t));
    const Ints before = values;
    edit(values);
    Note(before != values);
    arrays_[slot] = Buffer(ops_.memory(), values.size() * sizeof(std::int32_t), "edited rows");
    ops_.memory().CopyIn(arrays_[slot].data(), values.data(), values.size() * sizeof(std::int32_t));
    rows_ = *rows;
    rows_.*field = arrays_[slot].as<std::int32_t>();
    rows = &rows_;
  }

  Ops& ops_;
  Witness engaged_;
  Rows rows_;
  Buffer arrays_[3];
};

// Functions around the calls of an op: `x` before it, on its arguments, `x_out` after it.
struct Hooks {
  template <class Args>
  using Hook = std::function<void(Args&, Edit&)>;
  struct MatMulArgs {
    float* out;
    const Weight* w;
    const void* x;
    int rows;
  };
  struct GatedArgs {
    void* operand;
    const Weight* w;
    const void* x;
    int rows;
    Activation activation;
  };
  struct BiasArgs {
    float* x;
    const float* bias;
    int rows, width;
  };
  struct GatherArgs {
    void* out;
    const void* in;
    const std::int32_t* index;
    int count;
    std::int64_t row_bytes;
  };
  Hook<Ops::EmbedArgs> embed{}, embed_out{};
  Hook<Ops::PleInputArgs> ple_input{}, ple_input_out{};
  Hook<Ops::NormArgs> norm{}, norm_out{};
  Hook<Ops::ResidualArgs> residual{}, residual_out{};
  Hook<BiasArgs> bias{}, bias_out{};
  Hook<Ops::JoinArgs> join{}, join_out{};
  Hook<MatMulArgs> matmul{}, matmul_out{};
  Hook<GatedArgs> gated{}, gated_out{};
  Hook<Ops::PleGateArgs> ple_gate{}, ple_gate_out{};
  Hook<Ops::QkvArgs> qkv{}, qkv_out{};
  Hook<Ops::AttentionArgs> attention{}, attention_out{};
  Hook<Ops::RouteArgs> route{}, route_out{};
  Hook<Ops::ExpertGatedArgs> expert_gated{}, expert_gated_out{};
  Hook<Ops::ExpertDownArgs> expert_down{}, expert_down_out{};
  Hook<Ops::LogitsArgs> logits{}, logits_out{};
  Hook<GatherArgs> gather{}, gather_out{};
  Hook<Ops::AdvanceArgs> advance{}, advance_out{};
};

// A recorded step that is made anew at every launch: hooks can look into it on a device too.
class StepMadeAnew final : public StepGraph {
 public:
  explicit StepMadeAnew(std::function<void()> body) : body_(std::move(body)) {}
  void Launch() override { body_(); }
  std::int64_t nodes() const override { return 0; }
  std::vector<std::string> kernels() const override { return {}; }

 private:
  std::function<void()> body_;
};

class HookedOps : public ForwardingOps {
 public:
  HookedOps(Ops& inner, Hooks hooks, Witness engaged)
      : ForwardingOps(inner), hooks_(std::move(hooks)), edit_(inner, std::move(engaged)) {}

  void Embed(const EmbedArgs& args) override {
    Call(args, hooks_.embed, hooks_.embed_out, [&](const auto& a) { inner_.Embed(a); });
  }
  void PleInput(const PleInputArgs& args) override {
    Call(args, hooks_.ple_input, hooks_.ple_input_out, [&](const auto& a) { inner_.PleInput(a); });
  }
  void Norm(const NormArgs& args) override {
    Call(args, hooks_.norm, hooks_.norm_out, [&](const auto& a) { inner_.Norm(a); });
  }
  void Residual(const ResidualArgs& args) override {
    Call(args, hooks_.residual, hooks_.residual_out, [&](const auto& a) { inner_.Residual(a); });
  }
  void AddBias(float* x, const float* bias, int rows, int width) override {
    Call(Hooks::BiasArgs{x, bias, rows, width}, hooks_.bias, hooks_.bias_out,
         [&](const auto& a) { inner_.AddBias(a.x, a.bias, a.rows, a.width); });
  }
  void Join(const JoinArgs& args) override {
    Call(args, hooks_.join, hooks_.join_out, [&](const auto& a) { inner_.Join(a); });
  }
  void MatMul(float* out, const Weight& w, const void* x, int rows) override {
    Call(Hooks::MatMulArgs{out, &w, x, rows}, hooks_.matmul, hooks_.matmul_out,
         [&](const auto& a) { inner_.MatMul(a.out, *a.w, a.x, a.rows); });
  }
  void GatedMatMul(void* operand, const Weight& w, const void* x, int rows, Activation activation) override {
    Call(Hooks::GatedArgs{operand, &w, x, rows, activation}, hooks_.gated, hooks_.gated_out,
         [&](const auto& a) { inner_.GatedMatMul(a.operand, *a.w, a.x, a.rows, a.activation); });
  }
  void PleGate(const PleGateArgs& args) override {
    Call(args, hooks_.ple_gate, hooks_.ple_gate_out, [&](const auto& a) { inner_.PleGate(a); });
  }
  void Qkv(const QkvArgs& args) override {
    Call(args, hooks_.qkv, hooks_.qkv_out, [&](const auto& a) { inner_.Qkv(a); });
  }
  void Attention(const AttentionArgs& args) override {
    Call(args, hooks_.attention, hooks_.attention_out, [&](const auto& a) { inner_.Attention(a); });
  }
  void Route(const RouteArgs& args) override {
    Call(args, hooks_.route, hooks_.route_out, [&](const auto& a) { inner_.Route(a); });
  }
  void ExpertGated(const ExpertGatedArgs& args) override {
    Call(args, hooks_.expert_gated, hooks_.expert_gated_out, [&](const auto& a) { inner_.ExpertGated(a); });
  }
  void ExpertDown(const ExpertDownArgs& args) override {
    Call(args, hooks_.expert_down, hooks_.expert_down_out, [&](const auto& a) { inner_.ExpertDown(a); });
  }
  void Logits(const LogitsArgs& args) override {
    Call(args, hooks_.logits, hooks_.logits_out, [&](const auto& a) { inner_.Logits(a); });
  }
  void GatherRows(void* out, const void* in, const std::int32_t* index, int count, std::int64_t row_bytes) override {
    Call(Hooks::GatherArgs{out, in, index, count, row_bytes}, hooks_.gather, hooks_.gather_out,
         [&](const auto& a) { inner_.GatherRows(a.out, a.in, a.index, a.count, a.row_bytes); });
  }
  std::unique_ptr<StepGraph> Capture(const std::function<void()>& body) override {
    // Edits copy to the host and back, which a step that is being recorded refuses.
    if (on_host()) return ForwardingOps::Capture(body);
    return std::make_unique<StepMadeAnew>(body);
  }
  void Advance(const AdvanceArgs& args) override {
    Call(args, hooks_.advance, hooks_.advance_out, [&](const auto& a) { inner_.Advance(a); });
  }

 private:
  template <class Args, class Inner>
  void Call(const Args& args, const Hooks::Hook<Args>& before, const Hooks::Hook<Args>& after, Inner&& inner) {
    Args changed = args;
    if (before) before(changed, edit_);
    inner(changed);
    if (after) after(changed, edit_);
  }

  Hooks hooks_;
  Edit edit_;
};

}  // namespace assay
