// One forward pass for all families, each part present when the spec says so; numbers are the steps of Gemma 4's
// published forward pass, as in gemma4_decoder.cc.
#include "oracles/reference/single_user_cuda.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/memory/cuda_device.h"
#include "oracles/reference/single_user_weights.cuh"

namespace assay {
namespace {

using namespace single_user;  // NOLINT: the kernels are written for this file

constexpr int kGrowth = 256;  // positions

unsigned Blocks(std::int64_t count, std::int64_t per_block) {
  return static_cast<unsigned>((count + per_block - 1) / per_block);
}

std::int64_t KvWidth(const LayerSpec& g) { return std::int64_t{g.kv_heads} * g.head_dim; }

// Largest widths of the model, for scratch.
struct Widths {
  std::int64_t hidden = 0, heads = 0, kv = 0, ffn = 0, experts = 0, query_heads = 0, ple = 0;
  explicit Widths(const ModelSpec& s) : hidden(s.hidden), ple(std::int64_t{s.ple_width} * s.layer_count()) {
    for (const LayerSpec& g : s.layers) {
      heads = std::max(heads, std::int64_t{g.heads} * g.head_dim);
      kv = std::max(kv, KvWidth(g));
      ffn = std::max({ffn, std::int64_t{g.ffn}, std::int64_t{2} * g.expert_ffn});
      experts = std::max(experts, std::int64_t{g.experts});
      query_heads = std::max(query_heads, std::int64_t{g.heads});
    }
  }
};

// Keys and values of one layer, [position][kv_heads * head_dim].
template <class Real>
struct DeviceHistory {
  DeviceArray<Real> keys, values;
};

// What is rounded, and to which type: TwinArithmetic.
struct Roundings {
  Rounding operand = Rounding::kNone, cache = Rounding::kNone, attended = Rounding::kNone, stream = Rounding::kNone;
};

template <class Real>
class SingleUser final : public ReferenceDecoder {
 public:
  using Vec = DeviceArray<Real>;

  SingleUser(std::shared_ptr<const CudaReferenceWeights> weights, const Roundings& roundings, bool keep_hidden)
      : weights_(std::move(weights)),
        round_(roundings),
        keep_hidden_(keep_hidden),
        history_(weights_->spec.layers.size()) {
    MakeBuffers();
  }
  // The same weights and a copy of the history so far.
  SingleUser(const SingleUser& other)
      : ReferenceDecoder(other),
        weights_(other.weights_),
        round_(other.round_),
        keep_hidden_(other.keep_hidden_),
        history_(other.history_.size()) {
    MakeBuffers();
    if (length() == 0) return;
    Reserve(length());
    for (int l = 0; l < spec().layer_count(); ++l) {
      if (!spec().OwnsKv(l)) continue;
      const std::int64_t count = length() * KvWidth(spec().layer(l));
      Copy(history_[l].keys.data(), other.history_[l].keys.data(), count);
      Copy(history_[l].values.data(), other.history_[l].values.data(), count);
    }
  }

  const ModelSpec& spec() const override { return weights_->spec; }
  std::unique_ptr<ReferenceDecoder> Fork() const override {
    const DeviceScope scope(weights_->device);
    return std::make_unique<SingleUser>(*this);
  }

 private:
  // What a token's pass goes through.
  void MakeBuffers() {
    const Widths most(spec());
    const auto make = [](Vec& vec, std::int64_t count, const char* what) { vec = Vec(count, what); };
    make(x_, most.hidden, "residual");
    make(n_, most.hidden, "normed");
    make(a_, most.hidden, "sublayer");
    make(y_, most.hidden, "expert");
    make(mix_, most.hidden, "mixture");
    make(q_, most.heads, "queries");
    make(o_, most.heads, "attention");
    make(k_, most.kv, "key");
    make(v_, most.kv, "value");
    make(gate_, std::max<std::int64_t>(most.ffn, spec().ple_width), "gate");
    make(up_, most.ffn, "up");
    make(router_, most.experts, "router");
    make(ple_, most.ple, "per-layer inputs");
    make(row_, most.ple, "per-layer embedding");
    make(z_, spec().vocab, "logits");
  }

