#include "engine/runtime/trunk.h"

#include <algorithm>
#include <cmath>

namespace assay {
namespace {

int Width(const ModelSpec& spec, int l) {  // columns of a row of qkv
  const LayerSpec& layer = spec.layers[static_cast<std::size_t>(l)];
  const int kv = spec.OwnsKv(l) ? (layer.value_is_key ? 1 : 2) * layer.kv_heads : 0;
  return (layer.heads + kv) * layer.head_dim;
}

}  // namespace

Trunk::Trunk(const ModelSpec& spec, const ModelWeights& weights, const KvPlan& plan, Ops& ops, int max_rows,
             int max_logit_rows)
    : spec_(spec), weights_(weights), plan_(plan), ops_(ops) {
  int qkv = 0, q = 0, ffn = 0, top_k = 0, expert_ffn = 0;
  for (int l = 0; l < spec.layer_count(); ++l) {
    const LayerSpec& layer = spec.layers[static_cast<std::size_t>(l)];
    qkv = std::max(qkv, Width(spec, l));
    q = std::max(q, layer.heads * layer.head_dim);
    ffn = std::max(ffn, layer.ffn);
    top_k = std::max(top_k, layer.top_k);
    expert_ffn = std::max(expert_ffn, layer.expert_ffn);
  }
  const std::size_t element = static_cast<std::size_t>(Info(OperandType(ops.precision())).bytes);
  const auto floats = [&](std::int64_t rows, std::int64_t width, const char* what) {
    return width == 0 ? Buffer() : Buffer(ops.memory(), static_cast<std::size_t>(rows * width) * sizeof(float), what);
  };
  const auto operands = [&](std::int64_t rows, std::int64_t width, const char* what) {
    return width == 0 ? Buffer() : Buffer(ops.memory(), static_cast<std::size_t>(rows * width) * element, what);
  };
  const std::int64_t rows = max_rows;
  for (Stream* stream : {&all_, &few_}) {
    stream->x = floats(rows, spec.hidden, "residual stream");
    stream->operand = operands(rows, spec.hidden, "normed residual");
    stream->ple = floats(rows, std::int64_t{spec.ple_width} * spec.layer_count(), "per-layer embeddings");
  }
  qkv_ = floats(rows, std::max<std::int64_t>(qkv, std::int64_t{spec.ple_width} * spec.layer_count()), "qkv");
  q_ = operands(rows, q, "queries");
  attended_ = operands(rows, q, "attention output");
  delta_ = floats(rows, spec.hidden, "sublayer output");
  ffn_ = operands(rows, ffn, "feed-forward activations");
  ple_gated_ = operands(rows, spec.ple_width, "gated per-layer embedding");
  expert_ = floats(rows, top_k, "chosen experts");
  expert_weight_ = floats(rows, top_k, "expert weights");
  expert_input_ = operands(rows, top_k == 0 ? 0 : spec.hidden, "expert input");
  expert_act_ = operands(rows, std::int64_t{top_k} * expert_ffn, "expert activations");
  expert_out_ = floats(rows, top_k == 0 ? 0 : spec.hidden, "expert output");
  raw_ = floats(max_logit_rows, spec.vocab, "logits");
  capped_ = floats(max_logit_rows, spec.vocab, "capped logits");
  best_ = floats(max_logit_rows, 1, "argmax");
}

void Trunk::Forward(const Rows& rows, const Rows& wanted, const std::int32_t* wanted_index, const KvCache& cache,
                    bool skip_tail) {
  ops_.At({-1, "embed"});
  void* const scaled = spec_.ple_width > 0 ? all_.operand.data() : nullptr;
  ops_.Embed({all_.x.as<float>(), scaled, weights_.embed.get(), &rows, spec_.embed_scale});
  if (spec_.ple_width > 0) {
    ops_.At({-1, "per-layer embeddings"});
    ops_.MatMul(qkv_.as<float>(), *weights_.ple_project, all_.operand.data(), rows.count);
    ops_.PleInput({all_.ple.as<float>(), qkv_.as<float>(), weights_.ple_table.get(), weights_.ple_norm.as<float>(),
                   &rows, spec_.layer_count(), spec_.ple_width, std::sqrt(static_cast<float>(spec_.ple_width)),
                   1.0f / std::sqrt(static_cast<float>(spec_.hidden)), spec_.norm_eps});
  }
  ops_.At({0, "attention norm"});
  ops_.Norm({all_.operand.data(), all_.x.as<float>(), weights_.layers[0].attn_norm.as<float>(), rows.count,
             spec_.hidden, spec_.norm_eps});

  const bool narrows = wanted_index != nullptr;
  const int narrow_at = skip_tail ? plan_.first_tail_layer : spec_.layer_count();
  final_ = &all_;
  for (int l = 0; l < spec_.layer_count(); ++l) {
    if (narrows && l == narrow_at) Narrow(wanted, wanted_index);
    if (wanted.count == 0 && l >= narrow_at) return;
    Layer(l, final_ == &few_ ? wanted : rows, final_ == &few_ ? few_ : all_, cache);
  }
  if (narrows && final_ == &all_) Narrow(wanted, wanted_index);
}

void Trunk::Narrow(const Rows& wanted, const std::int32_t* wanted_index) {
  ops_.At({-1, "gather wanted rows"});
  const auto gather = [&](const Buffer& to, const Buffer& from, std::int64_t width, std::size_t element) {
    if (from)
      ops_.GatherRows(to.data(), from.data(), wanted_index, wanted.count, width * static_cast<std::int64_t>(element));
  };
  gather(few_.x, all_.x, spec_.hidden, sizeof(float));
  gather(few_.operand, all_.operand, spec_.hidden, static_cast<std::size_t>(Info(OperandType(ops_.precision())).bytes));
  gather(few_.ple, all_.ple, std::int64_t{spec_.ple_width} * spec_.layer_count(), sizeof(float));
  final_ = &few_;
}

void Trunk::Residual(const Rows& rows, Stream& stream, const Buffer& delta, const Buffer& post_norm,
                     const float* next_norm, float scale) {
  ops_.Residual({stream.x.as<float>(), stream.operand.data(), delta.as<float>(), post_norm.as<float>(), next_norm,
                 scale, rows.count, spec_.hidden, spec_.norm_eps});
}

void Trunk::Layer(int l, const Rows& rows, Stream& stream, const KvCache& cache) {
  const LayerSpec& layer = spec_.layers[static_cast<std::size_t>(l)];
  const LayerWeights& w = weights_.layers[static_cast<std::size_t>(l)];
  const bool last = l + 1 == spec_.layer_count();
  const float* const next_layer_norm =
      (last ? weights_.final_norm : weights_.layers[static_cast<std::size_t>(l) + 1].attn_norm).as<float>();
  const KvView& kv = cache.Layer(l);

  ops_.At({l, "qkv"});
  ops_.MatMul(qkv_.as<float>(), *w.qkv, stream.operand.data(), rows.count);
  ops_.Qkv({q_.data(), spec_.OwnsKv(l) ? &kv : nullptr, qkv_.as<float>(), w.qkv_bias.as<float>(), w.q_norm.as<float>(),
            w.k_norm.as<float>(), weights_.inv_freq[static_cast<std::size_t>(layer.rope)].as<float>(), &rows,
            layer.heads, layer.kv_heads, layer.head_dim, layer.value_is_key, spec_.v_norm, spec_.norm_eps});
  ops_.At({l, "attention"});
  ops_.Attention({attended_.data(), q_.data(), &kv, &rows, layer.heads, layer.window, spec_.attn_scale});
  ops_.At({l, "attention output"});
  ops_.MatMul(delta_.as<float>(), *w.attn_out, attended_.data(), rows.count);
  Residual(rows, stream, delta_, w.post_attn_norm, w.ffn_norm.as<float>(), 1.0f);

  ops_.At({l, "feed-forward"});
  ops_.GatedMatMul(ffn_.data(), *w.gate_up, stream.operand.data(), rows.count, spec_.activation);
  ops_.MatMul(delta_.as<float>(), *w.down, ffn_.data(), rows.count);
  if (layer.experts > 0) Experts(l, rows, stream);
  const bool ple = spec_.ple_width > 0;
  Residual(rows, stream, delta_, w.post_ffn_norm, ple ? nullptr : next_layer_norm, ple ? 1.0f : w.scalar);
  if (!ple) return;

  ops_.At({l, "per-layer embedding"});
  const std::int64_t stride = std::int64_t{spec_.ple_width} * spec_.layer_count();
  ops_.PleGate({ple_gated_.data(), w.ple_gate.get(), stream.operand.data(),
                stream.ple.as<float>() + std::int64_t{l} * spec_.ple_width, stride, rows.count, spec_.activation});
  ops_.MatMul(delta_.as<float>(), *w.ple_out, ple_gated_.data(), rows.count);
  Residual(rows, stream, delta_, w.post_ple_norm, next_layer_norm, w.scalar);
}

// The mixture branch reads the residual before the dense branch has joined it; its sum replaces delta_.
void Trunk::Experts(int l, const Rows& rows, Stream& stream) {
  const LayerSpec& layer = spec_.layers[static_cast<std::size_t>(l)];
  const LayerWeights& w = weights_.layers[static_cast<std::size_t>(l)];
  ops_.At({l, "experts"});
  ops_.Route({expert_.as<std::int32_t>(), expert_weight_.as<float>(), stream.x.as<float>(), w.router.as<float>(),
              w.router_scale.as<float>(), w.expert_scale.as<float>(), rows.count, spec_.hidden, layer.experts,
              layer.top_k, spec_.norm_eps});
  ops_.Norm({expert_input_.data(), stream.x.as<float>(), w.pre_expert_norm.as<float>(), rows.count, spec_.hidden,
             spec_.norm_eps});
  ops_.ExpertGated({expert_act_.data(), w.expert_gate_up.get(), expert_input_.data(), expert_.as<std::int32_t>(),
                    rows.count, layer.top_k, spec_.activation});
  ops_.ExpertDown({expert_out_.as<float>(), w.expert_down.get(), expert_act_.data(), expert_.as<std::int32_t>(),
                   expert_weight_.as<float>(), rows.count, layer.top_k});
  ops_.Join({delta_.as<float>(), delta_.as<float>(), expert_out_.as<float>(), w.post_dense_norm.as<float>(),
             w.post_expert_norm.as<float>(), rows.count, spec_.hidden, spec_.norm_eps});
}

void Trunk::Head(int first, int count, bool want_capped, bool want_best) {
  ops_.At({-1, "head"});
  const std::size_t row_bytes =
      static_cast<std::size_t>(spec_.hidden) * static_cast<std::size_t>(Info(OperandType(ops_.precision())).bytes);
  ops_.MatMul(raw(), weights_.head(), final_->operand.as<std::byte>() + static_cast<std::size_t>(first) * row_bytes,
              count);
  ops_.Logits(
      {want_capped ? capped() : nullptr, want_best ? best() : nullptr, raw(), count, spec_.vocab, spec_.softcap});
}

}  // namespace assay
