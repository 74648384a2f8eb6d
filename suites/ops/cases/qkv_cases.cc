// Qkv: q and whole caches, so that a wrong slot, head or session shows as a NaN in the wrong place.
#include <fmt/format.h>

#include <cmath>

#include "suites/ops/cases/cases.h"

namespace assay {
namespace {

struct QkvShape {
  int heads, kv_heads, head_dim, slots;
  bool cache, value_is_key, v_norm, norms, bias;
};
constexpr QkvShape kShapes[] = {
    {4, 2, 16, 12, true, false, true, true, false},    {8, 2, 256, 20, true, false, true, true, false},
    {16, 1, 512, 16, true, true, true, true, false},   {32, 8, 128, 700, true, false, false, false, false},
    {8, 1, 512, 16, false, false, false, true, false}, {28, 4, 128, 33, true, false, false, false, true},
    {4, 4, 64, 9, true, false, false, true, true},     {3, 1, 22, 9, true, true, false, false, true},
    {2, 1, 1024, 9, true, false, true, true, false},   {5, 5, 80, 9, true, true, true, false, false},
};

std::vector<float> Frequencies(int head_dim, int rotated) {
  std::vector<float> frequencies(static_cast<std::size_t>(head_dim / 2), 0.0f);
  for (int d = 0; d < rotated; ++d)
    frequencies[static_cast<std::size_t>(d)] = static_cast<float>(std::pow(10000.0, -2.0 * d / head_dim));
  return frequencies;
}

OpCase QkvCase(const QkvShape& c, std::uint64_t key) {
  const std::vector<Segment> segments = {{0, 1, 2, 5}, {0, 4, 0, 30}, {0, 1, 1, 131071}, {0, 2, 3, 0}};
  const int rows = 8, sessions = 4;
  const int stored = c.cache ? (c.value_is_key ? c.kv_heads : 2 * c.kv_heads) : 0;
  const auto width = static_cast<std::size_t>((c.heads + stored) * c.head_dim),
             one = static_cast<std::size_t>(c.head_dim);
  const Values qkv = LazyNumbers(key, width * rows, 2.0f), bias = LazyNumbers(key + 1, width),
               q_norm = LazyNumbers(key + 2, one, 0.2f, 1.0f), k_norm = LazyNumbers(key + 3, one, 0.2f, 1.0f),
               inv_freq = Frequencies(c.head_dim, c.head_dim == 512 ? 64 : c.head_dim / 2);
  const auto q_count = static_cast<std::size_t>(rows * c.heads * c.head_dim),
             cache_count = static_cast<std::size_t>(sessions * c.slots * c.kv_heads * c.head_dim);
  OpCase made;
  made.op = "qkv";
  made.axes = Axes({{"heads", c.heads}, {"kv_heads", c.kv_heads}, {"head_dim", c.head_dim}, {"cache", c.cache}});
  made.prepare = [=](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    const auto kv = std::make_shared<KvView>(
        KvView{fixture.OutCache(cache_count), fixture.OutCache(cache_count), c.slots, c.kv_heads, c.head_dim});
    const auto described = std::make_shared<FixtureRows>(fixture.MakeRows(segments, 131072));
    const Ops::QkvArgs args{fixture.OutOperand(q_count),
                            c.cache ? kv.get() : nullptr,
                            fixture.In(qkv),
                            c.bias ? fixture.In(bias) : nullptr,
                            c.norms ? fixture.In(q_norm) : nullptr,
                            c.norms ? fixture.In(k_norm) : nullptr,
                            fixture.In(inv_freq),
                            &described->rows,
                            c.heads,
                            c.kv_heads,
                            c.head_dim,
                            c.value_is_key,
                            c.v_norm,
                            1e-6f};
    PreparedOp op;
    op.call = [args, kv, described, &ops] { ops.Qkv(args); };
    const auto tolerance = [](DType type) {
      const double rounding = type == DType::kF32 ? 2e-6 : RoundingOf(type);
      // Of 8 bits few elements may round the other way: cutting instead of rounding is off by 5 % as a whole.
      return Tolerance{type == DType::kF8_E4M3 ? 0x1p-5 : rounding, 2 * rounding};
    };
    const Tolerance of_cache = tolerance(ops.precision().kv);
    op.outputs = {{"q", Output::Type::kOperand, args.q, q_count, tolerance(ops.precision().operands)},
                  {"keys", Output::Type::kCache, kv->keys, cache_count, of_cache, /*sparse=*/true},
                  {"values", Output::Type::kCache, kv->values, cache_count, of_cache, /*sparse=*/true}};
    const auto of_row = static_cast<double>(c.heads) * static_cast<double>(fixture.operand_bytes()) +
                        (c.cache ? 2.0 * c.kv_heads : 0.0) * static_cast<double>(fixture.cache_bytes());
    op.cost.bytes = static_cast<double>(qkv.count * sizeof(float)) + rows * c.head_dim * of_row;
    return op;
  };
  return made;
}

}  // namespace

std::vector<OpCaseList> QkvCases() {
  std::vector<OpCaseList> lists;
  for (const Precision precision : kKvPrecisions)
    lists.push_back({fmt::format("Qkv_{}", Name(precision)), precision, [] {
                       std::vector<OpCase> cases;
                       std::uint64_t key = 500;
                       for (const QkvShape& shape : kShapes) cases.push_back(QkvCase(shape, key += 10));
                       return cases;
                     }});
  return lists;
}

}  // namespace assay
