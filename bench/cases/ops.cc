#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include "bench/cases/cases.h"
#include "bench/support/step_timer.h"
#include "bench/support/timing.h"
#include "engine/runtime/batch.h"
#include "engine/runtime/kv_cache.h"
#include "engine/runtime/model_weights.h"

namespace assay {
namespace {

constexpr double kShare = 0.1;         // of a row's seconds: a model has a dozen ops
constexpr unsigned char kSome = 0x3c;  // every byte of an input: a small positive number in any type
constexpr int kNormCalls = 32;

// Times recorded replays of calls and keeps the rows.
class OpsBench {
 public:
  OpsBench(const BenchCase& item, BenchState& state, StepTimer& ops) : item_(item), state_(state), ops_(ops) {}

  // `body` makes `calls` calls of which each costs `cost`.
  void Time(const std::string& op, int calls, const StepCost& cost, const std::string& contains,
            const std::function<void()>& body) {
    body();  // workspaces grow outside captures
    ops_.Synchronize();
    ops_.LogKernels(true);
    const std::unique_ptr<StepGraph> graph = ops_.Capture(body);
    TimedRow timed{RowOf(item_), {}};
    ReportBenchmark& row = timed.row;
    row.axes.Set("op", op);
    const auto replay = [&] {
      constexpr int kReplays = 9;
      for (int i = 0; i < kReplays; ++i) graph->Launch();
      TimedSteps steps = ops_.Take();
      row.counts = steps.counts;
      return steps.seconds;
    };
    const auto sum = [](const std::vector<double>& seconds) {
      return std::accumulate(seconds.begin(), seconds.end(), 0.0);
    };
    replay();
    ops_.LogKernels(false);
    timed.kernels = ops_.LoggedKernels();
    const double budget = kShare * state_.setting.seconds;
    const double once = WarmUp([&] { return sum(replay()); }, budget);
    RunTimed(row.id(), RepeatsWithin(budget, once, 12, 4), [&] {
      state_.activity.Start();
      std::vector<double> seconds = replay();
      const double total = sum(seconds);
      for (double& one : seconds) one /= calls;
      row.series.push_back({std::move(seconds), state_.activity.Stop()});
      return total;
    });
    FillNeeds(&row, cost, state_.setting.limits, 1);
    row.counts["calls"] = calls;
    row.unit = "call";
    row.contains =
        fmt::format("one of {} calls of a recorded sequence ({}); counts are of the sequence", calls, contains);
    rows.push_back(std::move(timed));
  }

  Buffer Some(std::int64_t elements, std::size_t element_bytes) {
    Buffer buffer(ops_.memory(), static_cast<std::size_t>(elements) * element_bytes, "op operand");
    ops_.memory().Fill(buffer.data(), kSome, buffer.bytes());
    return buffer;
  }
  Buffer Operand(std::int64_t elements) { return Some(elements, OperandBytes()); }
  Buffer Floats(std::int64_t elements) { return Some(elements, sizeof(float)); }
  std::size_t OperandBytes() const {
    return static_cast<std::size_t>(Info(OperandType(state_.target.precision)).bytes);
  }

  std::vector<TimedRow> rows;

