// What a step needs at least: bytes that must cross device memory once, and floating-point operations. From the spec
// and the formats weights are kept in; independent of how the engine does it.
//
// Counted: every weight a step reads (a mixture: the experts expected to be chosen by independent uniform routing), the
// rows of tables that are looked up, each cache's visible keys and values once per session however many layers read
// them, and the keys and values written. Not counted: activations and logits, which fit in on-chip memory or are
// negligible beside weights.
#pragma once

#include <map>

#include "engine/model/tensors.h"
#include "engine/ops/ops.h"
#include "engine/weights/store.h"

namespace assay {

struct StepCost {
  double weight_bytes = 0;
  double kv_bytes = 0;
  double linear_flops = 0;
  double attention_flops = 0;
  double bytes() const { return weight_bytes + kv_bytes; }
  double flops() const { return linear_flops + attention_flops; }
};

// The facts costs follow from.
struct CostModel {
  ModelSpec spec;
  std::map<TensorKey, double> element_bytes;  // of each tensor, as kept
  double cache_element_bytes = 2;
};
// For an engine of `precision`, on the host or a device.
CostModel MakeCostModel(const WeightStore& store, Precision precision, bool on_host);

// Distinct experts that `rows` rows of `top_k` independent uniform choices are expected to hit.
double ExpectedExperts(int experts, int top_k, double rows);

// One decode step of `sessions` rows whose tokens stand at position context - 1: `context` keys are visible, the row's
// own too.
StepCost DecodeCost(const CostModel& model, int sessions, double context);

// Prefill of `tokens` tokens from an empty cache in chunks of `chunk`, logits of the last one. Layers behind the last
// cache writer need only the row whose logits are wanted; weights cross memory once a chunk. With several `prompts` of
// so many tokens, a chunk of each is taken in the same step.
StepCost PrefillCost(const CostModel& model, int tokens, int chunk, int prompts = 1);

// max(bytes / bandwidth, flops / peak) in seconds.
double FloorSeconds(const StepCost& cost, double bytes_per_s, double flops_per_s);

}  // namespace assay
