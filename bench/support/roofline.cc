#include "bench/support/roofline.h"

#include <algorithm>
#include <cmath>

#include "engine/base/check.h"
#include "engine/ops/ops.h"
#include "engine/weights/stored_types.h"

namespace assay {
namespace {

// How many rows multiply a tensor, and which share of it they read.
struct Use {
  double rows = 0;  // rows multiplied with each element that is read (for a mixture: with the whole tensor on average)
  double read_share = 1;  // of the tensor's bytes
};

bool IsVector(const TensorEntry& entry) { return entry.rows == 1; }

// Rows that pass layer `layer` (-1: before the layers) and rows whose logits are wanted.
struct RowsAt {
  double body = 0;  // embedding, layers up to the last cache writer
  double tail = 0;  // layers behind it
  double head = 0;
  int first_tail = 0;
  double Of(int layer) const { return layer < first_tail ? body : tail; }
};

int FirstTailLayer(const ModelSpec& spec) {
  int first = 0;
  for (int l = 0; l < spec.layer_count(); ++l)
    if (spec.OwnsKv(l)) first = l + 1;
  return first;
}

Use UseOf(const ModelSpec& spec, const TensorEntry& entry, const RowsAt& rows) {
  const Role role = entry.key.role;
  if (role == Role::kEmbed && spec.tied_head && rows.head > 0) return {rows.head, 1};
  if (role == Role::kHead || role == Role::kFinalNorm) return {rows.head, rows.head > 0 ? 1.0 : 0.0};
  if (role == Role::kEmbed || role == Role::kPleEmbed)
    return {0, std::min(1.0, rows.body / static_cast<double>(entry.rows))};
  if (entry.key.layer < 0) return {rows.body, 1};
  const double here = rows.Of(entry.key.layer);
  if (here == 0) return {0, 0};
  if (role != Role::kExpertGateUp && role != Role::kExpertDown) return {here, 1};
  const LayerSpec& layer = spec.layers[entry.key.layer];
  const double experts = layer.experts;
  return {here * layer.top_k / experts, ExpectedExperts(layer.experts, layer.top_k, here) / experts};
}

StepCost LinearCost(const CostModel& model, const RowsAt& rows) {
  StepCost cost;
  for (const TensorEntry& entry : Catalogue(model.spec)) {
    const auto bytes = model.element_bytes.find(entry.key);
    if (bytes == model.element_bytes.end()) continue;
    const Use use = UseOf(model.spec, entry, rows);
    const auto elements = static_cast<double>(entry.elements());
    cost.weight_bytes += elements * bytes->second * use.read_share;
    if (!IsVector(entry)) cost.linear_flops += 2 * elements * use.rows;
  }
  return cost;
}

// Sum over positions [0, tokens) of the keys visible there.
double VisibleKeys(double tokens, double window) {
  if (window <= 0 || tokens <= window) return tokens * (tokens + 1) / 2;
  return window * (window + 1) / 2 + (tokens - window) * window;
}

}  // namespace

CostModel MakeCostModel(const WeightStore& store, Precision precision, bool on_host) {
  CostModel model;
  model.spec = store.spec();
  model.cache_element_bytes = Info(precision.kv).bytes;
  const std::map<TensorKey, DType> types = StoredTypes(store);
  for (const TensorEntry& entry : Catalogue(model.spec)) {
    if (!store.Has(entry.key)) continue;
    const bool vector = IsVector(entry) || entry.key.role == Role::kRouter;
    const auto stored = types.find(entry.key);
    Require(stored != types.end(), "{}: no stored type of {} is known", model.spec.name, Name(entry.key));
    const WeightUse use = entry.key.role == Role::kPleEmbed ? WeightUse::kTable : WeightUse::kMatrix;
    const DType kept = vector ? DType::kF32 : KeptType(stored->second, precision, use, on_host);
    model.element_bytes[entry.key] = static_cast<double>(Info(kept).bytes) / Info(kept).block;
  }
  return model;
}

double ExpectedExperts(int experts, int top_k, double rows) {
  if (experts == 0) return 0;
  return experts * (1 - std::pow(1 - static_cast<double>(top_k) / experts, rows));
}

StepCost DecodeCost(const CostModel& model, int sessions, double context) {
  const ModelSpec& spec = model.spec;
  const double n = sessions;
  StepCost cost = LinearCost(model, {n, n, n, spec.layer_count()});
  for (int l = 0; l < spec.layer_count(); ++l) {
    const LayerSpec& layer = spec.layers[l];
    const double keys = layer.window > 0 ? std::min<double>(context, layer.window) : context;
    cost.attention_flops += 4.0 * n * layer.heads * layer.head_dim * keys;
    // The step's own key and value are written and, being on chip then, need not be read back.
    if (spec.OwnsKv(l)) cost.kv_bytes += 2.0 * n * layer.kv_heads * layer.head_dim * keys * model.cache_element_bytes;
  }
  return cost;
}

StepCost PrefillCost(const CostModel& model, int tokens, int chunk, int prompts) {
  Require(tokens >= 1 && chunk >= 1 && prompts >= 1,
          "prefill cost of {} x {} tokens in chunks of {}: expected positive numbers", prompts, tokens, chunk);
  const ModelSpec& spec = model.spec;
  const int first_tail = FirstTailLayer(spec);
  StepCost cost;
  for (int first = 0; first < tokens; first += chunk) {
    const int rows = std::min(chunk, tokens - first);
    const double wanted = first + rows == tokens ? prompts : 0;
    const StepCost part = LinearCost(model, {static_cast<double>(rows) * prompts, wanted, wanted, first_tail});
    cost.weight_bytes += part.weight_bytes;
    cost.linear_flops += part.linear_flops;
  }
  for (int l = 0; l < spec.layer_count(); ++l) {
    const LayerSpec& layer = spec.layers[l];
    const double last = layer.window > 0 ? std::min(tokens, layer.window) : tokens;
    const double keys = l < first_tail ? VisibleKeys(tokens, layer.window) : last;
    cost.attention_flops += 4.0 * prompts * layer.heads * layer.head_dim * keys;
    if (spec.OwnsKv(l))
      cost.kv_bytes += 2.0 * prompts * layer.kv_heads * layer.head_dim * tokens * model.cache_element_bytes;
  }
  return cost;
}

double FloorSeconds(const StepCost& cost, double bytes_per_s, double flops_per_s) {
  Require(bytes_per_s > 0 && flops_per_s > 0, "floor: roofs of {} B/s and {} FLOP/s: expected positive numbers",
          bytes_per_s, flops_per_s);
  return std::max(cost.bytes() / bytes_per_s, cost.flops() / flops_per_s);
}

}  // namespace assay