 private:
  const BenchCase& item_;
  BenchState& state_;
  StepTimer& ops_;
};

// The matrices of one role and shape, a layer each: replayed in turn they come from memory, as in a step.
struct Product {
  std::string name;
  bool gated;
  std::vector<const Weight*> weights;
};

std::vector<Product> ProductsOf(const ModelWeights& model) {
  std::vector<Product> products;
  const auto add = [&](const char* role, const Weight* weight, bool gated = false) {
    if (weight == nullptr) return;
    const std::string name = fmt::format("{}_{}x{}", role, weight->rows, weight->cols);
    auto found = std::find_if(products.begin(), products.end(), [&](const Product& p) { return p.name == name; });
    if (found == products.end()) found = products.insert(products.end(), {name, gated, {}});
    found->weights.push_back(weight);
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

void TimeProducts(OpsBench& bench, Ops& ops, const ModelWeights& model, Activation activation, int n) {
  for (const Product& product : ProductsOf(model)) {
    const Weight& first = *product.weights.front();
    const Buffer x = bench.Operand(n * first.cols), out = bench.Floats(n * first.rows);
    StepCost cost;
    for (const Weight* weight : product.weights)
      cost.weight_bytes += static_cast<double>(weight->bytes()) / static_cast<double>(product.weights.size());
    cost.linear_flops = 2.0 * n * static_cast<double>(first.rows) * static_cast<double>(first.cols);
    const int calls = static_cast<int>(product.weights.size());
    bench.Time(product.name, calls, cost,
               fmt::format("{}, another layer's each time: {:.3f} GB in all", first.format(),
                           1e-9 * cost.weight_bytes * calls),
               [&] {
                 for (const Weight* weight : product.weights) {
                   if (product.gated)
                     ops.GatedMatMul(out.data(), *weight, x.data(), n, activation);
                   else
                     ops.MatMul(out.as<float>(), *weight, x.data(), n);
                 }
               });
  }
}

void TimeAttention(OpsBench& bench, Ops& ops, const ModelSpec& spec, int n, int context) {
  using Shape = std::tuple<int, int, int, int>;  // heads, kv heads, head dim, window
  const KvPlan plan = MakeKvPlan(spec, context, 1);
  const KvCache cache(ops.memory(), plan, OperandType(ops.precision()), n);
  RowList list;
  const std::int32_t token = 0;
  for (int i = 0; i < n; ++i) list.AddSegment(i, context - 1, std::span(&token, 1));
  DeviceRows device_rows(ops.memory(), n);
  const Rows rows = device_rows.Set(list);
  std::map<Shape, std::vector<int>> layers;
  for (int l = 0; l < spec.layer_count(); ++l) {
    const LayerSpec& layer = spec.layers[l];
    layers[{layer.heads, layer.kv_heads, layer.head_dim, layer.window}].push_back(l);
    for (int i = 0; i < n; ++i) {
      const KvCache::Place place = cache.SessionPlace(i, l);
      ops.memory().Fill(place.keys, kSome, place.bytes);
      ops.memory().Fill(place.values, kSome, place.bytes);
    }
  }
  for (const auto& [shape, group] : layers) {
    const auto [heads, kv_heads, head_dim, window] = shape;
    const std::int64_t width = std::int64_t{heads} * head_dim;
    const Buffer q = bench.Operand(n * width), out = bench.Operand(n * width);
    const double keys = window > 0 ? std::min(context, window) : context;
    StepCost cost;
    cost.kv_bytes = 2.0 * n * kv_heads * head_dim * keys * static_cast<double>(bench.OperandBytes());
    cost.attention_flops = 4.0 * n * static_cast<double>(width) * keys;
    bench.Time(fmt::format("attention_{}q{}kv_d{}{}", heads, kv_heads, head_dim,
                           window > 0 ? fmt::format("_w{}", window) : ""),
               static_cast<int>(group.size()), cost, "a layer each; layers that share a cache read the same one", [&] {
                 for (const int l : group)
                   ops.Attention({out.data(), q.data(), &cache.Layer(l), &rows, heads, window, spec.attn_scale});
               });
  }
}

void TimeNorms(OpsBench& bench, Ops& ops, const ModelSpec& spec, int n) {
  const std::int64_t elements = std::int64_t{n} * spec.hidden;
  const Buffer x = bench.Floats(elements), delta = bench.Floats(elements), weight = bench.Floats(spec.hidden),
               operand = bench.Operand(elements);
  const double row_bytes = static_cast<double>(elements) * sizeof(float),
               operand_bytes = static_cast<double>(operand.bytes()), norm_bytes = static_cast<double>(weight.bytes());
  StepCost norm, residual;
  norm.weight_bytes = row_bytes + operand_bytes + norm_bytes;
  residual.weight_bytes = 3 * row_bytes + operand_bytes + 2 * norm_bytes;
  const std::string warm = "rows stay in the cache, as between the ops of a step";
  bench.Time(fmt::format("norm_{}", spec.hidden), kNormCalls, norm, warm, [&] {
    for (int i = 0; i < kNormCalls; ++i)
      ops.Norm({operand.data(), x.as<float>(), weight.as<float>(), n, spec.hidden, spec.norm_eps});
  });
  bench.Time(fmt::format("residual_{}", spec.hidden), kNormCalls, residual, warm, [&] {
    for (int i = 0; i < kNormCalls; ++i)
      ops.Residual({x.as<float>(), operand.data(), delta.as<float>(), spec.post_norms ? weight.as<float>() : nullptr,
                    weight.as<float>(), 0.5f, n, spec.hidden, spec.norm_eps});
  });
}

}  // namespace

std::vector<TimedRow> TimeOps(const BenchCase& item, BenchState& state) {
  const int n = item.Number("n"), context = item.Number("context");
  const std::unique_ptr<Ops> own = state.bench.MakeOps(state.target);
  StepTimer ops(*own);
  OpsBench bench(item, state, ops);
  const WeightStore& store = state.bench.Store(state.target);
  const ModelWeights model(store, ops);
  TimeProducts(bench, ops, model, store.spec().activation, n);
  TimeAttention(bench, ops, store.spec(), n, context);
  TimeNorms(bench, ops, store.spec(), n);
  return std::move(bench.rows);
}

}  // namespace assay
