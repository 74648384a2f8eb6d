// Gemma 4 as its publishers state it: numbered comments are the steps of the published forward pass.
#include "oracles/reference/gemma4_decoder.h"

#include <cmath>
#include <memory>
#include <utility>

#include "engine/base/check.h"
#include "oracles/reference/arithmetic.h"
#include "oracles/reference/formulas.h"
#include "oracles/reference/linear.h"

namespace assay {
namespace {

struct Experts {
  Matrix router, gate_up, down;
  std::vector<float> router_scale, expert_scale, pre_norm, post_dense_norm, post_norm;
};

struct Layer {
  std::vector<float> attn_norm, query_norm, key_norm, post_attn_norm, ffn_norm, post_ffn_norm, post_ple_norm;
  std::vector<float> query_bias, key_bias, value_bias, out_bias;  // empty where the file has none
  Matrix query, key, value, attn_out, gate, up, down, ple_gate, ple_out;
  Experts moe;
  float scalar = 1;
};

struct Weights {
  ModelSpec spec;
  Matrix embed, head, ple_project;
  Table ple_embed;
  std::vector<float> final_norm, ple_project_norm;
  std::vector<Layer> layers;
};

template <class Arithmetic>
Experts LoadExperts(const WeightStore& store, int l, const Arithmetic& arithmetic) {
  Experts e;
  e.router = LoadMatrix(store, {Role::kRouter, l}, Exact{});  // the engine routes in float32 in every mode
  e.gate_up = LoadMatrix(store, {Role::kExpertGateUp, l}, arithmetic);
  e.down = LoadMatrix(store, {Role::kExpertDown, l}, arithmetic);
  e.router_scale = LoadVector(store, {Role::kRouterScale, l});
  if (store.Has({Role::kExpertScale, l})) e.expert_scale = LoadVector(store, {Role::kExpertScale, l});
  e.pre_norm = LoadVector(store, {Role::kPreExpertNorm, l});
  e.post_dense_norm = LoadVector(store, {Role::kPostDenseNorm, l});
  e.post_norm = LoadVector(store, {Role::kPostExpertNorm, l});
  return e;
}

template <class Arithmetic>
Layer LoadLayer(const WeightStore& store, int l, const Arithmetic& arithmetic) {
  const ModelSpec& spec = store.spec();
  const LayerSpec& geometry = spec.layer(l);
  const auto vector = [&](Role role) { return LoadVector(store, {role, l}); };
  const auto matrix = [&](Role role) { return LoadMatrix(store, {role, l}, arithmetic); };
  Layer layer;
  layer.attn_norm = vector(Role::kAttnNorm);
  layer.query = matrix(Role::kQuery);
  layer.query_norm = vector(Role::kQueryNorm);
  if (spec.OwnsKv(l)) {
    layer.key = matrix(Role::kKey);
    layer.key_norm = vector(Role::kKeyNorm);
    if (!geometry.value_is_key) layer.value = matrix(Role::kValue);
  }
  layer.attn_out = matrix(Role::kAttnOut);
  if (spec.qkv_bias) {
    layer.query_bias = vector(Role::kQueryBias);
    if (spec.OwnsKv(l)) layer.key_bias = vector(Role::kKeyBias);
    if (spec.OwnsKv(l) && !geometry.value_is_key) layer.value_bias = vector(Role::kValueBias);
  }
  if (spec.out_bias) layer.out_bias = vector(Role::kOutBias);
  layer.post_attn_norm = vector(Role::kPostAttnNorm);
  layer.ffn_norm = vector(Role::kFfnNorm);
  layer.gate = matrix(Role::kGate);
  layer.up = matrix(Role::kUp);
  layer.down = matrix(Role::kDown);
  layer.post_ffn_norm = vector(Role::kPostFfnNorm);
  if (geometry.experts > 0) layer.moe = LoadExperts(store, l, arithmetic);
  if (spec.ple_width > 0) {
    layer.ple_gate = matrix(Role::kPleGate);
    layer.ple_out = matrix(Role::kPleOut);
    layer.post_ple_norm = vector(Role::kPostPleNorm);
  }
  if (store.Has({Role::kLayerScalar, l})) layer.scalar = vector(Role::kLayerScalar).at(0);
  return layer;
}

template <class Arithmetic>
std::shared_ptr<const Weights> LoadWeights(const WeightStore& store, const Arithmetic& arithmetic) {
  auto w = std::make_shared<Weights>();
  w->spec = store.spec();
  w->embed = LoadMatrix(store, {Role::kEmbed}, arithmetic);
  if (!w->spec.tied_head) w->head = LoadMatrix(store, {Role::kHead}, arithmetic);
  w->final_norm = LoadVector(store, {Role::kFinalNorm});
  if (w->spec.ple_width > 0) {
    w->ple_embed = Table(store, {Role::kPleEmbed});
    w->ple_project = LoadMatrix(store, {Role::kPleProject}, arithmetic);
    w->ple_project_norm = LoadVector(store, {Role::kPleProjectNorm});
  }
  for (int l = 0; l < w->spec.layer_count(); ++l) w->layers.push_back(LoadLayer(store, l, arithmetic));
  return w;
}

template <class Arithmetic>
class Gemma4Decoder final : public ReferenceDecoder {
 public:
  using Real = typename Arithmetic::Real;
  using Vec = std::vector<Real>;

