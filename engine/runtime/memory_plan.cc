#include "engine/runtime/memory_plan.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <vector>

#include "engine/model/kv_plan.h"
#include "engine/ops/split_keys.h"
#include "engine/runtime/batch.h"
#include "engine/weights/stored_types.h"

namespace assay {
namespace {

using Bytes = std::size_t;

constexpr Bytes kMebi = Bytes{1} << 20;
constexpr std::int64_t kPlainStep = 32;  // elements a kept row is padded to
constexpr std::int64_t kQ8Step = 64, kQ4Step = 128;

std::int64_t RoundUp(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }
Bytes Product(std::int64_t a, std::int64_t b) { return static_cast<Bytes>(a) * static_cast<Bytes>(b); }

Bytes ElementBytes(DType type) { return static_cast<Bytes>(Info(type).bytes); }

class Sizes {
 public:
  Sizes(const WeightStore& store, Precision precision, bool on_host)
      : spec_(store.spec()), precision_(precision), on_host_(on_host), types_(StoredTypes(store)) {
    for (const TensorEntry& entry : Catalogue(spec_))
      if (entry.required || store.Has(entry.key)) entries_.emplace(entry.key, entry);
  }

  // Of the weight that the listed matrices are stacked into.
  Bytes Matrix(std::initializer_list<Role> roles, int layer, WeightUse use = WeightUse::kMatrix) const {
    std::vector<const TensorEntry*> parts;
    for (const Role role : roles)
      if (const auto found = entries_.find({role, layer}); found != entries_.end()) parts.push_back(&found->second);
    if (parts.empty()) return 0;
    const DType first = Stored(*parts[0]);
    const bool uniform =
        std::all_of(parts.begin(), parts.end(), [&](const TensorEntry* part) { return Stored(*part) == first; });
    Bytes sum = 0;
    for (const TensorEntry* part : parts) {
      const DType kept =
          uniform || on_host_ ? KeptType(Stored(*part), precision_, use, on_host_) : OperandType(precision_);
      sum += Product(part->experts * part->rows, 1) * RowBytes(kept, part->cols, use);
    }
    return sum;
  }

  Bytes Vectors() const {
    Bytes elements = 0;
    for (const auto& [key, entry] : entries_)
      if (key.role == Role::kRouter || (entry.rows == 1 && key.role != Role::kLayerScalar))
        elements += Product(entry.elements(), 1);
    for (const RopeSpec& rope : spec_.ropes) elements += rope.inv_freq.size();
    return elements * sizeof(float);
  }

 private:
  DType Stored(const TensorEntry& entry) const {
    const auto found = types_.find(entry.key);
    return found == types_.end() ? DType::kF32 : found->second;
  }
  Bytes RowBytes(DType kept, std::int64_t cols, WeightUse use) const {
    if (on_host_ || use == WeightUse::kTable) return StoredBytes(kept, 1, cols);
    if (kept == DType::kQ8_0) return Product(RoundUp(cols, kQ8Step), 1) + Product(RoundUp(cols, kQ8Step) / 32, 2);
    if (kept == DType::kQ4_0) return Product(RoundUp(cols, kQ4Step) / 2, 1) + Product(RoundUp(cols, kQ4Step) / 32, 2);
    return Product(RoundUp(cols, kPlainStep), 1) * ElementBytes(kept);
  }

