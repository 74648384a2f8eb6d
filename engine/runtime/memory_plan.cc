#include "engine/runtime/memory_plan.h"

#include <algorithm>

#include "engine/model/kv_plan.h"
#include "engine/ops/split_keys.h"
#include "engine/runtime/batch.h"
#include "engine/runtime/weight_bytes.h"

namespace assay {
namespace {

using Bytes = std::size_t;

constexpr Bytes kMebi = Bytes{1} << 20;

// The widest layer of each kind of activation.
struct Widths {
  std::int64_t qkv = 0, q = 0, ffn = 0, top_k = 0, expert_ffn = 0, experts = 0, head_dim = 0, heads = 0, ple = 0;
};

Widths WidthsOf(const ModelSpec& spec) {
  Widths w;
  w.ple = std::int64_t{spec.ple_width} * spec.layer_count();
  for (int l = 0; l < spec.layer_count(); ++l) {
    const LayerSpec& layer = spec.layer(l);
    const int kv = spec.OwnsKv(l) ? (layer.value_is_key ? 1 : 2) * layer.kv_heads : 0;
    w.qkv = std::max<std::int64_t>(w.qkv, std::int64_t{layer.heads + kv} * layer.head_dim);
    w.q = std::max<std::int64_t>(w.q, std::int64_t{layer.heads} * layer.head_dim);
    w.ffn = std::max<std::int64_t>(w.ffn, layer.ffn);
    w.top_k = std::max<std::int64_t>(w.top_k, layer.top_k);
    w.experts = std::max<std::int64_t>(w.experts, layer.experts);
    w.expert_ffn = std::max<std::int64_t>(w.expert_ffn, layer.expert_ffn);
    w.head_dim = std::max<std::int64_t>(w.head_dim, layer.head_dim);
    w.heads = std::max<std::int64_t>(w.heads, layer.heads);
  }
  w.qkv = std::max(w.qkv, w.ple);
  return w;
}

// The buffers of Trunk and of Engine, array by array.
Bytes ScratchBytes(const ModelSpec& spec, const StepRows& step, Precision precision) {
  const Widths w = WidthsOf(spec);
  const std::int64_t hidden = spec.hidden, mixture_hidden = w.top_k == 0 ? 0 : hidden;
  const std::int64_t floats = 2 * (hidden + w.ple) + w.qkv + hidden + 2 * w.top_k + mixture_hidden;
  const std::int64_t operands = 2 * hidden + 2 * w.q + w.ffn + spec.ple_width + mixture_hidden + w.top_k * w.expert_ffn;
  const std::int64_t row_words = 2 * (3 + static_cast<std::int64_t>(sizeof(Segment) / 4)) + 1 + kHistorySteps;
  return step.rows * (floats + row_words) * 4 + step.rows * operands * OperandBytes(precision) +
         step.logits * (2 * std::int64_t{spec.vocab} + 1) * 4 + static_cast<std::int64_t>(sizeof(std::int32_t));
}

// From above what CUDA ops take for themselves: cuBLAS, staging during the load, float32 results before a fused finish,
// expanded weights, sorted experts, partial sums of attention and of the argmax; a quarter more as they grow.
Bytes WorkspaceBytes(const ModelSpec& spec, const StepRows& step, const EngineOptions& options, int slots) {
  const Widths w = WidthsOf(spec);
  const std::int64_t width = std::max({std::int64_t{spec.hidden}, w.ple, 2 * w.ffn, w.qkv});
  const Bytes gated = 128 * kMebi + std::min<Bytes>(std::max<Bytes>(512 * kMebi, width * 4), step.rows * width * 4);
  const std::int64_t assignments = std::min(step.rows, 2048) * w.top_k;
  const Bytes experts = assignments * width * 4 + assignments * 8 + w.experts * 64;
  OpsLimits limits;
  limits.max_rows = step.rows;
  limits.max_sessions = std::max(options.max_sessions, step.decoded);
  limits.max_slots = slots;
  limits.max_heads = static_cast<int>(w.heads);
  limits.max_head_dim = static_cast<int>(w.head_dim);
  const Bytes attention = AttentionWorkspaceBytes(limits);
  const Bytes argmax = std::int64_t{step.rows} * 1024 * 8;
  constexpr Bytes kFixed = (32 + 64) * kMebi;
  return kFixed + std::max({gated, experts, attention, argmax}) * 5 / 4;
}

}  // namespace

MemoryPlan PlanMemory(const WeightStore& store, Precision precision, const EngineOptions& options, bool on_host) {
  const ModelSpec& spec = store.spec();
  Require(options.max_sessions >= 1, "memory plan: max_sessions {}: expected at least 1", options.max_sessions);
  const WeightBytes weights = MeasureWeights(store, precision, on_host);
  const StepRows step = StepRowsOf(options.max_rows, options.max_sessions);
  MemoryPlan plan;
  plan.matrices = weights.matrices;
  plan.vectors = weights.vectors;
  const KvPlan kv = MakeKvPlan(spec, options.capacity, options.max_chunk);
  int slots = 0;  // of the longest cache
  for (const KvCacheSpec& cache : kv.caches) slots = std::max(slots, cache.slots);
  plan.cache_per_session = kv.BytesPerSession(precision.kv);
  plan.sessions = options.max_sessions;
  plan.scratch = ScratchBytes(spec, step, precision);
  plan.workspace = on_host ? 0 : WorkspaceBytes(spec, step, options, slots);
  return plan;
}

}  // namespace assay