  Gemma4Decoder(std::shared_ptr<const Weights> weights, Arithmetic arithmetic, bool keep_hidden)
      : weights_(std::move(weights)),
        round_(arithmetic),
        keep_hidden_(keep_hidden),
        history_(weights_->layers.size()) {}

  const ModelSpec& spec() const override { return weights_->spec; }
  std::unique_ptr<ReferenceDecoder> Fork() const override { return std::make_unique<Gemma4Decoder>(*this); }

 private:
  ReferenceStep Forward(std::int32_t token, bool want_logits) override {
    const Weights& w = *weights_;
    const ModelSpec& s = w.spec;
    ReferenceStep step;
    const auto keep = [&](const Vec& x) {
      if (keep_hidden_) step.hidden.emplace_back(x.begin(), x.end());
    };

    // 1. Embedding: x = E[id] * sqrt(H).
    Vec x(w.embed.Row(token), w.embed.Row(token) + s.hidden);
    x = round_.Stream(Scaled(std::move(x), round_.Stream({Real{s.embed_scale}})[0]));
    const Vec ple = s.ple_width > 0 ? PleInputs(token, x) : Vec{};
    for (int l = 0; l < s.layer_count(); ++l) {
      keep(x);
      const Layer& layer = w.layers[l];
      Vec h = Attention(std::move(x), l);
      Vec y = FeedForward(std::move(h), l, layer);
      if (s.ple_width > 0) y = InjectPle(std::move(y), layer, ple, l);
      x = round_.Stream(Scaled(std::move(y), Real{layer.scalar}));  // 3.11
    }
    // 4. Head: z = Wlm rms(x, w_final); logits = c tanh(z / c).
    x = Norm(std::move(x), w.final_norm, s.norm_eps);
    keep(x);
    if (!want_logits) return step;
    const Vec z = Product(s.tied_head ? w.embed : w.head, round_.Operand(std::move(x)));
    step.raw.assign(z.begin(), z.end());
    for (const Real logit : z) step.capped.push_back(round_.Stream({Softcap(logit, s.softcap)})[0]);
    return step;
  }

  // 2. ple = (rms(Wmp x * H^-1/2, w_pp) + Eple[id] * sqrt(P)) * 2^-1/2, one row of P values for each layer.
  Vec PleInputs(std::int32_t token, const Vec& x) const {
    const Weights& w = *weights_;
    const std::size_t width = w.spec.ple_width;
    const Vec t = Scaled(Widened<Real>(w.ple_embed.Row(token)), std::sqrt(static_cast<Real>(width)));
    Vec c = Scaled(Product(w.ple_project, round_.Operand(x)), 1 / std::sqrt(static_cast<Real>(w.spec.hidden)));
    c = Norm(std::move(c), w.ple_project_norm, width, w.spec.norm_eps);
    return Scaled(Add(std::move(c), t), 1 / std::sqrt(Real{2}));
  }

  // 3.1 to 3.6. A layer that shares KV reads the history of the layer that owns it, the current token's entry included.
  Vec Attention(Vec x, int l) {
    const ModelSpec& s = spec();
    const LayerSpec& g = s.layer(l);
    const Layer& w = weights_->layers[l];
    const RopeSpec& rope = s.ropes[g.rope];
    const std::size_t dim = g.head_dim;

    const Vec n = round_.Operand(Norm(x, w.attn_norm, s.norm_eps));
    Vec q = Norm(Biased(Product(w.query, n), w.query_bias), w.query_norm, dim, s.norm_eps);
    q = round_.Attended(round_.Operand(Rope(std::move(q), rope, length())));
    if (s.OwnsKv(l)) {
      Vec k = Biased(Product(w.key, n), w.key_bias);
      Vec v = g.value_is_key ? k
                             : Biased(Product(w.value, n),
                                      w.value_bias);  // the raw projection: before the norm and before the rotation
      k = Rope(Norm(std::move(k), w.key_norm, dim, s.norm_eps), rope, length());
      v = Norm(std::move(v), {}, dim, s.norm_eps);
      history_[l].Write(length(), round_.Stored(std::move(k)), round_.Stored(std::move(v)));
    }
    const Vec o = Attend(q, history_[g.kv_source], length(), g, s.attn_scale,
                         [&](Vec p) { return round_.Attended(std::move(p)); });
    const Vec a = Biased(Product(w.attn_out, round_.Operand(o)), w.out_bias);
    return Add(std::move(x), Norm(a, w.post_attn_norm, s.norm_eps));
  }