  ReferenceStep Forward(std::int32_t token, bool want_logits) override {
    const DeviceScope scope(weights_->device);
    const ModelSpec& s = spec();
    Reserve(length() + 1);
    ReferenceStep step;
    // 1. x = E[id] * embed_scale.
    LookUp(x_, weights_->At(Role::kEmbed), token, static_cast<Real>(Rounded(s.embed_scale, round_.stream)));
    Stream(x_.data(), s.hidden);
    if (s.ple_width > 0) PleInputs(token);
    for (int l = 0; l < s.layer_count(); ++l) {
      Keep(step, x_);
      Attention(l);
      FeedForward(l);
      if (s.ple_width > 0) InjectPle(l);
      Scale(x_.data(), s.hidden, static_cast<Real>(weights_->Factor(Role::kLayerScalar, l, 0)));  // 3.11
      Stream(x_.data(), s.hidden);
    }
    // 4. z = Wlm rms(x, w_final); logits = c tanh(z / c).
    Norm(n_.data(), x_.data(), weights_->Vector(Role::kFinalNorm), s.hidden);
    Keep(step, n_);
    if (!want_logits) return step;
    Operand(n_.data(), n_.data(), s.hidden);
    Multiply(z_.data(), weights_->At(s.tied_head ? Role::kEmbed : Role::kHead), n_.data());
    step.raw = Widened(z_, s.vocab);
    if (s.softcap > 0) {
      CapKernel<<<Blocks(s.vocab, 256), 256>>>(z_.data(), z_.data(), s.vocab, static_cast<Real>(s.softcap));
      Launched("softcap");
      Stream(z_.data(), s.vocab);
    }
    step.capped = Widened(z_, s.vocab);
    return step;
  }

  // 2. ple = (rms(Wmp x * H^-1/2, w_pp) + Eple[id] * sqrt(P)) * 2^-1/2, one row of P values for each layer.
  void PleInputs(std::int32_t token) {
    const ModelSpec& s = spec();
    const std::int64_t count = std::int64_t{s.ple_width} * s.layer_count();
    Operand(n_.data(), x_.data(), s.hidden);
    Multiply(ple_.data(), weights_->At(Role::kPleProject), n_.data());
    Scale(ple_.data(), count, 1 / std::sqrt(static_cast<Real>(s.hidden)));
    Norm(ple_.data(), ple_.data(), weights_->Vector(Role::kPleProjectNorm), s.ple_width, s.layer_count());
    LookUp(row_, weights_->At(Role::kPleEmbed), token, std::sqrt(static_cast<Real>(s.ple_width)));
    Join(ple_.data(), row_.data(), count);
    Scale(ple_.data(), count, 1 / std::sqrt(Real{2}));
  }

  // 3.1 to 3.6. A layer that shares KV reads the history of the layer that owns it, the current token's entry included.
  void Attention(int l) {
    const ModelSpec& s = spec();
    const LayerSpec& g = s.layer(l);
    const std::int64_t heads = std::int64_t{g.heads} * g.head_dim, kv = KvWidth(g);
    const bool owns = s.OwnsKv(l);

    Norm(n_.data(), x_.data(), weights_->Vector(Role::kAttnNorm, l), s.hidden);
    Operand(n_.data(), n_.data(), s.hidden);
    Multiply(q_.data(), weights_->At(Role::kQuery, l), n_.data());
    if (owns) Multiply(k_.data(), weights_->At(Role::kKey, l), n_.data());
    if (owns && !g.value_is_key) Multiply(v_.data(), weights_->At(Role::kValue, l), n_.data());
    if (s.qkv_bias) {
      Add(q_.data(), weights_->Vector(Role::kQueryBias, l), heads);
      if (owns) Add(k_.data(), weights_->Vector(Role::kKeyBias, l), kv);
      if (owns && !g.value_is_key) Add(v_.data(), weights_->Vector(Role::kValueBias, l), kv);
    }
    if (owns && g.value_is_key) Copy(v_.data(), k_.data(), kv);  // the raw projection: before norm and rotation
    if (s.qk_norm) {
      Norm(q_.data(), q_.data(), weights_->Vector(Role::kQueryNorm, l), g.head_dim, g.heads);
      if (owns) Norm(k_.data(), k_.data(), weights_->Vector(Role::kKeyNorm, l), g.head_dim, g.kv_heads);
    }
    if (owns && s.v_norm) Norm(v_.data(), v_.data(), nullptr, g.head_dim, g.kv_heads);
    Rope(q_.data(), g, g.heads);
    Operand(q_.data(), q_.data(), heads);
    Round(q_.data(), q_.data(), heads, round_.attended);
    if (owns) {
      DeviceHistory<Real>& own = history_[l];
      const std::int64_t at = std::int64_t{length()} * kv;
      Rope(k_.data(), g, g.kv_heads);
      Round(own.keys.data() + at, k_.data(), kv, round_.cache);
      Round(own.values.data() + at, v_.data(), kv, round_.cache);
    }
    Attend(g);
    Operand(o_.data(), o_.data(), heads);
    Multiply(a_.data(), weights_->At(Role::kAttnOut, l), o_.data());
    if (s.out_bias) Add(a_.data(), weights_->Vector(Role::kOutBias, l), s.hidden);
    if (s.post_norms) Norm(a_.data(), a_.data(), weights_->Vector(Role::kPostAttnNorm, l), s.hidden);
    Join(x_.data(), a_.data(), s.hidden);
  }

