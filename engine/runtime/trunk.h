// The one forward path: every family, prefill and decode alike, driven by the layer spec.
#pragma once

#include "engine/model/spec.h"
#include "engine/ops/ops.h"
#include "engine/runtime/kv_cache.h"
#include "engine/runtime/model_weights.h"

namespace assay {

class Trunk {
 public:
  // Allocates scratch for `max_rows` rows and `max_logit_rows` rows of logits.
  Trunk(const ModelSpec& spec, const ModelWeights& weights, const KvPlan& plan, Ops& ops, int max_rows,
        int max_logit_rows);

  // Runs the layers over `rows`, writing their keys and values, and leaves the final norm of the wanted rows ready for
  // Head. `wanted_index` [wanted.count] are the wanted rows' indices in `rows`, ascending; `wanted` describes them on
  // their own. When all rows are wanted pass the same description twice and a null index. With `skip_tail` the layers
  // behind the last cache writer run only for the wanted rows.
  void Forward(const Rows& rows, const Rows& wanted, const std::int32_t* wanted_index, const KvCache& cache,
               bool skip_tail);

  // Logits of wanted rows [first, first + count), count <= max_logit_rows, into raw(), then capped() and best() as
  // asked.
  void Head(int first, int count, bool want_capped, bool want_best);

  std::size_t bytes() const { return bytes_; }  // of scratch

  float* raw() const { return raw_.as<float>(); }                  // [max_logit_rows, vocab]
  float* capped() const { return capped_.as<float>(); }            // the same; null without a softcap
  std::int32_t* best() const { return best_.as<std::int32_t>(); }  // [max_logit_rows]

 private:
  // What a set of rows carries from layer to layer.
  struct Activations {
    Buffer x;        // residual [rows, hidden] float32
    Buffer operand;  // the residual, normed and rounded: [rows, hidden]
    Buffer ple;      // [rows, layers * ple_width] float32
  };
  void Layer(int l, const Rows& rows, Activations& act, const KvCache& cache);
  void Experts(int l, const Rows& rows, Activations& act);
  // act.x = (act.x + norm(delta)) * scale, then act.operand = round(next norm(act.x)).
  void Residual(const Rows& rows, Activations& act, const Buffer& post_norm, const float* next_norm, float scale);
  // Copies the wanted rows' activations behind each other; from here on they are the final ones.
  void GatherWanted(const Rows& wanted, const std::int32_t* wanted_index);
  std::int64_t ple_columns() const { return std::int64_t{spec_.ple_width} * spec_.layer_count(); }

  const ModelSpec& spec_;
  const ModelWeights& weights_;
  const KvPlan& plan_;
  Ops& ops_;
  Activations all_, wanted_;
  const Activations* final_ = nullptr;  // holds the wanted rows after Forward
  Buffer qkv_, q_, attended_, delta_, ffn_, ple_gated_;
  Buffer expert_, expert_weight_, expert_input_, expert_act_, expert_out_;
  Buffer raw_, capped_, best_;
  std::size_t bytes_ = 0;
};

}  // namespace assay
