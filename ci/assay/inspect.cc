#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "ci/assay/commands.h"
#include "ci/assay/terminal.h"
#include "engine/base/check.h"
#include "engine/model/kv_plan.h"
#include "engine/ops/ops_factory.h"
#include "engine/runtime/memory_plan.h"
#include "engine/weights/store.h"
#include "reports/format/json.h"
#include "suites/suites.h"
#include "suites/support/embedded.h"

namespace assay {
namespace {

constexpr int kDefaultContext = 4096;

void PrintModel(const ModelSpec& spec, const WeightStore& store, IdentityExtent extent) {
  Tell("{}: {}, {}, {} layers, hidden {}, vocabulary {}, {} positions\n", spec.name, spec.family, store.format(),
       spec.layer_count(), spec.hidden, spec.vocab, spec.max_position);
  std::string traits;
  const auto trait = [&](bool present, const std::string& text) {
    if (present) traits += (traits.empty() ? "" : ", ") + text;
  };
  trait(spec.qk_norm, "q/k norm");
  trait(spec.v_norm, "v norm");
  trait(spec.qkv_bias, "q/k/v bias");
  trait(spec.out_bias, "output bias");
  trait(spec.post_norms, "post norms");
  trait(spec.layer_scalar, "layer scalars");
  trait(spec.tied_head, "tied head");
  trait(spec.softcap != 0, fmt::format("softcap {:g}", spec.softcap));
  trait(spec.ple_width > 0, fmt::format("per-layer embeddings of {}", spec.ple_width));
  trait(true, spec.activation == Activation::kSilu ? "silu" : "gelu tanh");
  Tell("{}; norm eps {:g}, embedding x {:g}, attention x {:g}\n", traits, spec.norm_eps, spec.embed_scale,
       spec.attn_scale);
  Tell("identity {}{}\n\n", store.Identity(extent), extent == IdentityExtent::kWhole ? " of every byte" : "");
}

std::ptrdiff_t RotatedPairs(const ModelSpec& spec, const LayerSpec& layer) {
  const std::vector<float>& inv_freq = spec.ropes[layer.rope].inv_freq;
  return std::count_if(inv_freq.begin(), inv_freq.end(), [](float f) { return f != 0; });
}

void PrintLayers(const ModelSpec& spec, const KvPlan& plan) {
  Table table("><>>>><<><", {"layer", "kind", "window", "heads", "kv", "dim", "rope", "kv from", "cache", "ffn"});
  for (int i = 0; i < spec.layer_count(); ++i) {
    const LayerSpec& layer = spec.layers[i];
    const RopeSpec& rope = spec.ropes[layer.rope];
    const auto rotated = RotatedPairs(spec, layer);
    std::string ffn = fmt::format("{}", layer.ffn);
    if (layer.experts > 0) ffn += fmt::format(" + {} of {} experts x {}", layer.top_k, layer.experts, layer.expert_ffn);
    table.Add(
        {fmt::format("{}", i), layer.kind == LayerKind::kFull ? "full" : "sliding",
         layer.window > 0 ? fmt::format("{}", layer.window) : "-", fmt::format("{}", layer.heads),
         fmt::format("{}", layer.kv_heads), fmt::format("{}", layer.head_dim),
         fmt::format("{:g}{}", rope.theta,
                     (rotated == layer.head_dim / 2 ? std::string()
                                                    : fmt::format(" ({} of {} pairs)", rotated, layer.head_dim / 2)) +
                         (rope.gain == 1 ? std::string() : fmt::format(" x {:g}", rope.gain))),
         layer.kv_source == i ? (layer.value_is_key ? "own, v = k" : "own") : fmt::format("layer {}", layer.kv_source),
         fmt::format("{}", plan.cache_of_layer[i]), ffn});
  }
  table.Print(stdout);
}

void PrintPlan(const KvPlan& plan) {
  Tell("\nKV plan for {} positions, chunks of {}:\n", plan.capacity, plan.max_chunk);
  Table table(">>>>>>", {"cache", "writer", "slots", "kv heads", "dim", "bytes/session"});
  for (std::size_t i = 0; i < plan.caches.size(); ++i) {
    const KvCacheSpec& cache = plan.caches[i];
    // Keys and values, two bytes an element in the 16-bit modes.
    table.Add({fmt::format("{}", i), fmt::format("{}", cache.writer), fmt::format("{}", cache.slots),
               fmt::format("{}", cache.kv_heads), fmt::format("{}", cache.head_dim),
               HumanBytes(4.0 * static_cast<double>(cache.elements()))});
  }
  table.Print(stdout);
  const auto bytes = [&](DType type) { return HumanBytes(static_cast<double>(plan.BytesPerSession(type))); };
  Tell("a session: {} in bf16 and fp16, {} in fp32, {} with keys and values in fp8\n", bytes(DType::kBF16),
       bytes(DType::kF32), bytes(DType::kF8_E4M3));
}

// What an engine in bf16 would take of a device, whether or not one is here.
void PrintMemory(const WeightStore& store, const KvPlan& kv) {
  if (!PlanningAvailable(Device::Cuda())) return;
  const std::unique_ptr<Ops> ops = MakePlanningOps(Device::Cuda(), Precision::kBf16);
  Tell("\nmemory in bf16 of {}:\n", ops->device());
  Table table(">>>>>>>", {"sessions", "weights", "caches", "scratch", "workspace", "recorded steps", "all"});
  for (const int sessions : {1, 8, 32, 128}) {
    EngineOptions options;
    options.max_sessions = sessions;
    options.capacity = kv.capacity;
    options.max_chunk = kv.max_chunk;
    const MemoryPlan plan = PlanMemory(store, *ops, options);
    std::vector<std::string> cells{fmt::format("{}", sessions)};
    for (const std::size_t bytes :
         {plan.weights(), plan.caches(), plan.scratch, plan.workspace, plan.recorded, plan.total()})
      cells.push_back(HumanBytes(static_cast<double>(bytes)));
    table.Add(cells);
  }
  table.Print(stdout);
}

void PrintTensors(const WeightStore& store) {
  struct Total {
    int tensors = 0;
    double used = 0, unused = 0;
  };
  std::map<std::string, Total> totals;
  for (const StoredTensorInfo& tensor : store.Listing()) {
    Total& total = totals[std::string(Name(tensor.type))];
    ++total.tensors;
    (tensor.used ? total.used : total.unused) += static_cast<double>(tensor.bytes);
  }
  Tell("\n");
  Table table("<>>>", {"type", "tensors", "read", "not read"});
  Total all;
  for (const auto& [type, total] : totals) {
    table.Add({type, fmt::format("{}", total.tensors), HumanBytes(total.used), HumanBytes(total.unused)});
    all.tensors += total.tensors;
    all.used += total.used;
    all.unused += total.unused;
  }
  table.Add({"all", fmt::format("{}", all.tensors), HumanBytes(all.used), HumanBytes(all.unused)});
  table.Print(stdout);
}

// What was decided about the file, and everything in it that nothing reads: with the reason where there is one.
void PrintUnread(const WeightStore& store) {
  for (const std::string& note : store.Notes()) Tell("\nnote: {}\n", note);
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const UnreadKey& key : store.UnreadKeys()) by_reason[key.reason].push_back(key.key);
  for (const StoredTensorInfo& tensor : store.Listing())
    if (!tensor.used) by_reason[tensor.reason].push_back(tensor.name);
  if (by_reason.empty()) return;
  constexpr std::size_t kShown = 12;
  Tell("\nnot read:\n");
  for (const auto& [reason, names] : by_reason) {
    const std::size_t shown = reason.empty() ? names.size() : std::min(names.size(), kShown);
    Tell("  {}: {}{}\n", reason.empty() ? "unknown" : reason,
         fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", ")),
         shown < names.size() ? fmt::format(" and {} more", names.size() - shown) : "");
  }
}