  // o_h = sum_j softmax_j(scale * q_h . k_j) v_j over positions j <= length(), on sliding layers the last `window` of
  // them.
  void Attend(const LayerSpec& g) {
    const DeviceHistory<Real>& source = history_[g.kv_source];
    const int first = g.window > 0 ? std::max(0, length() - g.window + 1) : 0;
    const Span span{KvWidth(g), first, length() + 1 - first, g.head_dim, g.heads / g.kv_heads};
    const auto heads = static_cast<unsigned>(g.heads);
    ScoreKernel<<<dim3(Blocks(span.count, 8), heads), 256>>>(scores_.data(), q_.data(), source.keys.data(), span,
                                                             static_cast<Real>(spec().attn_scale));
    SoftmaxKernel<<<heads, 256>>>(scores_.data(), span.count);
    Round(scores_.data(), scores_.data(), std::int64_t{g.heads} * span.count, round_.attended);
    MixKernel<<<dim3(Blocks(g.head_dim, 32), heads), dim3(32, kMixGroups)>>>(o_.data(), scores_.data(),
                                                                             source.values.data(), span);
    Launched("attention");
  }

  // 3.7 to 3.9. x + rms(f, w_post_ffw), f the dense branch, joined by the experts where there are any.
  void FeedForward(int l) {
    const ModelSpec& s = spec();
    const LayerSpec& g = s.layer(l);
    Norm(n_.data(), x_.data(), weights_->Vector(Role::kFfnNorm, l), s.hidden);
    Operand(n_.data(), n_.data(), s.hidden);
    Multiply(gate_.data(), weights_->At(Role::kGate, l), n_.data());
    Multiply(up_.data(), weights_->At(Role::kUp, l), n_.data());
    Gate(gate_.data(), up_.data(), g.ffn);
    Multiply(a_.data(), weights_->At(Role::kDown, l), gate_.data());
    if (g.experts > 0) {
      Norm(a_.data(), a_.data(), weights_->Vector(Role::kPostDenseNorm, l), s.hidden);
      Mixture(l, g);
      Join(a_.data(), mix_.data(), s.hidden);
    }
    if (s.post_norms) Norm(a_.data(), a_.data(), weights_->Vector(Role::kPostFfnNorm, l), s.hidden);
    Join(x_.data(), a_.data(), s.hidden);
  }

  // 3.8. The router looks at the residual itself; the weights of the chosen are renormalised, then scaled per expert.
  void Mixture(int l, const LayerSpec& g) {
    const ModelSpec& s = spec();
    Norm(n_.data(), x_.data(), weights_->Vector(Role::kRouterScale, l), s.hidden);
    Scale(n_.data(), s.hidden, 1 / std::sqrt(static_cast<Real>(s.hidden)));
    Multiply(router_.data(), weights_->At(Role::kRouter, l), n_.data());
    SoftmaxKernel<<<1, 256>>>(router_.data(), g.experts);
    Launched("router");
    const std::vector<Real> p = router_.Read(g.experts);
    const std::vector<std::size_t> order = Choose(l, std::vector<double>(p.begin(), p.end()), g.top_k);
    Real chosen = 0;
    for (const std::size_t e : order) chosen += p[e];

    Norm(n_.data(), x_.data(), weights_->Vector(Role::kPreExpertNorm, l), s.hidden);
    Operand(n_.data(), n_.data(), s.hidden);
    Check(cudaMemsetAsync(mix_.data(), 0, mix_.bytes()), "mixture");
    for (const std::size_t e : order) {
      const auto expert = static_cast<std::int64_t>(e);
      Multiply(gate_.data(), weights_->At(Role::kExpertGateUp, l), n_.data(), expert);
      Gate(gate_.data(), gate_.data() + g.expert_ffn, g.expert_ffn);
      Multiply(y_.data(), weights_->At(Role::kExpertDown, l), gate_.data(), expert);
      Join(mix_.data(), y_.data(), s.hidden,
           p[e] / chosen * static_cast<Real>(weights_->Factor(Role::kExpertScale, l, e)));
    }
    Norm(mix_.data(), mix_.data(), weights_->Vector(Role::kPostExpertNorm, l), s.hidden);
  }

