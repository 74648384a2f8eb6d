// Qkv against the host: q and whole caches, so that a wrong slot, head or session shows as a NaN in the wrong place.
#include <cmath>

#include "suites/ops/side.h"

namespace assay {
namespace {

struct QkvCase {
  int heads, kv_heads, head_dim, slots;
  bool cache, value_is_key, v_norm, norms, bias;
};

std::vector<float> Frequencies(int head_dim, int rotated) {
  std::vector<float> frequencies(static_cast<std::size_t>(head_dim / 2), 0.0f);
  for (int d = 0; d < rotated; ++d)
    frequencies[static_cast<std::size_t>(d)] = static_cast<float>(std::pow(10000.0, -2.0 * d / head_dim));
  return frequencies;
}

class QkvTest : public testing::TestWithParam<Precision> {};

TEST_P(QkvTest, MatchesHost) {
  ASSAY_SIDES(sides, GetParam());
  const QkvCase cases[] = {
      {4, 2, 16, 12, true, false, true, true, false},    {8, 2, 256, 20, true, false, true, true, false},
      {16, 1, 512, 16, true, true, true, true, false},   {32, 8, 128, 700, true, false, false, false, false},
      {8, 1, 512, 16, false, false, false, true, false}, {28, 4, 128, 33, true, false, false, false, true},
      {4, 4, 64, 9, true, false, false, true, true},     {3, 1, 22, 9, true, true, false, false, true},
      {2, 1, 1024, 9, true, false, true, true, false},   {5, 5, 80, 9, true, true, true, false, false},
  };
  std::uint64_t key = 500;
  for (const QkvCase& c : cases) {
    sides.Clear();
    key += 10;
    const std::vector<Segment> segments = {{0, 1, 2, 5}, {0, 4, 0, 30}, {0, 1, 1, 131071}, {0, 2, 3, 0}};
    const int rows = 8, sessions = 4;
    const int stored = c.cache ? (c.value_is_key ? c.kv_heads : 2 * c.kv_heads) : 0;
    const auto width = static_cast<std::size_t>((c.heads + stored) * c.head_dim),
               one = static_cast<std::size_t>(c.head_dim);
    const auto qkv = Numbers(key, width * rows, 2.0f), bias = Numbers(key + 1, width),
               q_norm = Numbers(key + 2, one, 0.2f, 1.0f), k_norm = Numbers(key + 3, one, 0.2f, 1.0f);
    const auto inv_freq = Frequencies(c.head_dim, c.head_dim == 512 ? 64 : c.head_dim / 2);
    const auto q_count = static_cast<std::size_t>(rows * c.heads * c.head_dim);
    const auto cache_count = static_cast<std::size_t>(sessions * c.slots * c.kv_heads * c.head_dim);
    const auto run = [&](Side& side) {
      KvView kv{side.OutOperand(cache_count), side.OutOperand(cache_count), c.slots, c.kv_heads, c.head_dim};
      void* q = side.OutOperand(q_count);
      const SideRows made = side.MakeRows(segments, 131072);
      side.ops().Qkv({q, c.cache ? &kv : nullptr, side.In(qkv), c.bias ? side.In(bias) : nullptr,
                      c.norms ? side.In(q_norm) : nullptr, c.norms ? side.In(k_norm) : nullptr, side.In(inv_freq),
                      &made.rows, c.heads, c.kv_heads, c.head_dim, c.value_is_key, c.v_norm, 1e-6f});
      side.Check();
      return std::vector{side.ReadOperand(q, q_count), side.ReadOperand(kv.keys, cache_count),
                         side.ReadOperand(kv.values, cache_count)};
    };
    const auto found = run(*sides.device), expected = run(*sides.host);
    const double rounding = GetParam() == Precision::kFp32 ? 2e-6 : RoundingOf(GetParam());
    for (std::size_t i = 0; i < found.size(); ++i)
      ExpectClose(found[i], expected[i], rounding, 2 * rounding,
                  std::string(i == 0   ? "q"
                              : i == 1 ? "keys"
                                       : "values") +
                      " head_dim " + std::to_string(c.head_dim));
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, QkvTest, testing::Values(Precision::kFp32, Precision::kFp16, Precision::kBf16),
                         ModeName);

}  // namespace
}  // namespace assay
