#include <algorithm>
#include <map>
#include <tuple>

#include "bench/cases/cases.h"
#include "bench/support/step_timer.h"
#include "bench/support/timing.h"
#include "engine/model/kv_plan.h"
#include "engine/runtime/model_weights.h"
#include "suites/ops/cases/cases.h"

namespace assay {
namespace {

constexpr int kNormCalls = 32;

// An op case to time: the row that it becomes, and what its sequence of calls holds.
struct TimedCase {
  std::string row;  // "qkv_64x48"
  OpCase item;
  std::string contains;
};

// The matrices of one role and shape, a layer each: replayed in turn they come from memory, as in a step.
struct Product {
  std::string name;
  bool gated;
  std::vector<std::shared_ptr<const Weight>> weights;  // owned by the model
};

std::vector<Product> ProductsOf(const ModelWeights& model) {
  std::vector<Product> products;
  const auto add = [&](const char* role, const Weight* weight, bool gated = false) {
    if (weight == nullptr) return;
    const std::string name = fmt::format("{}_{}x{}", role, weight->rows, weight->cols);
    auto found = std::find_if(products.begin(), products.end(), [&](const Product& p) { return p.name == name; });
    if (found == products.end()) found = products.insert(products.end(), {name, gated, {}});
    found->weights.push_back(std::shared_ptr<const Weight>(std::shared_ptr<void>(), weight));
  };
  for (const LayerWeights& layer : model.layers) {
    add("qkv", layer.qkv.get());
    add("out", layer.attn_out.get());
    add("gate_up", layer.gate_up.get(), true);
    add("down", layer.down.get());
    add("ple_out", layer.ple_out.get());
  }
  add("head", &model.head());
  return products;
}

std::vector<TimedCase> ModelProducts(const ModelWeights& model, Activation activation, int n) {
  std::vector<TimedCase> cases;
  for (const Product& product : ProductsOf(model)) {
    const Weight& first = *product.weights.front();
    const ProductShape shape{.rows_out = first.rows, .cols = first.cols, .rows = n};
    const WeightsOf weights = [all = product.weights](DeviceFixture&) { return all; };
    const Values x = LazyNumbers(1, static_cast<std::size_t>(n * first.cols));
    double bytes = 0;
    for (const auto& weight : product.weights) bytes += static_cast<double>(weight->bytes());
    cases.push_back({product.name,
                     product.gated ? GatedCase(shape, weights, x, activation) : MatMulCase(shape, weights, x),
                     fmt::format("{}, another layer's each time: {:.3f} GB in all", first.format(), 1e-9 * bytes)});
  }
  return cases;
}

std::vector<TimedCase> ModelAttention(const ModelSpec& spec, int n, int context) {
  using Key = std::tuple<int, int, int, int>;  // heads, kv heads, head dim, window
  const KvPlan plan = MakeKvPlan(spec, context, 1);
  std::map<Key, AttentionShape> shapes;
  std::map<Key, std::vector<int>> caches;  // of the plan, in the order in which the layers meet them
  for (int l = 0; l < spec.layer_count(); ++l) {
    const LayerSpec& layer = spec.layer(l);
    const Key key{layer.heads, layer.kv_heads, layer.head_dim, layer.window};
    const int cache = plan.cache_of_layer[l];
    auto [at, added] = shapes.try_emplace(key);
    AttentionShape& shape = at->second;
    if (added) {
      shape.head_dim = layer.head_dim;
      shape.group = layer.heads / layer.kv_heads;
      shape.kv_heads = layer.kv_heads;
      shape.window = layer.window;
      shape.slots = plan.caches[cache].slots;
      shape.scale = spec.attn_scale;
      shape.cache_of_call.clear();
      for (int i = 0; i < n; ++i) shape.segments.push_back({i, 1, i, context - 1});
    }
    std::vector<int>& known = caches[key];
    const auto found = std::find(known.begin(), known.end(), cache);
    shape.cache_of_call.push_back(static_cast<int>(found - known.begin()));
    if (found == known.end()) known.push_back(cache);
  }
  std::vector<TimedCase> cases;
  for (auto& [key, shape] : shapes) {
    shape.name = fmt::format("{}q{}kv_d{}{}", shape.group * shape.kv_heads, shape.kv_heads, shape.head_dim,
                             shape.window > 0 ? fmt::format("_w{}", shape.window) : "");
    cases.push_back({"attention_" + shape.name, AttentionCase(shape, MakeAttentionInputs(shape, 1)),
                     "a layer each; layers that share a cache read the same one"});
  }
  return cases;
}

std::vector<TimedCase> ModelNorms(const ModelSpec& spec, int n) {
  const std::string warm = "rows stay in the cache, as between the ops of a step";
  return {{fmt::format("norm_{}", spec.hidden),
           NormCase({.rows = n, .width = spec.hidden, .eps = spec.norm_eps, .calls = kNormCalls}), warm},
          {fmt::format("residual_{}", spec.hidden),
           ResidualCase({.rows = n,
                         .width = spec.hidden,
                         .post_norm = spec.post_norms,
                         .next_norm = true,
                         .scale = 0.5f,
                         .eps = spec.norm_eps,
                         .calls = kNormCalls}),
           warm}};
}

// Times recorded replays of what `op` calls.
TimedRow TimeCalls(const TimedCase& timed_case, const PreparedOp& op, const BenchCase& item, BenchState& state,
                   StepTimer& ops) {
  op.call();  // workspaces grow outside captures
  ops.Synchronize();
  ops.LogKernels(true);
  const std::unique_ptr<StepGraph> graph = ops.Capture(op.call);
  TimedRow timed{RowOf(item), {}};
  ReportBenchmark& row = timed.row;
  row.axes.Set("op", timed_case.row);
  const auto replay = [&] {
    constexpr int kReplays = 9;
    for (int i = 0; i < kReplays; ++i) graph->Launch();
    TimedSteps steps = ops.Take();
    row.counts = steps.counts;
    return steps.seconds;
  };
  replay();
  ops.LogKernels(false);
  timed.kernels = ops.LoggedKernels();
  row.series = TimeSeries(row.id(), kShareOfMany * state.setting.seconds, 4, replay, state.activity);
  for (TimedSeries& series : row.series)
    for (double& one : series.seconds) one /= op.calls;
  FillNeeds(&row, {.weight_bytes = op.cost.bytes, .linear_flops = op.cost.flops}, state.setting.limits, 1);
  row.counts["calls"] = op.calls;
  row.unit = "call";
  row.contains = fmt::format("one of {} calls of a recorded sequence ({}); counts are of the sequence", op.calls,
                             timed_case.contains);
  return timed;
}

}  // namespace

std::vector<TimedRow> TimeOps(const BenchCase& item, BenchState& state) {
  const int n = item.Number("n"), context = item.Number("context");
  const std::unique_ptr<Ops> own = state.bench.MakeOps(state.target);
  StepTimer ops(*own);
  const WeightStore& store = state.bench.Store(state.target);
  const ModelWeights model(store, ops);
  std::vector<TimedCase> cases = ModelProducts(model, store.spec().activation, n);
  for (auto& more : {ModelAttention(store.spec(), n, context), ModelNorms(store.spec(), n)})
    cases.insert(cases.end(), more.begin(), more.end());
  DeviceFixture fixture(ops, DeviceFixture::Purpose::kTime);
  std::vector<TimedRow> rows;
  for (const TimedCase& timed : cases) {
    fixture.Clear();
    rows.push_back(TimeCalls(timed, timed.item.prepare(fixture), item, state, ops));
  }
  return rows;
}

}  // namespace assay
