#include "oracles/reference/dense_decoder.h"

#include <memory>
#include <utility>

#include "engine/base/check.h"
#include "oracles/reference/arithmetic.h"
#include "oracles/reference/formulas.h"
#include "oracles/reference/linear.h"

namespace assay {
namespace {

// Vectors are empty where the family has no such tensor.
struct Layer {
  std::vector<float> attn_norm, post_attn_norm, ffn_norm, post_ffn_norm;
  std::vector<float> query_norm, key_norm, query_bias, key_bias, value_bias, out_bias;
  Matrix query, key, value, attn_out, gate, up, down;
};

struct Weights {
  ModelSpec spec;
  Matrix embed, head;  // head is empty when it is the embedding
  std::vector<float> final_norm;
  std::vector<Layer> layers;
};

void RequireDense(const ModelSpec& spec) {
  Require(spec.ple_width == 0 && !spec.layer_scalar && !spec.v_norm,
          "{}: family {} with per-layer embeddings, layer scalars or a value norm: no reference covers it", spec.name,
          spec.family);
  for (int l = 0; l < spec.layer_count(); ++l) {
    const LayerSpec& layer = spec.layer(l);
    Require(spec.OwnsKv(l) && !layer.value_is_key && layer.experts == 0,
            "{}: layer {} of family {} shares KV, has no v projection or has experts: no reference covers it",
            spec.name, l, spec.family);
  }
}

template <class Arithmetic>
std::shared_ptr<const Weights> LoadWeights(const WeightStore& store, const Arithmetic& arithmetic) {
  const auto vector = [&](Role role, int layer) { return LoadVector(store, {role, layer}); };
  const auto matrix = [&](Role role, int layer) { return LoadMatrix(store, {role, layer}, arithmetic); };
  auto w = std::make_shared<Weights>();
  w->spec = store.spec();
  w->embed = matrix(Role::kEmbed, -1);
  if (!w->spec.tied_head) w->head = matrix(Role::kHead, -1);
  w->final_norm = vector(Role::kFinalNorm, -1);
  for (int l = 0; l < w->spec.layer_count(); ++l) {
    Layer& layer = w->layers.emplace_back();
    layer.attn_norm = vector(Role::kAttnNorm, l);
    layer.query = matrix(Role::kQuery, l);
    layer.key = matrix(Role::kKey, l);
    layer.value = matrix(Role::kValue, l);
    layer.attn_out = matrix(Role::kAttnOut, l);
    if (w->spec.qkv_bias) {
      layer.query_bias = vector(Role::kQueryBias, l);
      layer.key_bias = vector(Role::kKeyBias, l);
      layer.value_bias = vector(Role::kValueBias, l);
    }
    if (w->spec.out_bias) layer.out_bias = vector(Role::kOutBias, l);
    if (w->spec.qk_norm) {
      layer.query_norm = vector(Role::kQueryNorm, l);
      layer.key_norm = vector(Role::kKeyNorm, l);
    }
    if (w->spec.post_norms) {
      layer.post_attn_norm = vector(Role::kPostAttnNorm, l);
      layer.post_ffn_norm = vector(Role::kPostFfnNorm, l);
    }
    layer.ffn_norm = vector(Role::kFfnNorm, l);
    layer.gate = matrix(Role::kGate, l);
    layer.up = matrix(Role::kUp, l);
    layer.down = matrix(Role::kDown, l);
  }
  return w;
}

template <class Arithmetic>
class DenseDecoder final : public ReferenceDecoder {
 public:
  using Real = typename Arithmetic::Real;
  using Vec = std::vector<Real>;

  DenseDecoder(std::shared_ptr<const Weights> weights, Arithmetic arithmetic, bool keep_hidden)
      : weights_(std::move(weights)),
        round_(arithmetic),
        keep_hidden_(keep_hidden),
        history_(weights_->layers.size()) {}

  const ModelSpec& spec() const override { return weights_->spec; }
  std::unique_ptr<ReferenceDecoder> Fork() const override { return std::make_unique<DenseDecoder>(*this); }