  // 3.10. x + rms(Wpp (gelu(Wpg x) * ple[l]), w_post_ple).
  void InjectPle(int l) {
    const ModelSpec& s = spec();
    Operand(n_.data(), x_.data(), s.hidden);
    Multiply(gate_.data(), weights_->At(Role::kPleGate, l), n_.data());
    Gate(gate_.data(), ple_.data() + std::int64_t{l} * s.ple_width, s.ple_width);
    Multiply(a_.data(), weights_->At(Role::kPleOut, l), gate_.data());
    Norm(a_.data(), a_.data(), weights_->Vector(Role::kPostPleNorm, l), s.hidden);
    Join(x_.data(), a_.data(), s.hidden);
  }

  // Room for `positions` in every history that is written, and for a score of each.
  void Reserve(int positions) {
    if (positions <= room_) return;
    const int room = (positions + kGrowth - 1) / kGrowth * kGrowth;
    for (int l = 0; l < spec().layer_count(); ++l) {
      if (!spec().OwnsKv(l)) continue;
      const std::size_t count = room * KvWidth(spec().layer(l));
      history_[l].keys.Grow(count);
      history_[l].values.Grow(count);
    }
    scores_ = Vec(room * Widths(spec()).query_heads, "scores");
    room_ = room;
  }

  static void Launched(const char* what) { Check(cudaGetLastError(), what); }
  Rounding RoundingOf(const DeviceTensor& w) const { return w.rounded ? round_.operand : Rounding::kNone; }

  void Multiply(Real* out, const DeviceTensor& w, const Real* x, std::int64_t expert = 0) const {
    WithType(w, expert * w.rows, [&](auto* first) {
      using W = std::remove_const_t<std::remove_pointer_t<decltype(first)>>;
      constexpr int kPack = 16 / static_cast<int>(sizeof(W));
      const unsigned blocks = Blocks(w.rows, kRowsPerBlock);
      if (w.cols % kPack == 0) {
        ProductKernel<kPack><<<blocks, kThreads>>>(out, first, x, w.rows, w.cols, RoundingOf(w));
      } else {
        ProductKernel<1><<<blocks, kThreads>>>(out, first, x, w.rows, w.cols, RoundingOf(w));
      }
    });
    Launched("product");
    Stream(out, w.rows);
  }

  void LookUp(const Vec& out, const DeviceTensor& table, std::int64_t row, Real scale) const {
    WithType(table, row, [&](auto* first) {
      LookUpKernel<<<Blocks(table.cols, 256), 256>>>(out.data(), first, table.cols, scale, RoundingOf(table));
    });
    Launched("look-up");
  }

  void Norm(Real* out, const Real* x, const float* weight, int width, int runs = 1) const {
    RmsKernel<<<static_cast<unsigned>(runs), runs == 1 ? 512 : 128>>>(out, x, weight, width, spec().norm_eps);
    Launched("norm");
    Stream(out, std::int64_t{width} * runs);
  }

  void Rope(Real* x, const LayerSpec& g, int heads) const {
    RopeKernel<<<static_cast<unsigned>(heads), 128>>>(
        x, weights_->inv_freq[g.rope].data(), static_cast<Real>(spec().ropes[g.rope].gain), g.head_dim / 2, length());
    Launched("rope");
  }

  static void Round(Real* out, const Real* x, std::int64_t count, Rounding rounding) {
    if (out == x && rounding == Rounding::kNone) return;
    RoundKernel<<<Blocks(count, 256), 256>>>(out, x, count, rounding);
    Launched("rounding");
  }