  // 3.7 to 3.9. y = h + rms(f, w_post_ffw), f the dense branch, joined by the experts where there are any.
  Vec FeedForward(Vec h, int l, const Layer& w) const {
    const ModelSpec& s = spec();
    const Vec m = round_.Operand(Norm(h, w.ffn_norm, s.norm_eps));
    Vec f =
        Product(w.down, round_.Operand(Gated(s.activation, Product(w.gate, m), Product(w.up, m), round_.gelu_table())));
    const bool experts = s.layer(l).experts > 0;
    if (experts) f = Add(Norm(std::move(f), w.moe.post_dense_norm, s.norm_eps), Mixture(h, l, w.moe));
    return Add(std::move(h), Norm(std::move(f), w.post_ffn_norm, s.norm_eps));
  }

  // 3.8. The router looks at the residual itself; the weights of the chosen are renormalised, then scaled per expert.
  Vec Mixture(const Vec& h, int l, const Experts& w) const {
    const ModelSpec& s = spec();
    const LayerSpec& g = s.layer(l);
    const Vec r = Scaled(Norm(h, w.router_scale, s.norm_eps), 1 / std::sqrt(static_cast<Real>(s.hidden)));
    Vec p = Product(w.router, r);
    Softmax(p);
    const std::vector<std::size_t> order = Choose(l, std::vector<double>(p.begin(), p.end()), g.top_k);
    Real chosen = 0;
    for (const std::size_t e : order) chosen += p[e];

    const Vec m = round_.Operand(Norm(h, w.pre_norm, s.norm_eps));
    Vec sum(h.size());
    for (const std::size_t e : order) {
      const Vec both = Product(w.gate_up, m, static_cast<std::int64_t>(e));
      const auto middle = both.begin() + g.expert_ffn;
      const Vec gated = Gated(s.activation, Vec(both.begin(), middle), Vec(middle, both.end()), round_.gelu_table());
      const Vec y = Product(w.down, round_.Operand(gated), static_cast<std::int64_t>(e));
      const Real scale = w.expert_scale.empty() ? Real{1} : Real{w.expert_scale[e]};
      sum = Add(std::move(sum), Scaled(y, p[e] / chosen * scale));
    }
    return Norm(std::move(sum), w.post_norm, s.norm_eps);
  }

  // 3.10. y + rms(Wpp (gelu(Wpg y) * ple[l]), w_post_ple).
  Vec InjectPle(Vec y, const Layer& w, const Vec& ple, int l) const {
    const ModelSpec& s = spec();
    const auto slice = ple.begin() + std::ptrdiff_t{l} * s.ple_width;
    const Vec g = Gated(s.activation, Product(w.ple_gate, round_.Operand(y)), Vec(slice, slice + s.ple_width),
                        round_.gelu_table());
    const Vec out = Product(w.ple_out, round_.Operand(g));
    return Add(std::move(y), Norm(out, w.post_ple_norm, s.norm_eps));
  }

  // out[o] = sum_i w[expert][o][i] * x[i], x as the arithmetic rounds it for this matrix.
  Vec Product(const Matrix& w, Vec x, std::int64_t expert = 0) const {
    return round_.Stream(Multiply(w, round_.For(w, std::move(x)), expert));
  }
  Vec Add(Vec a, const Vec& b) const { return round_.Stream(Sum(std::move(a), b)); }
  template <class... Shape>
  Vec Norm(Vec x, const std::vector<float>& weight, Shape... shape) const {
    return round_.Stream(Rms(std::move(x), weight, shape...));
  }

  std::shared_ptr<const Weights> weights_;
  Arithmetic round_;
  bool keep_hidden_;
  std::vector<History<Real>> history_;  // [layers]; those of layers that share KV stay empty
};

template <class Arithmetic>
std::unique_ptr<ReferenceDecoder> Make(const WeightStore& store, bool keep_hidden, const Arithmetic& arithmetic) {
  return std::make_unique<Gemma4Decoder<Arithmetic>>(LoadWeights(store, arithmetic), arithmetic, keep_hidden);
}

}  // namespace

std::unique_ptr<ReferenceDecoder> MakeGemma4Reference(const WeightStore& store, const ReferenceOptions& options) {
  Describe(options);
  if (options.twin) return Make(store, options.keep_hidden, Rounded{*options.twin});
  return Make(store, options.keep_hidden, Exact{});
}

}  // namespace assay