 private:
  ReferenceStep Forward(std::int32_t token, bool want_logits) override {
    const Weights& w = *weights_;
    const ModelSpec& s = w.spec;
    ReferenceStep step;
    const auto keep = [&](const Vec& x) {
      if (keep_hidden_) step.hidden.emplace_back(x.begin(), x.end());
    };

    // x = E[id] * embed_scale
    Vec x(w.embed.Row(token), w.embed.Row(token) + s.hidden);
    x = round_.Stream(Scaled(std::move(x), round_.Stream({Real{s.embed_scale}})[0]));
    for (std::size_t l = 0; l < w.layers.size(); ++l) {
      keep(x);
      x = Attention(std::move(x), s.layers[l], w.layers[l], history_[l]);
      x = FeedForward(std::move(x), w.layers[l]);
    }
    // logits = W_out rms(x, w_final)
    x = Norm(std::move(x), w.final_norm, s.norm_eps);
    keep(x);
    if (!want_logits) return step;
    const Vec z = Product(s.tied_head ? w.embed : w.head, round_.Operand(std::move(x)));
    step.raw.assign(z.begin(), z.end());
    for (const Real logit : z) step.capped.push_back(round_.Stream({Softcap(logit, s.softcap)})[0]);
    return step;
  }

  // h = x + Wo attn(rope(q), rope(k), v), n = rms(x, w_attn); sandwich families norm what joins the residual.
  Vec Attention(Vec x, const LayerSpec& g, const Layer& w, History<Real>& history) const {
    const ModelSpec& s = spec();
    const RopeSpec& rope = s.ropes[g.rope];
    const Vec n = round_.Operand(Norm(x, w.attn_norm, s.norm_eps));
    Vec q = Biased(Product(w.query, n), w.query_bias);
    Vec k = Biased(Product(w.key, n), w.key_bias);
    Vec v = Biased(Product(w.value, n), w.value_bias);
    if (s.qk_norm) {
      q = Norm(std::move(q), w.query_norm, g.head_dim, s.norm_eps);
      k = Norm(std::move(k), w.key_norm, g.head_dim, s.norm_eps);
    }
    q = round_.Attended(round_.Operand(Rope(std::move(q), rope, length())));
    k = round_.Stored(Rope(std::move(k), rope, length()));
    history.Write(length(), k, round_.Stored(std::move(v)));
    const Vec o = round_.Operand(
        Attend(q, history, length(), g, s.attn_scale, [&](Vec p) { return round_.Attended(std::move(p)); }));
    Vec a = Biased(Product(w.attn_out, o), w.out_bias);
    if (s.post_norms) a = Norm(std::move(a), w.post_attn_norm, s.norm_eps);
    return Add(std::move(x), a);
  }

  // y = h + Wd( act(Wg m) * (Wu m) ), m = rms(h, w_ffn).
  Vec FeedForward(Vec h, const Layer& w) const {
    const ModelSpec& s = spec();
    const Vec m = round_.Operand(Norm(h, w.ffn_norm, s.norm_eps));
    Vec f =
        Product(w.down, round_.Operand(Gated(s.activation, Product(w.gate, m), Product(w.up, m), round_.gelu_table())));
    if (s.post_norms) f = Norm(std::move(f), w.post_ffn_norm, s.norm_eps);
    return Add(std::move(h), f);
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
  std::vector<History<Real>> history_;  // [layers]
};

template <class Arithmetic>
std::unique_ptr<ReferenceDecoder> Make(const WeightStore& store, bool keep_hidden, const Arithmetic& arithmetic) {
  return std::make_unique<DenseDecoder<Arithmetic>>(LoadWeights(store, arithmetic), arithmetic, keep_hidden);
}

}  // namespace

std::unique_ptr<ReferenceDecoder> MakeDenseReference(const WeightStore& store, const ReferenceOptions& options) {
  RequireDense(store.spec());
  Describe(options);
  if (options.twin) return Make(store, options.keep_hidden, Rounded{*options.twin});
  return Make(store, options.keep_hidden, Exact{});
}

}  // namespace assay
