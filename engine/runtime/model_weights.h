// A model's weights as the trunk uses them: matrices prepared by the ops, vectors as float32 on the device. What a
// layer lacks is null.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/ops/ops.h"
#include "engine/weights/store.h"

namespace assay {

struct LayerWeights {
  Buffer attn_norm, q_norm, k_norm, qkv_bias, out_bias, post_attn_norm;
  Buffer ffn_norm, post_ffn_norm;
  Buffer router, router_scale, expert_scale, pre_expert_norm, post_dense_norm, post_expert_norm;
  Buffer post_ple_norm;
  std::unique_ptr<Weight> qkv;  // [q | k | v] rows; [q | k] when values are keys; [q] when the layer shares
  std::unique_ptr<Weight> attn_out, gate_up, down;
  std::unique_ptr<Weight> expert_gate_up, expert_down;
  std::unique_ptr<Weight> ple_gate, ple_out;
  float scalar = 1.0f;
};

struct ModelWeights {
  // Loads, checks (shape against the catalogue, every value finite) and uploads. Throws InputError naming the tensor.
  ModelWeights(const WeightStore& store, Ops& ops);

  std::unique_ptr<Weight> embed;
  std::unique_ptr<Weight> untied_head;  // null: the head is `embed`
  std::unique_ptr<Weight> ple_table, ple_project;
  Buffer final_norm, ple_norm;
  std::vector<Buffer> inv_freq;  // per rope of the spec
  std::vector<LayerWeights> layers;

  const Weight& head() const { return untied_head ? *untied_head : *embed; }
  std::size_t matrix_bytes = 0;        // as the ops keep them, padding included
  std::size_t resident_bytes = 0;      // with vectors
  std::map<std::string, int> formats;  // how matrices are kept -> how many
};

}  // namespace assay
