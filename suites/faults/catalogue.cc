#include "suites/faults/catalogue.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/base/half.h"
#include "engine/base/ring.h"
#include "oracles/probes/faulty_ops.h"
#include "suites/faults/faulty_system.h"
#include "suites/testing/planted.h"

namespace assay {
namespace {

using Rowed = std::vector<FaultRow>;
using Values = std::vector<float>;
using Ints = std::vector<std::int32_t>;

constexpr const char *kPle = "tiny-gemma4-ple", *kKeqv = "tiny-gemma4-keqv", *kMoe = "tiny-gemma4-moe",
                     *kLlama = "tiny-llama", *kMistral = "tiny-mistral", *kQwen2 = "tiny-qwen2", *kQwen3 = "tiny-qwen3",
                     *kGemma3 = "tiny-gemma3";

bool Full(const Ops::AttentionArgs& a) { return a.window == 0; }
bool Decoding(const Rows& rows) { return rows.segments == rows.count; }
void Fill(Ints& all, std::int32_t with) { std::fill(all.begin(), all.end(), with); }
// All keys, or all values, of the cache that the op has written.
void EditCache(const KvView& kv, void* data, Edit& e, const std::function<float(float)>& to) {
  e.Cached(data, 0, kv.session_stride() * kv.sessions,
           [&](Values& v) { std::transform(v.begin(), v.end(), v.begin(), to); });
}

const char* OpOf(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return "";
    case Fault::kFirstRowPosition:
    case Fault::kLateStep:
    case Fault::kNoValueNorm:
    case Fault::kNormedValueIsKey:
      return "Qkv";
    case Fault::kWindowPlusOne:
    case Fault::kWindowMinusOne:
    case Fault::kWindowIsRing:
    case Fault::kScaleOff:
    case Fault::kNewestKeyDropped:
    case Fault::kNeighbourCache:
      return "Attention";
    case Fault::kRowSwap:
    case Fault::kNoSoftcap:
      return "Logits";
    case Fault::kNoLayerScalar:
    case Fault::kNoPostNorm:
      return "Residual";
    case Fault::kPleFirstRow:
      return "PleInput";
    case Fault::kWrongActivation:
      return "GatedMatMul";
    case Fault::kExpertWeights:
      return "Route";
    case Fault::kStaleRow:
      return "MatMul";
    case Fault::kLastTokenAgain:
      return "Embed";
  }
  return "";
}

const char* OpOf(const Hooks& h) {
  const std::pair<bool, const char*> ops[] = {{h.embed || h.embed_out, "Embed"},
                                              {h.ple_input || h.ple_input_out, "PleInput"},
                                              {h.norm || h.norm_out, "Norm"},
                                              {h.residual || h.residual_out, "Residual"},
                                              {h.bias || h.bias_out, "AddBias"},
                                              {h.join || h.join_out, "Join"},
                                              {h.matmul || h.matmul_out, "MatMul"},
                                              {h.gated || h.gated_out, "GatedMatMul"},
                                              {h.ple_gate || h.ple_gate_out, "PleGate"},
                                              {h.qkv || h.qkv_out, "Qkv"},
                                              {h.attention || h.attention_out, "Attention"},
                                              {h.route || h.route_out, "Route"},
                                              {h.expert_gated || h.expert_gated_out, "ExpertGated"},
                                              {h.expert_down || h.expert_down_out, "ExpertDown"},
                                              {h.logits || h.logits_out, "Logits"},
                                              {h.gather || h.gather_out, "GatherRows"},
                                              {h.advance || h.advance_out, "Advance"}};
  for (const auto& [hooked, name] : ops)
    if (hooked) return name;
  return "";
}

class Builder {
 public:
  // Of one of the faults that oracles/probes knows by name.
  void Known(Fault fault, const char* about, const char* model, const char* suites,
             Precision precision = Precision::kFp32) {
    const auto& faults = Faults();
    const auto info = std::find_if(faults.begin(), faults.end(), [&](const FaultInfo& f) { return f.fault == fault; });
    rows_.push_back({info->name,
                     Seam::kOp,
                     about,
                     model,
                     suites,
                     [fault](Witness engaged) { return Decorated<WitnessedFault>(fault, engaged); },
                     {},
                     precision,
                     OpOf(fault)});
  }
  void Op(const char* id, const char* about, const char* model, const char* suites, Hooks hooks,
          Precision precision = Precision::kFp32) {
    rows_.push_back({id,
                     Seam::kOp,
                     about,
                     model,
                     suites,
                     [hooks](Witness engaged) { return Decorated<HookedOps>(hooks, engaged); },
                     {},
                     precision,
                     OpOf(hooks)});
  }
  void Memory(const char* id, const char* about, const char* model, const char* suites, MemoryHooks hooks) {
    rows_.push_back({id, Seam::kMemory, about, model, suites,
                     [hooks](Witness engaged) { return Decorated<OpsOverMemory<HookedMemory>>(hooks, engaged); }});
  }
  void Loader(const char* id, const char* about, const char* model, const char* suites, StoreHooks hooks) {
    rows_.push_back({id, Seam::kLoader, about, model, suites, [hooks](Witness engaged) {
                       return std::make_unique<FaultyProvider>(FaultyParts{.store = hooks}, engaged);
                     }});
  }
  void Schedule(const char* id, const char* about, const char* model, const char* suites, SystemHooks hooks) {
    rows_.push_back({id, Seam::kSchedule, about, model, suites, [hooks](Witness engaged) {
                       return std::make_unique<FaultyProvider>(FaultyParts{.system = hooks}, engaged);
                     }});
  }
  void Report_(const char* id, const char* about, std::function<void(Report&)> damage) {
    rows_.push_back({id, Seam::kReport, about, kLlama, "", nullptr, std::move(damage)});
  }
  std::vector<FaultRow> rows_;
};

void OpFaults(Builder& add) {
  add.Known(Fault::kWindowPlusOne, "a sliding window of one key more", kPle, "RingWrap BatchedDecode");
  add.Known(Fault::kWindowMinusOne, "a sliding window of one key less", kPle, "RingWrap BatchedDecode");
  add.Known(Fault::kWindowIsRing, "the mask goes by the ring instead of the window", kPle, "RingWrap BatchedDecode");
  add.Known(Fault::kScaleOff, "scores multiplied by 1.1", kPle, "BatchedDecode Prefill");
  add.Known(Fault::kFirstRowPosition, "all rows rotate by the first row's position", kPle, "BatchedDecode Prefill");
  add.Known(Fault::kLateStep, "a decode step's keys land one slot late", kPle, "CacheAliasing Decode");
  add.Known(Fault::kNewestKeyDropped, "a query does not see its own key", kPle, "BatchedDecode");
  add.Known(Fault::kNeighbourCache, "the last row reads the first row's cache", kPle, "Invariance BatchedDecode");
  add.Known(Fault::kRowSwap, "logits of two rows exchanged", kPle, "BatchedDecode Invariance");
  add.Known(Fault::kNoSoftcap, "logits are not capped", kPle, "BatchedDecode Ops");
  add.Known(Fault::kNoValueNorm, "values are not normed", kPle, "BatchedDecode Ops");
  add.Known(Fault::kNormedValueIsKey, "values are the normed key", kKeqv, "BatchedDecode Ops");
  add.Known(Fault::kNoLayerScalar, "a layer's scalar is skipped", kPle, "BatchedDecode Ops");
  add.Known(Fault::kNoPostNorm, "a sandwich norm is skipped", kPle, "BatchedDecode Ops");
  add.Known(Fault::kPleFirstRow, "every row has the first row's per-layer embedding", kPle, "BatchedDecode Invariance");
  add.Known(Fault::kWrongActivation, "silu for gelu", kPle, "BatchedDecode Ops");
  // The norm behind the experts takes a factor of their sum out again: the op's own output alone shows it.
  add.Known(Fault::kExpertWeights, "weights of experts are not renormalised", kMoe, "Ops");
  add.Known(Fault::kStaleRow, "a product leaves the last row of three or more", kPle, "BatchedDecode Failure");
  add.Known(Fault::kLastTokenAgain, "every row embeds the last row's token", kPle, "BatchedDecode Invariance");

  add.Op("embed-unscaled", "the embedding's scale is missing", kPle, "BatchedDecode Ops",
         {.embed = [](auto& a, Edit& e) { e.Set(a.scale, 1.0f); }});
  add.Op("embed-scale-rounded", "the embedding's scale is rounded to bfloat16", kPle, "BatchedDecode",
         {.embed = [](auto& a, Edit& e) { e.Set(a.scale, ToFloat(ToBF16(a.scale))); }});
  add.Op("embed-next-token", "one token's row is its neighbour's", kQwen3, "BatchedDecode",
         {.embed = [](auto& a, Edit& e) {
           e.Token(a.rows, [](Ints& token) {
             for (auto& t : token) t = t == 7 ? 8 : t;
           });
         }});
  add.Op("ple-token-scale", "the per-layer embedding's scale is missing", kPle, "BatchedDecode Ops",
         {.ple_input = [](auto& a, Edit& e) { e.Set(a.token_scale, 1.0f); }});
  add.Op("ple-context-scale", "the projection's scale is missing", kPle, "BatchedDecode Ops",
         {.ple_input = [](auto& a, Edit& e) {
           e.Set(a.context_scale, 1.0f);
           e.Set(a.eps, 1.0f);
         }});
  add.Op("ple-not-halved", "the sum of token and context is not divided by the root of two", kPle, "BatchedDecode Ops",
         {.ple_input_out = [](auto& a, Edit& e) {
           e.Values(a.ple, std::int64_t{a.rows->count} * a.layers * a.width, [](Values& v) {
             for (float& x : v) x *= 1.41421356f;
           });
         }});
  add.Op("ple-slice-of-layer-0", "every layer reads the first layer's slice", kPle, "BatchedDecode Prefill",
         {.ple_gate = [](auto& a, Edit& e) { e.Set(a.ple, a.ple - std::int64_t{e.site().layer} * 8); }});
  add.Op("ple-stale-token", "the per-layer embedding is that of the step before", kPle, "BatchedDecode",
         {.ple_input_out = [last = Values()](auto& a, Edit& e) mutable {
           e.Values(a.ple, std::int64_t{a.rows->count} * a.layers * a.width, [&](Values& v) {
             Values now = v;
             if (last.size() == v.size()) v = last;
             last = std::move(now);
           });
         }});
  add.Op("ple-gate-activation", "the gate of the per-layer embedding uses another activation", kPle,
         "BatchedDecode Ops", {.ple_gate = [](auto& a, Edit& e) { e.Set(a.activation, Activation::kSilu); }});
  add.Op("norm-epsilon", "an epsilon of 1e-5 for 1e-6 in the first norm", kQwen3, "BatchedDecode Ops",
         {.norm = [](auto& a, Edit& e) { e.Set(a.eps, 1e-2f); }});
  add.Op("norm-partial", "a norm that leaves the last element out", kQwen3, "BatchedDecode Ops",
         {.norm_out = [](auto& a, Edit& e) {
           for (int r = 0; r < a.rows; ++r)
             e.Operand(a.operand, std::int64_t{r} * a.width + a.width - 1, 1, [](Values& v) { v[0] = 0; });
         }});
  add.Op("norm-plus-one", "1 + w for w in the first norm", kQwen3, "BatchedDecode Ops",
         {.norm_out = [](auto& a, Edit& e) {
           e.Operand(a.operand, 0, std::int64_t{a.rows} * a.width, [](Values& v) {
             for (float& x : v) x *= 2;
           });
         }});
  add.Op("next-norm-skipped", "the norm behind a residual is skipped in one layer", kLlama, "BatchedDecode Ops",
         {.residual = [](auto& a, Edit& e) {
           if (e.site().layer == 2) e.Set(a.next_norm, nullptr);
         }});
  add.Op("residual-lost", "a sublayer's output does not join the residual of the last row", kLlama,
         "Invariance BatchedDecode", {.residual = [](auto& a, Edit& e) {
           if (a.rows > 1)
             e.Values(a.delta + std::int64_t{a.rows - 1} * a.width, a.width, [](Values& v) {
               for (float& x : v) x = 0;
             });
         }});
  add.Op("residual-epsilon", "an epsilon of 0.01 in the norms of residuals", kGemma3, "BatchedDecode Ops",
         {.residual = [](auto& a, Edit& e) { e.Set(a.eps, 1e-2f); }});
  add.Op("layer-scalar-of-one", "the scalar of the third layer is 1", kKeqv, "BatchedDecode",
         {.residual = [](auto& a, Edit& e) {
           if (e.site().layer == 2) e.Set(a.scale, 1.0f);
         }});
  add.Op("qkv-bias-lost", "the bias of queries, keys and values is lost", kQwen2, "BatchedDecode Ops",
         {.qkv = [](auto& a, Edit& e) { e.Set(a.bias, nullptr); }});
  add.Op("query-norm-lost", "queries are not normed in one layer", kQwen3, "BatchedDecode Ops",
         {.qkv = [](auto& a, Edit& e) {
           if (e.site().layer == 1) e.Set(a.q_norm, nullptr);
         }});
  add.Op("key-norm-lost", "keys are not normed in one layer", kQwen3, "BatchedDecode Ops",
         {.qkv = [](auto& a, Edit& e) {
           if (e.site().layer == 3) e.Set(a.k_norm, nullptr);
         }});
  add.Op("key-norm-of-queries", "keys are normed by the queries' weights", kQwen3, "BatchedDecode Ops",
         {.qkv = [](auto& a, Edit& e) { e.Set(a.k_norm, a.q_norm); }});
  add.Op("value-norm-of-values", "values that are no keys are not normed", kKeqv, "BatchedDecode Ops",
         {.qkv = [](auto& a, Edit& e) {
           if (!a.value_is_key && a.kv != nullptr) e.Set(a.v_norm, false);
         }});
  add.Op("query-element-off", "an element of the first query of decode steps is off by a hundredth", kLlama,
         "Decode BatchedDecode", {.attention = [](auto& a, Edit& e) {
           if (Decoding(*a.rows)) e.Operand(const_cast<void*>(a.q), 0, 1, [](Values& v) { v[0] *= 1.01f; });
         }});
  add.Op("position-from-zero", "a mixed step's chunk starts at position 0", kLlama, "Prefill Schedule",
         {.qkv = [](auto& a, Edit& e) {
           if (a.rows->count > 1 && !Decoding(*a.rows))
             e.Position(a.rows, [](Ints& p) {
               const auto first = p.front();
               for (auto& x : p) x -= std::min(first, x);
             });
         }});
  add.Op("oldest-key-dropped", "the first key of all is not seen", kLlama, "BatchedDecode",
         {.attention = [](auto& a, Edit& e) {
           if (Full(a)) e.Set(a.window, 6);
         }});
  add.Op("window-on-full-layers", "full layers have the window too", kPle, "BatchedDecode",
         {.attention = [](auto& a, Edit& e) {
           if (Full(a)) e.Set(a.window, 6);
         }});
  add.Op("no-window", "sliding layers see all that the ring holds", kMistral, "RingWrap BatchedDecode",
         {.attention = [](auto& a, Edit& e) {
           if (!Full(a)) e.Set(a.window, a.kv->slots);
         }});
  add.Op("scale-root", "1/sqrt(head_dim) where the scale is 1", kPle, "BatchedDecode",
         {.attention = [](auto& a, Edit& e) { e.Set(a.scale, a.scale / 4); }});
  add.Op("attention-reads-ahead", "a query sees one slot past its own", kLlama, "Invariance BatchedDecode",
         {.attention = [](auto& a, Edit& e) {
           if (a.rows->count > 1 && !Decoding(*a.rows))
             e.Position(a.rows, [](Ints& p) {
               for (std::size_t i = 0; i + 1 < p.size(); ++i) p[i] = p[i + 1];
             });
         }});
  add.Op("attention-reads-unwritten", "a decode step sees a slot that nobody has written", kLlama, "CacheAliasing",
         {.attention = [](auto& a, Edit& e) {
           if (Decoding(*a.rows))
             e.Position(a.rows, [](Ints& p) {
               for (auto& x : p) ++x;
             });
         }});
  add.Op("head-dropped", "the last head of five or more rows is zero", kLlama, "BatchedDecode Ops",
         {.attention_out = [](auto& a, Edit& e) {
           if (a.rows->count < 5) return;
           const std::int64_t width = std::int64_t{a.heads} * a.kv->head_dim;
           for (int r = 0; r < a.rows->count; ++r)
             e.Operand(a.out, r * width + width - a.kv->head_dim, a.kv->head_dim, [](Values& v) {
               for (float& x : v) x = 0;
             });
         }});
  add.Op("gqa-interleaved", "query heads read key heads by remainder", kLlama, "BatchedDecode Ops",
         {.attention_out = [](auto& a, Edit& e) {
           const std::int64_t width = std::int64_t{a.heads} * a.kv->head_dim, dim = a.kv->head_dim;
           for (int r = 0; r < a.rows->count; ++r)
             e.Operand(a.out, r * width, width,
                       [&](Values& v) { std::swap_ranges(v.begin() + dim, v.begin() + 2 * dim, v.end() - 2 * dim); });
         }});
  add.Op("session-of-first-row", "all rows attend in the first row's session", kLlama, "Invariance BatchedDecode",
         {.attention = [](auto& a, Edit& e) { e.Session(a.rows, [](Ints& s) { Fill(s, s.front()); }); }});
  add.Op("keys-to-first-session", "all rows write into the first row's session", kLlama, "CacheAliasing BatchedDecode",
         {.qkv = [](auto& a, Edit& e) {
           if (a.rows->count > 1) e.Session(a.rows, [](Ints& s) { Fill(s, s.front()); });
         }});
  add.rows_.back().suites = "BatchedDecode Schedule";
  add.Op("kv-narrowed", "attention's output is rounded to bfloat16 in float32 mode", kLlama, "BatchedDecode Ops",
         {.attention_out = [](auto& a, Edit& e) {
           e.Operand(a.out, 0, std::int64_t{a.rows->count} * a.heads * a.kv->head_dim, [](Values& v) {
             for (float& x : v) x = ToFloat(ToBF16(x));
           });
         }});
  add.Op("product-last-row", "the last of nine rows or more is its neighbour's", kLlama, "BatchedDecode Ops",
         {.matmul_out = [](auto& a, Edit& e) {
           if (a.rows < 9) return;
           Values neighbour;
           e.Values(a.out + (a.rows - 2) * a.w->rows, a.w->rows, [&](Values& v) { neighbour = v; });
           e.Values(a.out + (a.rows - 1) * a.w->rows, a.w->rows, [&](Values& v) { v = neighbour; });
         }});
  add.Op("product-last-column", "the last column of a product of several rows is not written", kLlama,
         "BatchedDecode Ops", {.matmul_out = [](auto& a, Edit& e) {
           for (int r = 0; r < a.rows && a.rows >= 4; ++r)
             e.Values(a.out + (r + 1) * a.w->rows - 1, 1, [](Values& v) { v[0] = 0; });
         }});
  add.Op("product-in-half", "products are rounded to half precision", kLlama, "BatchedDecode Ops",
         {.matmul_out = [](auto& a, Edit& e) {
           e.Values(a.out, a.rows * a.w->rows, [](Values& v) {
             for (float& x : v) x = ToFloat(ToF16(x));
           });
         }});
  add.Op("product-by-batch", "products of sixteen rows or more differ in the last places", kLlama, "BatchedDecode",
         {.matmul_out = [](auto& a, Edit& e) {
           if (a.rows >= 16)
             e.Values(a.out, a.rows * a.w->rows, [](Values& v) {
               for (float& x : v) x *= 1 + 0x1p-20f;
             });
         }});
  add.Op("gate-and-up-swapped", "the activation is of the other half", kLlama, "BatchedDecode Ops",
         {.gated_out = [](auto& a, Edit& e) {
           e.Operand(a.operand, 0, std::int64_t{a.rows} * a.w->rows / 2, [](Values& v) {
             for (float& x : v) x = -x;
           });
         }});
  add.Op("gated-row-twice", "the second row of a gated product is the first", kLlama, "Invariance BatchedDecode",
         {.gated_out = [](auto& a, Edit& e) {
           if (a.rows < 2) return;
           const std::int64_t width = a.w->rows / 2;
           Values first;
           e.Operand(a.operand, 0, width, [&](Values& v) { first = v; });
           e.Operand(a.operand, width, width, [&](Values& v) { v = first; });
         }});
  add.Op("softcap-constant", "a softcap of 50 for 30", kPle, "BatchedDecode",
         {.logits = [](auto& a, Edit& e) { e.Set(a.cap, 50.0f); }});
  add.Op("argmax-second", "the second best is chosen", kPle, "Schedule Ops", {.logits_out = [](auto& a, Edit& e) {
           if (a.best != nullptr) e.Numbers(a.best, a.rows, [&](Ints& best) { best[0] = (best[0] + 1) % a.vocab; });
         }});
  add.Op("gather-first-row", "wanted rows are gathered from the first", kPle, "Prefill",
         {.gather_out = [](auto& a, Edit& e) {
           Values first(static_cast<std::size_t>(a.row_bytes / 4));
           e.ops().memory().CopyOut(first.data(), a.in, first.size() * 4);
           e.Values(static_cast<float*>(a.out), a.row_bytes / 4, [&](Values& v) { v = first; });
         }});
  add.Op("advance-keeps-position", "recorded steps do not advance the last row's position", kPle, "Decode Schedule",
         {.advance_out = [](auto& a, Edit& e) { e.Numbers(a.position, a.rows, [](Ints& p) { --p.front(); }); }});
  add.Op("advance-keeps-token", "recorded steps feed the first token again", kPle, "Decode Schedule",
         {.advance_out = [](auto& a, Edit& e) { e.Numbers(a.token, a.rows, [](Ints& t) { t.front() = 1; }); }});
  add.Op("advance-history-late", "the history holds the token of another row", kPle, "Decode Schedule",
         {.advance_out = [](auto& a, Edit& e) {
           Ints step(1);
           e.ops().memory().CopyOut(step.data(), a.step, 4);
           e.Numbers(a.history + std::int64_t{step[0] - 1} * a.rows, a.rows,
                     [](Ints& h) { std::rotate(h.begin(), h.begin() + 1, h.end()); });
         }});
  add.Op("router-other-expert", "the last expert chosen is another", kMoe, "BatchedDecode Ops",
         {.route_out = [](auto& a, Edit& e) {
           e.Numbers(a.expert, std::int64_t{a.rows} * a.top_k, [&](Ints& x) {
             x.back() =
                 (x.back() + 1) % a.experts == x.front() ? (x.back() + 2) % a.experts : (x.back() + 1) % a.experts;
           });
         }});
  add.Op("router-scale-lost", "the weights of experts lack their scale", kMoe, "BatchedDecode Ops",
         {.route = [](auto& a, Edit& e) { e.Set(a.expert_scale, nullptr); }});
  add.Op("expert-first-only", "the second expert's share is lost", kMoe, "BatchedDecode",
         {.expert_down = [](auto& a, Edit& e) {
           e.Values(a.weight, std::int64_t{a.rows} * a.top_k, [&](Values& w) {
             for (std::size_t i = 1; i < w.size(); i += static_cast<std::size_t>(a.top_k)) w[i] = 0;
           });
         }});
  add.Op("experts-of-first-row", "every row goes to the first row's experts", kMoe, "Invariance BatchedDecode",
         {.expert_gated = [](auto& a, Edit& e) {
           e.Numbers(const_cast<std::int32_t*>(a.expert), std::int64_t{a.rows} * a.top_k, [&](Ints& x) {
             for (std::size_t i = static_cast<std::size_t>(a.top_k); i < x.size(); ++i) x[i] = x[i % a.top_k];
           });
         }});
  add.Op("expert-activation", "experts use another activation", kMoe, "BatchedDecode Ops",
         {.expert_gated = [](auto& a, Edit& e) { e.Set(a.activation, Activation::kSilu); }});
  add.Op("join-one-norm", "both branches have the dense branch's norm", kMoe, "BatchedDecode Ops",
         {.join = [](auto& a, Edit& e) { e.Set(a.norm_b, a.norm_a); }});
  add.Op("join-epsilon", "an epsilon of 0.01 where branches join", kMoe, "BatchedDecode Ops",
         {.join = [](auto& a, Edit& e) { e.Set(a.eps, 1e-2f); }});
  add.Op("half-operand-cut", "operands are cut instead of rounded to half precision", kLlama, "Ops",
         {.norm_out =
              [](auto& a, Edit& e) {
                e.Operand(a.operand, 0, std::int64_t{a.rows} * a.width, [](Values& v) {
                  for (float& x : v) x = ToFloat(F16{static_cast<std::uint16_t>(ToF16(x).bits & 0xfffe)});
                });
              }},
         Precision::kFp16);
  add.Op("cache-in-eight-bits", "keys and values are rounded to e4m3 in a mode that keeps them in 16 bits", kLlama,
         "BatchedDecode Ops",
         {.qkv_out =
              [](auto& a, Edit& e) {
                if (a.kv == nullptr) return;
                for (void* data : {a.kv->keys, a.kv->values})
                  EditCache(*a.kv, data, e, [](float x) { return ToFloat(ToF8E4M3(x)); });
              }},
         Precision::kBf16);
  add.Op("values-of-seven-bits", "values lose the last bit of their e4m3", kLlama, "Ops",
         {.qkv_out =
              [](auto& a, Edit& e) {
                if (a.kv == nullptr) return;
                EditCache(*a.kv, a.kv->values, e,
                          [](float x) { return ToFloat(F8E4M3{static_cast<std::uint8_t>(ToF8E4M3(x).bits & 0xfe)}); });
              }},
         Precision::kBf16Fp8Kv);
}

void MemoryFaults(Builder& add) {
  add.Memory("copies-lost", "a fork gets a place and none of its tokens", kPle, "Schedule",
             {.copy = [](Memory&, void*, const void*, std::size_t) { return true; }});
  add.Memory("copies-half", "a fork gets the first half of each copy", kPle, "Schedule",
             {.copy = [](Memory& m, void* to, const void* from, std::size_t bytes) {
               m.Copy(to, from, bytes / 2);
               return true;
             }});
  add.Memory("copies-short", "a fork misses the last bytes of each copy", kPle, "Schedule",
             {.copy = [](Memory& m, void* to, const void* from, std::size_t bytes) {
               m.Copy(to, from, bytes - 16);
               return true;
             }});
  add.Memory("first-copy-only", "only the first of a fork's copies arrives", kPle, "Schedule",
             {.copy = [n = 0](Memory& m, void* to, const void* from, std::size_t bytes) mutable {
               if (n++ % 4 != 0) return true;
               m.Copy(to, from, bytes);
               return false;
             }});
  add.Memory("step-counter-kept", "the step counter of recorded steps is not reset", kPle, "Decode",
             {.fill = [n = 0](Memory&, void*, unsigned char byte, std::size_t bytes) mutable {
               return byte == 0 && bytes == 4 && n++ > 0;
             }});
}

// A tensor of one role, in one layer or all.
auto OfRole(Role role, int layer, std::function<void(Values&, std::int64_t cols)> edit) {
  return [=](TensorKey key, Values& values, std::int64_t cols) {
    if (key.role == role && (layer < 0 || key.layer == layer)) edit(values, cols);
  };
}

void LoaderFaults(Builder& add) {
  const auto spec = [&](const char* id, const char* about, const char* model, std::function<void(ModelSpec&)> edit) {
    add.Loader(id, about, model, "BatchedDecode Prefill", {.spec = std::move(edit)});
  };
  const auto tensor = [&](const char* id, const char* about, const char* model, auto edit) {
    add.Loader(id, about, model, "BatchedDecode Prefill", {.tensor = std::move(edit)});
  };
  spec("window-read-wrong", "the window is one more than the file says", kMistral, [](ModelSpec& s) {
    for (auto& l : s.layers) l.window += l.window > 0;
  });
  spec("theta-swapped", "the ropes of sliding and full layers are exchanged", kGemma3, [](ModelSpec& s) {
    if (s.ropes.size() > 1) std::swap(s.ropes[0], s.ropes[1]);
  });
  spec("rope-unscaled", "the rope's scaling is ignored", kLlama, [](ModelSpec& s) {
    for (auto& r : s.ropes) r.inv_freq = RopeFrequencies(r.theta, static_cast<int>(2 * r.inv_freq.size()));
  });
  spec("partial-rope-whole", "pairs that should rest rotate", kPle, [](ModelSpec& s) {
    for (auto& r : s.ropes) r.inv_freq = RopeFrequencies(r.theta, static_cast<int>(2 * r.inv_freq.size()));
  });
  spec("softcap-not-read", "the softcap is not read", kPle, [](ModelSpec& s) { s.softcap = 0; });
  spec("epsilon-default", "the norm's epsilon is a default", kLlama, [](ModelSpec& s) { s.norm_eps = 1e-3f; });
  spec("scale-not-read", "the attention's scale is that of head_dim", kGemma3,
       [](ModelSpec& s) { s.attn_scale = 0.25f; });
  spec("embedding-not-scaled", "the embedding is not scaled", kGemma3, [](ModelSpec& s) { s.embed_scale = 1; });
  spec("activation-read-wrong", "silu for gelu", kGemma3, [](ModelSpec& s) { s.activation = Activation::kSilu; });
  spec("value-norm-not-read", "values have no norm", kKeqv, [](ModelSpec& s) { s.v_norm = false; });
  spec("shared-source-wrong", "a layer reads the keys of another donor of its kind", kPle, [](ModelSpec& s) {
    LayerSpec& reader = s.layers[s.layers.size() - 2];
    const int right = reader.kv_source;
    for (int d = 0; d < right; ++d)
      if (s.OwnsKv(d) && s.layer(d).kind == reader.kind) reader.kv_source = d;
  });
  spec("top-k-read-wrong", "one expert less", kMoe, [](ModelSpec& s) {
    for (auto& l : s.layers) l.top_k = std::max(1, l.top_k - 1);
  });
  tensor("scalar-not-read", "a layer's scalar is 1", kPle,
         OfRole(Role::kLayerScalar, 1, [](Values& v, auto) { v[0] = 1; }));
  tensor("rows-interleaved", "rows of queries come in pairs", kLlama,
         OfRole(Role::kQuery, -1, [](Values& v, std::int64_t cols) {
           std::swap_ranges(v.begin() + cols, v.begin() + 2 * cols, v.begin() + 2 * cols);
         }));
  tensor("gate-for-up", "gate and up are exchanged", kLlama,
         [kept = Values()](TensorKey key, Values& v, std::int64_t) mutable {
           if (key.role == Role::kGate) kept = v, std::reverse(v.begin(), v.end());
         });
  tensor("norm-of-next-layer", "a norm's weights are shifted by one", kQwen3,
         OfRole(Role::kFfnNorm, 0, [](Values& v, auto) { std::rotate(v.begin(), v.begin() + 1, v.end()); }));
  tensor("head-row-lost", "the last row of the head is zero", kLlama,
         OfRole(Role::kHead, -1, [](Values& v, std::int64_t cols) { std::fill(v.end() - cols, v.end(), 0.0f); }));
  tensor("bias-of-keys-lost", "the bias of keys is not read", kQwen2,
         OfRole(Role::kKeyBias, -1, [](Values& v, auto) { std::fill(v.begin(), v.end(), 0.0f); }));
  tensor("matrix-in-bf16", "a matrix is rounded to seven bits", kLlama, OfRole(Role::kDown, 1, [](Values& v, auto) {
           for (float& x : v) x = std::round(x * 128) / 128;
         }));
}

void ScheduleFaults(Builder& add) {
  const auto schedule = [&](const char* id, const char* about, SystemHooks hooks, const char* suites = "Schedule") {
    add.Schedule(id, about, kPle, suites, std::move(hooks));
  };
  schedule("truncate-one-short", "one token too few is taken back",
           {.truncate = [](EngineSystem& s, SessionId id, int length, Edit& e) {
             const int to = std::min(length + 1, s.Length(id));
             e.Note(to != length);
             s.EngineSystem::Truncate(id, s.EngineSystem::CanTruncate(id, to).ok ? to : length);
           }});
  schedule("truncate-nothing", "nothing is taken back",
           {.truncate = [](EngineSystem&, SessionId, int, Edit& e) { e.Note(true); }});
  schedule("reach-too-far", "going back is allowed beyond the ring",
           {.can_truncate = [](const EngineSystem& s, SessionId id, int length, Witness& w) {
             const Support can = s.EngineSystem::CanTruncate(id, length);
             *w = *w || !can.ok;
             return length >= 0 && length <= s.Length(id) ? Support::Yes() : can;
           }});
  schedule("reach-too-short", "going back is refused by one token",
           {.can_truncate = [](const EngineSystem& s, SessionId id, int length, Witness& w) {
             const Support can = s.EngineSystem::CanTruncate(id, length);
             if (!can.ok || length == 0 || s.EngineSystem::CanTruncate(id, length - 1).ok) return can;
             *w = true;
             return Support::No("too far");
           }});
  schedule("fork-of-first-token", "a fork holds one token less", {.fork = [](EngineSystem& s, SessionId id, Edit& e) {
             const SessionId copy = s.EngineSystem::Fork(id);
             if (s.Length(copy) > 1 && s.EngineSystem::CanTruncate(copy, s.Length(copy) - 1).ok)
               s.EngineSystem::Truncate(copy, s.Length(copy) - 1), e.Note(true);
             return copy;
           }});
  schedule("fork-is-empty", "a fork is an empty session", {.fork = [](EngineSystem& s, SessionId, Edit& e) {
             e.Note(true);
             return s.EngineSystem::Open();
           }});
  schedule("close-forgotten", "the third close leaves its session open",
           {.close = [n = 0](EngineSystem& s, SessionId id, Witness& w) mutable {
             if (++n == 3)
               *w = true;
             else
               s.EngineSystem::Close(id);
           }});
  schedule("rows-of-feeds-swapped", "rows of the first two feeds are exchanged",
           {.step =
                [](std::span<const Feed> feeds, StepResult& r, Witness& w) {
                  if (feeds.size() < 2 || r.rows() < 2) return;
                  *w = true;
                  std::swap_ranges(r.raw.begin(), r.raw.begin() + r.vocab, r.raw.begin() + r.vocab);
                }},
           "BatchedDecode Schedule");
  schedule("positions-from-zero", "positions of rows count from the feed's first token",
           {.step = [](std::span<const Feed>, StepResult& r, Witness& w) {
             for (int& p : r.position) *w = *w || p > 0, p = 0;
           }});
  schedule("feeds-reordered", "feeds run in reverse order",
           {.feeds =
                [](std::vector<Feed>& feeds, Witness& w) {
                  *w = *w || feeds.size() > 1;
                  std::reverse(feeds.begin(), feeds.end());
                }},
           "Invariance Schedule");
  schedule("text-shifted", "recorded steps return each text without its first token",
           {.decode =
                [](std::vector<Tokens>& texts, Witness& w) {
                  for (Tokens& t : texts) std::rotate(t.begin(), t.begin() + 1, t.end()), *w = *w || t.size() > 1;
                }},
           "Decode Schedule");
  schedule("texts-swapped", "texts of two sessions are exchanged",
           {.decode =
                [](std::vector<Tokens>& texts, Witness& w) {
                  if (texts.size() > 1) std::swap(texts[0], texts[1]), *w = true;
                }},
           "Decode Schedule");
  schedule("text-too-short", "a text lacks its last token",
           {.decode =
                [](std::vector<Tokens>& texts, Witness& w) {
                  texts.back().pop_back();
                  *w = true;
                }},
           "Decode Schedule");
}

ReportCase& First(Report& report) { return report.cases.front(); }

// What a harness that is itself wrong would write; the check of reports must not believe it.
void ReportFaults(Builder& add) {
  add.Report_("skip-as-pass", "a case that was skipped is written as a pass",
              [](Report& r) { First(r).judgements.clear(); });
  add.Report_("wrong-as-match", "a verdict is better than its value",
              [](Report& r) { First(r).judgements.front().value = 2 * First(r).judgements.front().bound.hard + 1; });
  add.Report_("pass-with-wrong", "a case passes with a WRONG judgement", [](Report& r) {
    Judgement& j = First(r).judgements.front();
    j.value = 2 * j.bound.hard + 1;
    j.verdict = Verdict::kWrong;
  });
  add.Report_("failed-case-left-out", "a case that was selected is not there", [](Report& r) { r.cases.pop_back(); });
  add.Report_("case-twice", "a case stands for two", [](Report& r) {
    r.cases.push_back(First(r));
    r.cases.erase(r.cases.begin() + 1);
  });
  add.Report_("not-finished", "a run that was broken off is complete", [](Report& r) { r.finished.clear(); });
  add.Report_("rows-left-out", "a loop left its last row out", [](Report& r) {
    for (Judgement& j : First(r).judgements)
      if (!j.metric.ends_with("_comparisons")) --j.comparisons;
  });
  add.Report_("void-as-pass", "a comparison that did not happen passes",
              [](Report& r) { First(r).judgements.front() = Void("ulp", Bound::Exact(), "nothing to compare"); });
  add.Report_("nan-lost", "an error that is no number is a match",
              [](Report& r) { First(r).judgements.front().value = std::nan(""); });
  add.Report_("soft-without-budget", "DRIFT that no budget judges", [](Report& r) {
    Judgement& j = First(r).judgements.front();
    j.bound.hard = j.bound.soft + 2;
    j.value = j.bound.soft + 1;
    j.verdict = Verdict::kDrift;
  });
  add.Report_("bounds-crossed", "the soft bound is beyond the hard one",
              [](Report& r) { First(r).judgements.front().bound.soft = First(r).judgements.front().bound.hard + 1; });
  add.Report_("argmax-not-judged", "rows count as judged that were not compared", [](Report& r) {
    First(r).argmax = {1000000, 1000000};
  });
  add.Report_("fail-without-replay", "a failure that nobody can replay", [](Report& r) {
    First(r).status = Status::kFail;
    First(r).reason = "made up";
    First(r).replay.clear();
  });
  add.Report_("more-selected-than-listed", "more cases are selected than there are",
              [](Report& r) { r.selected = r.listed + 1; });
}

}  // namespace

const char* Name(Seam seam) {
  switch (seam) {
    case Seam::kOp:
      return "op";
    case Seam::kMemory:
      return "memory";
    case Seam::kLoader:
      return "loader";
    case Seam::kSchedule:
      return "schedule";
    case Seam::kReport:
      break;
  }
  return "report";
}

const std::vector<FaultRow>& Catalogue() {
  static const std::vector<FaultRow> rows = [] {
    Builder add;
    OpFaults(add);
    MemoryFaults(add);
    LoaderFaults(add);
    ScheduleFaults(add);
    ReportFaults(add);
    return std::move(add.rows_);
  }();
  return rows;
}

}  // namespace assay
