#include "engine/runtime/trunk.h"

#include <algorithm>
#include <cmath>

namespace assay {
namespace {

int QkvColumns(const ModelSpec& spec, int l) {
  const LayerSpec& layer = spec.layer(l);
  const int kv = spec.OwnsKv(l) ? (layer.value_is_key ? 1 : 2) * layer.kv_heads : 0;
  return (layer.heads + kv) * layer.head_dim;
}

}  // namespace

Trunk::Trunk(const ModelSpec& spec, const ModelWeights& weights, const KvPlan& plan, Ops& ops, int max_rows,
             int max_logit_rows)
    : spec_(spec), weights_(weights), plan_(plan), ops_(ops) {
  int qkv = 0, q = 0, ffn = 0, top_k = 0, expert_ffn = 0;
  for (int l = 0; l < spec.layer_count(); ++l) {
    const LayerSpec& layer = spec.layer(l);
    qkv = std::max(qkv, QkvColumns(spec, l));
    q = std::max(q, layer.heads * layer.head_dim);
    ffn = std::max(ffn, layer.ffn);
    top_k = std::max(top_k, layer.top_k);
    expert_ffn = std::max(expert_ffn, layer.expert_ffn);
  }
  const auto array = [&](std::int64_t rows, std::int64_t width, std::int64_t element, const char* what) {
    if (width == 0) return Buffer();
    bytes_ += static_cast<std::size_t>(rows * width * element);
    return Buffer(ops.memory(), rows * width * element, what);
  };
  const auto floats = [&](std::int64_t rows, std::int64_t width, const char* what) {
    return array(rows, width, sizeof(float), what);
  };
  const auto operands = [&](std::int64_t rows, std::int64_t width, const char* what) {
    return array(rows, width, OperandBytes(ops.precision()), what);
  };
  for (Activations* act : {&all_, &wanted_}) {
    act->x = floats(max_rows, spec.hidden, "residual stream");
    act->operand = operands(max_rows, spec.hidden, "normed residual");
    act->ple = floats(max_rows, ple_columns(), "per-layer embeddings");
  }
  qkv_ = floats(max_rows, std::max<std::int64_t>(qkv, ple_columns()), "qkv");
  q_ = operands(max_rows, q, "queries");
  attended_ = operands(max_rows, q, "attention output");
  delta_ = floats(max_rows, spec.hidden, "sublayer output");
  ffn_ = operands(max_rows, ffn, "feed-forward activations");
  ple_gated_ = operands(max_rows, spec.ple_width, "gated per-layer embedding");
  expert_ = floats(max_rows, top_k, "chosen experts");
  expert_weight_ = floats(max_rows, top_k, "expert weights");
  expert_input_ = operands(max_rows, top_k == 0 ? 0 : spec.hidden, "expert input");
  expert_act_ = operands(max_rows, std::int64_t{top_k} * expert_ffn, "expert activations");
  expert_out_ = floats(max_rows, top_k == 0 ? 0 : spec.hidden, "expert output");
  raw_ = floats(max_logit_rows, spec.vocab, "logits");
  capped_ = floats(max_logit_rows, spec.softcap == 0 ? 0 : spec.vocab, "capped logits");
  best_ = floats(max_logit_rows, 1, "argmax");
}

void Trunk::Forward(const Rows& rows, const Rows& wanted, const std::int32_t* wanted_index, const KvCache& cache,
                    bool skip_tail) {
  const bool ple = spec_.ple_width > 0;
  ops_.At({-1, "embed"});
  ops_.Embed({.x = all_.x.as<float>(),
              .operand = ple ? all_.operand.data() : nullptr,
              .table = weights_.embed.get(),
              .rows = &rows,
              .scale = spec_.embed_scale});
  if (ple) {
    ops_.At({-1, "per-layer embeddings"});
    ops_.MatMul(qkv_.as<float>(), *weights_.ple_project, all_.operand.data(), rows.count);
    ops_.PleInput({.ple = all_.ple.as<float>(),
                   .context = qkv_.as<float>(),
                   .table = weights_.ple_table.get(),
                   .norm = weights_.ple_norm.as<float>(),
                   .rows = &rows,
                   .layers = spec_.layer_count(),
                   .width = spec_.ple_width,
                   .token_scale = std::sqrt(static_cast<float>(spec_.ple_width)),
                   .context_scale = 1.0f / std::sqrt(static_cast<float>(spec_.hidden)),
                   .eps = spec_.norm_eps});
  }
  ops_.At({0, "attention norm"});
  ops_.Norm({.operand = all_.operand.data(),
             .x = all_.x.as<float>(),
             .weight = weights_.layers[0].attn_norm.as<float>(),
             .rows = rows.count,
             .width = spec_.hidden,
             .eps = spec_.norm_eps});

  const bool some = wanted_index != nullptr;
  const int tail = skip_tail ? plan_.first_tail_layer : spec_.layer_count();
  final_ = &all_;
  for (int l = 0; l < spec_.layer_count(); ++l) {
    if (some && l == tail) GatherWanted(wanted, wanted_index);
    if (wanted.count == 0 && l >= tail) return;
    if (final_ == &wanted_) {
      Layer(l, wanted, wanted_, cache);
    } else {
      Layer(l, rows, all_, cache);
    }
  }
  if (some && final_ == &all_) GatherWanted(wanted, wanted_index);
}

void Trunk::GatherWanted(const Rows& wanted, const std::int32_t* wanted_index) {
  ops_.At({-1, "gather wanted rows"});
  const auto gather = [&](const Buffer& to, const Buffer& from, std::int64_t row_bytes) {
    if (from) ops_.GatherRows(to.data(), from.data(), wanted_index, wanted.count, row_bytes);
  };
  constexpr std::int64_t kFloat = sizeof(float);
  gather(wanted_.x, all_.x, spec_.hidden * kFloat);
  gather(wanted_.operand, all_.operand, std::int64_t{spec_.hidden} * OperandBytes(ops_.precision()));
  gather(wanted_.ple, all_.ple, ple_columns() * kFloat);
  final_ = &wanted_;
}

void Trunk::Residual(const Rows& rows, Activations& act, const Buffer& post_norm, const float* next_norm, float scale) {
  ops_.Residual({.x = act.x.as<float>(),
                 .operand = act.operand.data(),
                 .delta = delta_.as<float>(),
                 .post_norm = post_norm.as<float>(),
                 .next_norm = next_norm,
                 .scale = scale,
                 .rows = rows.count,
                 .width = spec_.hidden,
                 .eps = spec_.norm_eps});
}

void Trunk::Layer(int l, const Rows& rows, Activations& act, const KvCache& cache) {
  const LayerSpec& layer = spec_.layer(l);
  const LayerWeights& w = weights_.layers[l];
  const bool last = l + 1 == spec_.layer_count();
  const float* const next_layer_norm = (last ? weights_.final_norm : weights_.layers[l + 1].attn_norm).as<float>();
  const KvView& kv = cache.Layer(l);

  ops_.At({l, "qkv"});
  ops_.MatMul(qkv_.as<float>(), *w.qkv, act.operand.data(), rows.count);
  ops_.Qkv({.q = q_.data(),
            .kv = spec_.OwnsKv(l) ? &kv : nullptr,
            .qkv = qkv_.as<float>(),
            .bias = w.qkv_bias.as<float>(),
            .q_norm = w.q_norm.as<float>(),
            .k_norm = w.k_norm.as<float>(),
            .inv_freq = weights_.inv_freq[layer.rope].as<float>(),
            .rows = &rows,
            .heads = layer.heads,
            .kv_heads = layer.kv_heads,
            .head_dim = layer.head_dim,
            .value_is_key = layer.value_is_key,
            .v_norm = spec_.v_norm,
            .eps = spec_.norm_eps});
  ops_.At({l, "attention"});
  ops_.Attention({.out = attended_.data(),
                  .q = q_.data(),
                  .kv = &kv,
                  .rows = &rows,
                  .heads = layer.heads,
                  .window = layer.window,
                  .scale = spec_.AttnScale(l)});
  ops_.At({l, "attention output"});
  ops_.MatMul(delta_.as<float>(), *w.attn_out, attended_.data(), rows.count);
  if (w.out_bias) ops_.AddBias(delta_.as<float>(), w.out_bias.as<float>(), rows.count, spec_.hidden);
  Residual(rows, act, w.post_attn_norm, w.ffn_norm.as<float>(), 1.0f);

  ops_.At({l, "feed-forward"});
  ops_.GatedMatMul(ffn_.data(), *w.gate_up, act.operand.data(), rows.count, spec_.activation);
  ops_.MatMul(delta_.as<float>(), *w.down, ffn_.data(), rows.count);
  if (layer.experts > 0) Experts(l, rows, act);
  const bool ple = spec_.ple_width > 0;
  Residual(rows, act, w.post_ffn_norm, ple ? nullptr : next_layer_norm, ple ? 1.0f : w.scalar);
  if (!ple) return;

  ops_.At({l, "per-layer embedding"});
  ops_.PleGate({.operand = ple_gated_.data(),
                .w = w.ple_gate.get(),
                .x = act.operand.data(),
                .ple = act.ple.as<float>() + std::int64_t{l} * spec_.ple_width,
                .ple_stride = ple_columns(),
                .rows = rows.count,
                .activation = spec_.activation});
  ops_.MatMul(delta_.as<float>(), *w.ple_out, ple_gated_.data(), rows.count);
  Residual(rows, act, w.post_ple_norm, next_layer_norm, w.scalar);
}

// The mixture branch reads the residual before the dense branch has joined it; the sum of both replaces delta_.
void Trunk::Experts(int l, const Rows& rows, Activations& act) {
  const LayerSpec& layer = spec_.layer(l);
  const LayerWeights& w = weights_.layers[l];
  ops_.At({l, "experts"});
  ops_.Route({.expert = expert_.as<std::int32_t>(),
              .weight = expert_weight_.as<float>(),
              .x = act.x.as<float>(),
              .router = w.router.as<float>(),
              .router_scale = w.router_scale.as<float>(),
              .expert_scale = w.expert_scale.as<float>(),
              .rows = rows.count,
              .hidden = spec_.hidden,
              .experts = layer.experts,
              .top_k = layer.top_k,
              .eps = spec_.norm_eps});
  ops_.Norm({.operand = expert_input_.data(),
             .x = act.x.as<float>(),
             .weight = w.pre_expert_norm.as<float>(),
             .rows = rows.count,
             .width = spec_.hidden,
             .eps = spec_.norm_eps});
  ops_.ExpertGated({.operand = expert_act_.data(),
                    .w = w.expert_gate_up.get(),
                    .x = expert_input_.data(),
                    .expert = expert_.as<std::int32_t>(),
                    .rows = rows.count,
                    .top_k = layer.top_k,
                    .activation = spec_.activation});
  ops_.ExpertDown({.out = expert_out_.as<float>(),
                   .w = w.expert_down.get(),
                   .x = expert_act_.data(),
                   .expert = expert_.as<std::int32_t>(),
                   .weight = expert_weight_.as<float>(),
                   .rows = rows.count,
                   .top_k = layer.top_k});
  ops_.Join({.sum = delta_.as<float>(),
             .a = delta_.as<float>(),
             .b = expert_out_.as<float>(),
             .norm_a = w.post_dense_norm.as<float>(),
             .norm_b = w.post_expert_norm.as<float>(),
             .rows = rows.count,
             .width = spec_.hidden,
             .eps = spec_.norm_eps});
}

void Trunk::Head(int first, int count, bool want_capped, bool want_best) {
  ops_.At({-1, "head"});
  const std::int64_t row_bytes = std::int64_t{spec_.hidden} * OperandBytes(ops_.precision());
  ops_.MatMul(raw(), weights_.head(), final_->operand.as<std::byte>() + first * row_bytes, count);
  ops_.Logits({.capped = want_capped ? capped() : nullptr,
               .best = want_best ? best() : nullptr,
               .raw = raw(),
               .rows = count,
               .vocab = spec_.vocab,
               .cap = spec_.softcap});
}

}  // namespace assay