// One line a model, so that several are read one by one.
Json ModelJson(const std::string& model, const WeightStore& store, const KvPlan& plan, IdentityExtent extent) {
  const ModelSpec& spec = store.spec();
  Json layers = Json::array(), caches = Json::array();
  for (int i = 0; i < spec.layer_count(); ++i) {
    const LayerSpec& layer = spec.layers[i];
    layers.push_back({{"kind", layer.kind == LayerKind::kFull ? "full" : "sliding"},
                      {"window", layer.window},
                      {"heads", layer.heads},
                      {"kv_heads", layer.kv_heads},
                      {"head_dim", layer.head_dim},
                      {"rope_theta", spec.ropes[layer.rope].theta},
                      {"rotated_pairs", RotatedPairs(spec, layer)},
                      {"value_is_key", layer.value_is_key},
                      {"kv_source", layer.kv_source},
                      {"ffn", layer.ffn},
                      {"experts", layer.experts},
                      {"top_k", layer.top_k}});
  }
  for (const KvCacheSpec& cache : plan.caches)
    caches.push_back(
        {{"writer", cache.writer}, {"slots", cache.slots}, {"kv_heads", cache.kv_heads}, {"head_dim", cache.head_dim}});
  double used = 0, unused = 0;
  for (const StoredTensorInfo& tensor : store.Listing())
    (tensor.used ? used : unused) += static_cast<double>(tensor.bytes);
  Json unread = Json::object();
  for (const UnreadKey& key : store.UnreadKeys()) unread[key.key] = key.reason;
  return {{"model", model},
          {"name", spec.name},
          {"family", spec.family},
          {"format", store.format()},
          {"identity", store.Identity(extent)},
          {"hidden", spec.hidden},
          {"vocab", spec.vocab},
          {"max_position", spec.max_position},
          {"norm_eps", spec.norm_eps},
          {"softcap", spec.softcap},
          {"ple_width", spec.ple_width},
          {"layers", std::move(layers)},
          {"capacity", plan.capacity},
          {"caches", std::move(caches)},
          {"bytes_per_session_16_bit", plan.BytesPerSession(DType::kBF16)},
          {"bytes_per_session_fp32", plan.BytesPerSession(DType::kF32)},
          {"bytes_per_session_fp8kv", plan.BytesPerSession(DType::kF8_E4M3)},
          {"notes", store.Notes()},
          {"unread_keys", std::move(unread)},
          {"bytes_read", used},
          {"bytes_not_read", unused}};
}