  const ModelSpec& spec_;
  Precision precision_;
  bool on_host_;
  std::map<TensorKey, DType> types_;
  std::map<TensorKey, TensorEntry> entries_;
};

Bytes MatrixBytes(const ModelSpec& spec, const Sizes& sizes) {
  Bytes sum = sizes.Matrix({Role::kEmbed}, -1) + sizes.Matrix({Role::kHead}, -1) +
              sizes.Matrix({Role::kPleEmbed}, -1, WeightUse::kTable) + sizes.Matrix({Role::kPleProject}, -1);
  for (int l = 0; l < spec.layer_count(); ++l) {
    sum += sizes.Matrix({Role::kQuery, Role::kKey, Role::kValue}, l) + sizes.Matrix({Role::kGate, Role::kUp}, l);
    for (const Role role :
         {Role::kAttnOut, Role::kDown, Role::kExpertGateUp, Role::kExpertDown, Role::kPleGate, Role::kPleOut})
      sum += sizes.Matrix({role}, l);
  }
  return sum;
}

// The widest layer of each kind of activation.
struct Widths {
  std::int64_t qkv = 0, q = 0, ffn = 0, top_k = 0, expert_ffn = 0, experts = 0, head_dim = 0, heads = 0, ple = 0;
};

Widths WidthsOf(const ModelSpec& spec) {
  Widths w;
  w.ple = std::int64_t{spec.ple_width} * spec.layer_count();
  for (int l = 0; l < spec.layer_count(); ++l) {
    const LayerSpec& layer = spec.layers[static_cast<std::size_t>(l)];
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
  return Product(step.rows, floats + row_words) * 4 +
         Product(step.rows, operands) * ElementBytes(OperandType(precision)) +
         Product(step.logits, 2 * std::int64_t{spec.vocab} + 1) * 4 + sizeof(std::int32_t);
}

// From above what CUDA ops take for themselves: cuBLAS, staging during the load, float32 results before a fused finish,
// expanded weights, sorted experts, partial sums of attention and of the argmax; a quarter more as they grow.
Bytes WorkspaceBytes(const ModelSpec& spec, const StepRows& step, const EngineOptions& options, int slots) {
  const Widths w = WidthsOf(spec);
  const std::int64_t width = std::max({std::int64_t{spec.hidden}, w.ple, 2 * w.ffn, w.qkv});
  const Bytes gated = 128 * kMebi + std::min(std::max(512 * kMebi, Product(width, 4)), Product(step.rows, width) * 4);
  const Bytes assignments = Product(std::min(step.rows, 2048), w.top_k);
  const Bytes experts = assignments * static_cast<Bytes>(width) * 4 + assignments * 8 + Product(w.experts, 64);
  OpsLimits limits;
  limits.max_rows = step.rows;
  limits.max_sessions = std::max(options.max_sessions, step.decoded);
  limits.max_slots = slots;
  limits.max_heads = static_cast<int>(w.heads);
  limits.max_head_dim = static_cast<int>(w.head_dim);
  const Bytes attention = AttentionWorkspaceBytes(limits);
  const Bytes argmax = Product(step.rows, 1024) * 8;
  constexpr Bytes kFixed = (32 + 64) * kMebi;
  return kFixed + std::max({gated, experts, attention, argmax}) * 5 / 4;
}

double Giga(Bytes bytes) { return static_cast<double>(bytes) * 1e-9; }

}  // namespace

MemoryPlan PlanMemory(const WeightStore& store, Precision precision, const EngineOptions& options, bool on_host) {
  const ModelSpec& spec = store.spec();
  Require(options.max_sessions >= 1, "memory plan: max_sessions {}: expected at least 1", options.max_sessions);
  const Sizes sizes(store, precision, on_host);
  const StepRows step = StepRowsOf(options.max_rows, options.max_sessions);
  MemoryPlan plan;
  plan.matrices = MatrixBytes(spec, sizes);
  plan.vectors = sizes.Vectors();
  const KvPlan kv = MakeKvPlan(spec, options.capacity, options.max_chunk);
  int slots = 0;  // of the longest cache
  for (const KvCacheSpec& cache : kv.caches) slots = std::max(slots, cache.slots);
  plan.cache_per_session = kv.BytesPerSession(OperandType(precision));
  plan.sessions = options.max_sessions;
  plan.scratch = ScratchBytes(spec, step, precision);
  plan.workspace = on_host ? 0 : WorkspaceBytes(spec, step, options, slots);
  return plan;
}

int SessionsThatFit(const WeightStore& store, Precision precision, EngineOptions options, bool on_host,
                    std::size_t free) {
  const auto fits = [&](int sessions) {
    options.max_sessions = sessions;
    return PlanMemory(store, precision, options, on_host).total() <= free;
  };
  if (!fits(1)) return 0;
  int low = 1, high = 2;
  constexpr int kMost = 1 << 20;
  while (high < kMost && fits(high)) low = high, high *= 2;
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

void RequireFits(const WeightStore& store, Ops& ops, const EngineOptions& options) {
  if (ops.on_host()) return;  // a host can page, and counts its file cache as used
  const MemoryPlan plan = PlanMemory(store, ops.precision(), options, false);
  const std::size_t free = ops.memory().FreeBytes();
  if (free == 0 || plan.total() <= free) return;
  const int sessions = SessionsThatFit(store, ops.precision(), options, false, free);
  const std::string fitting =
      sessions == 0 ? "not even one session would fit" : fmt::format("{} sessions would fit", sessions);
  throw OutOfMemory(
      fmt::format("{}: {} sessions of {} positions need {:.2f} GB of device memory ({}), {:.2f} GB are free; {}",
                  store.spec().name, options.max_sessions, options.capacity, Giga(plan.total()), Describe(plan),
                  Giga(free), fitting),
      plan.total(), free);
}

std::string Describe(const MemoryPlan& plan) {
  return fmt::format("weights {:.2f} GB, caches {} x {:.3f} GB, scratch {:.2f} GB, workspace {:.2f} GB",
                     Giga(plan.weights()), plan.sessions, Giga(plan.cache_per_session), Giga(plan.scratch),
                     Giga(plan.workspace));
}

}  // namespace assay