  // What the engine keeps in its operand type.
  void Operand(Real* out, const Real* x, std::int64_t count) const { Round(out, x, count, round_.operand); }
  // What one operation hands to the next.
  void Stream(Real* x, std::int64_t count) const { Round(x, x, count, round_.stream); }

  // gate = operand(act(gate) * up).
  void Gate(Real* gate, const Real* up, std::int64_t count) const {
    GateKernel<<<Blocks(count, 256), 256>>>(gate, up, count, spec().activation == Activation::kSilu);
    Launched("gate");
    Operand(gate, gate, count);
  }

  template <class Addend>
  static void Add(Real* sum, const Addend* a, std::int64_t count, Real factor = 1) {
    AddKernel<<<Blocks(count, 256), 256>>>(sum, a, count, factor);
    Launched("add");
  }

  // A sum that is handed on.
  void Join(Real* sum, const Real* a, std::int64_t count, Real factor = 1) const {
    Add(sum, a, count, factor);
    Stream(sum, count);
  }

  static void Scale(Real* x, std::int64_t count, Real factor) {
    ScaleKernel<<<Blocks(count, 256), 256>>>(x, count, factor);
    Launched("scale");
  }

  static void Copy(Real* to, const Real* from, std::int64_t count) {
    Check(cudaMemcpyAsync(to, from, count * sizeof(Real), cudaMemcpyDeviceToDevice), "copy");
  }

  static std::vector<double> Widened(const Vec& values, int count) {
    const std::vector<Real> read = values.Read(count);
    return {read.begin(), read.end()};
  }

  void Keep(ReferenceStep& step, const Vec& values) const {
    if (keep_hidden_) step.hidden.push_back(Widened(values, spec().hidden));
  }

  std::shared_ptr<const CudaReferenceWeights> weights_;
  Roundings round_;
  bool keep_hidden_;
  int room_ = 0;
  std::vector<DeviceHistory<Real>> history_;  // [layers]; those of layers that share KV stay empty
  Vec x_, n_, a_, y_, mix_, q_, o_, k_, v_, gate_, up_, router_, ple_, row_, z_, scores_;
};

Rounding RoundingFor(DType type) {
  switch (type) {
    case DType::kF32:
      return Rounding::kNone;
    case DType::kF16:
      return Rounding::kF16;
    case DType::kBF16:
      return Rounding::kBF16;
    case DType::kF8_E4M3:
      return Rounding::kF8;
    default:
      Throw<>("a twin rounds to F32, F16, BF16 or, keys and values, F8_E4M3, not to {}", Name(type));
  }
}

}  // namespace

std::shared_ptr<const CudaReferenceWeights> UploadForReference(const WeightStore& store, const Device& device) {
  Require(!device.on_host(), "single-user CUDA reference: expected a CUDA device, found {}", device.name());
  const DeviceScope scope(device.index);
  return std::make_shared<const CudaReferenceWeights>(store, device.index);
}

std::unique_ptr<ReferenceDecoder> MakeCudaReference(std::shared_ptr<const CudaReferenceWeights> weights,
                                                    const ReferenceOptions& options) {
  const DeviceScope scope(weights->device);
  if (!options.twin) return std::make_unique<SingleUser<double>>(std::move(weights), Roundings{}, options.keep_hidden);
  const TwinArithmetic& twin = *options.twin;
  TwinArithmetic here(Precision{twin.operands, twin.cache});
  here.stream = twin.stream;
  Require(twin == here && (twin.cache == twin.operands || twin.cache == DType::kF8_E4M3),
          "the twin on a device, as large models have it, does not round to: {}", Describe(twin));
  Roundings roundings{
      .operand = RoundingFor(twin.operands), .cache = RoundingFor(twin.cache), .stream = RoundingFor(twin.stream)};
  // Queries and weights of the softmax, where what one operation hands to the next is rounded.
  if (twin.stream != DType::kF32 && twin.cache != DType::kF8_E4M3) roundings.attended = roundings.cache;
  return std::make_unique<SingleUser<float>>(std::move(weights), roundings, options.keep_hidden);
}

std::unique_ptr<ReferenceDecoder> MakeCudaReference(const WeightStore& store, const ReferenceOptions& options,
                                                    const Device& device) {
  return MakeCudaReference(UploadForReference(store, device), options);
}

}  // namespace assay
