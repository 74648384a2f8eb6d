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
  // Head. `wanted_index` [wanted.count] are the wanted rows' places in `rows`, ascending; `wanted` describes them on
  // their own, each a segment of one row. When all rows are wanted pass the same description twice and a null index.
  // `skip_tail`: layers behind the last cache writer run only for the wanted rows.
  void Forward(const Rows& rows, const Rows& wanted, const std::int32_t* wanted_index, const KvCache& cache,
               bool skip_tail);

  // Logits of wanted rows [first, first + count), count <= max_logit_rows, into raw(), then capped() and best() as
  // asked.
  void Head(int first, int count, bool want_capped, bool want_best);

  float* raw() const { return raw_.as<float>(); }                  // [max_logit_rows, vocab]
  float* capped() const { return capped_.as<float>(); }            // [max_logit_rows, vocab]
  std::int32_t* best() const { return best_.as<std::int32_t>(); }  // [max_logit_rows]

 private:
  // The arrays a set of rows lives in.
  struct Stream {
    Buffer x;        // residual [rows, hidden] float32
    Buffer operand;  // [rows, hidden]
    Buffer ple;      // [rows, layers * ple_width] float32
  };
  void Layer(int l, const Rows& rows, Stream& stream, const KvCache& cache);
  void Experts(int l, const Rows& rows, Stream& stream);
  void Residual(const Rows& rows, Stream& stream, const Buffer& delta, const Buffer& post_norm, const float* next_norm,
                float scale);
  void Narrow(const Rows& wanted, const std::int32_t* wanted_index);

  const ModelSpec& spec_;
  const ModelWeights& weights_;
  const KvPlan& plan_;
  Ops& ops_;
  Stream all_, few_;
  const Stream* final_ = nullptr;  // holds the wanted rows after Forward
  Buffer qkv_, q_, attended_, delta_, ffn_, ple_gated_;
  Buffer expert_, expert_weight_, expert_input_, expert_act_, expert_out_;
  Buffer raw_, capped_, best_;
};

}  // namespace assay