int Inspect(const std::string& model, const InspectArguments& arguments) {
  std::unique_ptr<WeightStore> store;
  try {
    store = OpenModel(ResolveModel(model));
  } catch (const InputError& error) {
    if (arguments.json)
      WriteOut(Ascii({{"model", model}, {"error", error.what()}}) + "\n");
    else
      Tell("{}: cannot be run: {}\n", model, error.what());
    return kExitUsage;
  }
  const IdentityExtent extent = arguments.whole_identity ? IdentityExtent::kWhole : IdentityExtent::kSampled;
  const ModelSpec& spec = store->spec();
  const int context = arguments.context > 0 ? arguments.context : std::clamp(spec.max_position, 1, kDefaultContext);
  const KvPlan plan = MakeKvPlan(spec, context, std::min(context, arguments.max_chunk));
  if (arguments.json) {
    WriteOut(Ascii(ModelJson(model, *store, plan, extent)) + "\n");
    return kExitPass;
  }
  PrintModel(spec, *store, extent);
  PrintLayers(spec, plan);
  PrintPlan(plan);
  PrintMemory(*store, plan);
  PrintTensors(*store);
  PrintUnread(*store);
  return kExitPass;
}

}  // namespace

int InspectCommand(const InspectArguments& arguments) {
  int code = kExitPass;
  const std::vector<std::string> models = MatchModels(arguments.models);
  for (const std::string& model : models) {
    if (model != models.front() && !arguments.json) Tell("\n");
    code = std::max(code, Inspect(model, arguments));
  }
  return code;
}

}  // namespace assay
