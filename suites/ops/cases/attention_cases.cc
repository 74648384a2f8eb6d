// Attention: ragged rows, rings that wrapped, window edges, groups, head dimensions, both paths.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "suites/ops/cases/cases.h"

namespace assay {
namespace {

std::vector<AttentionShape> Shapes() {
  std::vector<AttentionShape> shapes = {
      {"tiny16", 16, 2, 1, 0, 40, {{0, 1, 0, 0}, {0, 1, 2, 39}, {0, 1, 1, 17}}},
      {"tiny32_ring", 32, 1, 3, 8, 11, {{0, 1, 0, 5}, {0, 1, 1, 7}, {0, 1, 2, 8}, {0, 1, 3, 100}}},
      {"tiny16_prefill", 16, 2, 2, 5, 13, {{0, 9, 1, 0}, {0, 9, 0, 7}}},
      {"odd_head_dim_22", 22, 3, 1, 0, 70, {{0, 1, 0, 69}, {0, 12, 1, 3}}},
      {"ring_shorter_than_a_tile", 64, 4, 2, 7, 9, {{0, 1, 0, 3}, {0, 1, 1, 6}, {0, 1, 2, 7}, {0, 1, 3, 1000}}},
      {"prefill_ring_shorter_than_a_tile", 64, 4, 2, 7, 19, {{0, 13, 0, 50}, {0, 13, 1, 0}}},
      {"one_chunk_exactly", 128, 4, 1, 0, 64, {{0, 1, 0, 63}, {0, 1, 1, 62}}},
      {"first_position", 256, 8, 1, 0, 300, {{0, 1, 0, 0}, {0, 1, 1, 64}, {0, 1, 2, 63}, {0, 1, 3, 299}}},
      {"window_edges_512", 256, 4, 2, 512, 512, {{0, 1, 0, 510}, {0, 1, 1, 511}, {0, 1, 2, 512}, {0, 1, 3, 2049}}},
      {"window_1024_wrapped", 256, 2, 4, 1024, 1279, {{0, 1, 0, 5000}, {0, 1, 1, 1278}, {0, 1, 2, 1279}}},
      {"long_two_chunk_lengths",
       128,
       4,
       1,
       0,
       9000,
       {{0, 1, 0, 2047}, {0, 1, 1, 2048}, {0, 1, 2, 8191}, {0, 1, 3, 8999}}},
      {"group16_wide512", 512, 16, 1, 0, 700, {{0, 1, 0, 699}, {0, 1, 1, 5}}},
      {"group20", 64, 20, 1, 0, 130, {{0, 1, 0, 129}}},
      {"verify", 256, 4, 2, 96, 128, {{0, 3, 1, 300}, {0, 8, 0, 90}}},
      {"prefill_from_zero", 128, 4, 2, 0, 333, {{0, 333, 0, 0}}},
      {"prefill_chunk", 256, 4, 2, 0, 600, {{0, 130, 1, 401}, {0, 77, 0, 0}, {0, 1, 2, 599}}},
      {"prefill_window", 256, 2, 2, 100, 229, {{0, 130, 1, 401}, {0, 77, 0, 40}, {0, 130, 2, 0}}},
      {"prefill_many_segments", 64, 2, 1, 0, 40, {}},
      {"prefill_512", 512, 8, 1, 0, 200, {{0, 75, 0, 125}, {0, 33, 1, 0}}},
      {"prefill_group16_512", 512, 16, 1, 0, 120, {{0, 41, 0, 60}}},
      {"prefill_group7", 128, 7, 1, 0, 90, {{0, 50, 0, 40}}},
  };
  for (AttentionShape& shape : shapes)
    if (shape.segments.empty())
      for (int s = 0; s < 70; ++s) shape.segments.push_back({0, 1 + s * 7 % 20, 69 - s, s * 3 % 20});
  for (const int head_dim : {16, 32, 64, 128, 256, 512})
    for (const int group : {1, 2, 4, 8, 16}) {
      shapes.push_back(
          {"sweep_decode", head_dim, group, 2, 150, 180, {{0, 1, 1, 149}, {0, 1, 0, 150}, {0, 1, 2, 777}}});
      shapes.push_back({"sweep_prefill", head_dim, group, 2, 50, 100, {{0, 49, 1, 300}, {0, 20, 0, 0}}});
    }
  return shapes;
}

int FirstVisible(const AttentionShape& shape, int position) {
  return shape.window > 0 ? std::max(0, position - shape.window + 1) : 0;
}

// Numbers where some row may look, NaN elsewhere.
Values CacheValues(const AttentionShape& shape, std::uint64_t key, float offset) {
  int sessions = 0;
  for (const Segment& s : shape.segments) sessions = std::max(sessions, s.session + 1);
  const KvView view{nullptr, nullptr, shape.slots, shape.kv_heads, shape.head_dim};
  const auto count = static_cast<std::size_t>(view.session_stride() * sessions);
  return {count, [=] {
            std::vector<float> visible(count, std::numeric_limits<float>::quiet_NaN());
            const std::vector<float> numbers = Numbers(key, count, 1.0f, offset);
            for (const Segment& s : shape.segments)
              for (int position = FirstVisible(shape, s.first_position); position < s.first_position + s.rows;
                   ++position)
                for (int h = 0; h < shape.kv_heads; ++h) {
                  const auto at = static_cast<std::ptrdiff_t>(view.Offset(s.session, h, position));
                  std::copy_n(numbers.begin() + at, shape.head_dim, visible.begin() + at);
                }
            return visible;
          }};
}

OpCost CostOf(const AttentionShape& shape, std::size_t element_bytes) {
  double keys = 0, visible = 0;
  for (const Segment& s : shape.segments) {
    keys += s.first_position + s.rows - FirstVisible(shape, s.first_position);
    for (int position = s.first_position; position < s.first_position + s.rows; ++position)
      visible += position + 1 - FirstVisible(shape, position);
  }
  OpCost cost;
  cost.bytes = 2.0 * shape.kv_heads * shape.head_dim * keys * static_cast<double>(element_bytes);
  cost.flops = 4.0 * shape.kv_heads * shape.group * shape.head_dim * visible;
  return cost;
}

}  // namespace

int AttentionShape::rows() const {
  int count = 0;
  for (const Segment& s : segments) count += s.rows;
  return count;
}

int AttentionShape::context_bound() const {
  int needed = bound;
  for (const Segment& s : segments) needed = std::max(needed, s.first_position + s.rows);
  return needed;
}

AttentionInputs MakeAttentionInputs(const AttentionShape& shape, std::uint64_t key) {
  const auto count = static_cast<std::size_t>(shape.rows() * shape.kv_heads * shape.group * shape.head_dim);
  return {LazyNumbers(key, count), CacheValues(shape, key + 1, 0.0f), CacheValues(shape, key + 2, 0.25f)};
}

OpCase AttentionCase(const AttentionShape& shape, const AttentionInputs& inputs) {
  OpCase made;
  made.op = "attention";
  made.axes = Axes({{"shape", shape.name}, {"head_dim", shape.head_dim}, {"group", shape.group}});
  made.prepare = [shape, inputs](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    const auto caches = std::make_shared<std::vector<KvView>>();
    for (int i = 0; i <= *std::max_element(shape.cache_of_call.begin(), shape.cache_of_call.end()); ++i)
      caches->push_back({const_cast<void*>(fixture.InCache(inputs.keys)),
                         const_cast<void*>(fixture.InCache(inputs.values)), shape.slots, shape.kv_heads,
                         shape.head_dim});
    const void* q = fixture.InOperand(inputs.q);
    void* out = fixture.OutOperand(inputs.q.count);
    const auto rows = std::make_shared<FixtureRows>(fixture.MakeRows(shape.segments, shape.context_bound()));
    const float scale = shape.scale > 0 ? shape.scale : 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
    const int heads = shape.kv_heads * shape.group;
    PreparedOp op;
    op.calls = static_cast<int>(shape.cache_of_call.size());
    op.call = [=, &ops, window = shape.window, order = shape.cache_of_call] {
      for (const int cache : order)
        ops.Attention({out, q, &(*caches)[static_cast<std::size_t>(cache)], &rows->rows, heads, window, scale});
    };
    const double rounding = RoundingOf(ops.precision());
    const Tolerance tolerance =
        ops.precision().operands == DType::kF32 ? Tolerance{1e-5, 1e-4} : Tolerance{0.75 * rounding, 2 * rounding};
    op.outputs = {{"out", Output::Type::kOperand, out, inputs.q.count, tolerance}};
    op.cost = CostOf(shape, fixture.cache_bytes());
    return op;
  };
  return made;
}

std::vector<OpCaseList> AttentionCases() {
  std::vector<OpCaseList> lists;
  for (const Precision precision : kKvPrecisions)
    lists.push_back({fmt::format("Attention_{}", Name(precision)), precision, [] {
                       std::vector<OpCase> cases;
                       std::uint64_t key = 1000;
                       for (const AttentionShape& shape : Shapes())
                         cases.push_back(AttentionCase(shape, MakeAttentionInputs(shape, key += 10)));
                       return cases;
                     }});
  return lists;
}

}  // namespace assay
