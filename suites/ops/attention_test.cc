// Attention against the host's plain loops: ragged rows, rings that wrapped, window edges, groups, head dimensions,
// both paths. Slots that no row may see hold NaN: one read of them shows.
#include <algorithm>
#include <cmath>
#include <limits>

#include "suites/ops/side.h"

namespace assay {
namespace {

struct AttentionCase {
  const char* name;
  int head_dim, group, kv_heads, window, slots;
  std::vector<Segment> segments;  // {0, rows, session, first_position}
};

std::vector<AttentionCase> Cases() {
  std::vector<AttentionCase> cases = {
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
  for (AttentionCase& c : cases)
    if (c.segments.empty())
      for (int s = 0; s < 70; ++s) c.segments.push_back({0, 1 + s * 7 % 20, 69 - s, s * 3 % 20});
  for (const int head_dim : {16, 32, 64, 128, 256, 512})
    for (const int group : {1, 2, 4, 8, 16}) {
      cases.push_back({"sweep_decode", head_dim, group, 2, 150, 180, {{0, 1, 1, 149}, {0, 1, 0, 150}, {0, 1, 2, 777}}});
      cases.push_back({"sweep_prefill", head_dim, group, 2, 50, 100, {{0, 49, 1, 300}, {0, 20, 0, 0}}});
    }
  return cases;
}

struct Inputs {
  std::vector<float> q, keys, values;
};

// Numbers in the slots that some row may see, NaN elsewhere.
Inputs MakeInputs(const AttentionCase& c, std::uint64_t key) {
  int sessions = 0, rows = 0;
  for (const Segment& s : c.segments) {
    sessions = std::max(sessions, s.session + 1);
    rows += s.rows;
  }
  Inputs inputs;
  inputs.q = Numbers(key, static_cast<std::size_t>(rows * c.kv_heads * c.group * c.head_dim));
  const KvView shape{nullptr, nullptr, c.slots, c.kv_heads, c.head_dim};
  const auto count = static_cast<std::size_t>(shape.session_stride() * sessions);
  inputs.keys.assign(count, std::numeric_limits<float>::quiet_NaN());
  inputs.values = inputs.keys;
  const std::vector<float> keys = Numbers(key + 1, count), values = Numbers(key + 2, count, 1.0f, 0.25f);
  for (const Segment& s : c.segments) {
    const int from = c.window > 0 ? std::max(0, s.first_position - c.window + 1) : 0;
    for (int position = from; position < s.first_position + s.rows; ++position)
      for (int h = 0; h < c.kv_heads; ++h) {
        const auto at = static_cast<std::size_t>(shape.Offset(s.session, h, position));
        std::copy_n(keys.begin() + static_cast<std::ptrdiff_t>(at), c.head_dim,
                    inputs.keys.begin() + static_cast<std::ptrdiff_t>(at));
        std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(at), c.head_dim,
                    inputs.values.begin() + static_cast<std::ptrdiff_t>(at));
      }
  }
  return inputs;
}

std::vector<float> Attend(Side& side, const AttentionCase& c, const Inputs& inputs, int context_bound) {
  const KvView kv{const_cast<void*>(side.InOperand(inputs.keys)), const_cast<void*>(side.InOperand(inputs.values)),
                  c.slots, c.kv_heads, c.head_dim};
  const void* q = side.InOperand(inputs.q);
  void* out = side.OutOperand(inputs.q.size());
  const SideRows rows = side.MakeRows(c.segments, context_bound);
  side.ops().Attention(
      {out, q, &kv, &rows.rows, c.kv_heads * c.group, c.window, 1.0f / std::sqrt(static_cast<float>(c.head_dim))});
  side.ops().Synchronize();
  std::vector<float> result = side.ReadOperand(out, inputs.q.size());
  side.Check();
  return result;
}

int Bound(const AttentionCase& c) {
  int bound = 0;
  for (const Segment& s : c.segments) bound = std::max(bound, s.first_position + s.rows);
  return bound;
}

class AttentionTest : public testing::TestWithParam<Precision> {};

TEST_P(AttentionTest, MatchesHost) {
  ASSAY_SIDES(sides, GetParam());
  std::uint64_t key = 1000;
  for (const AttentionCase& c : Cases()) {
    sides.Clear();
    const std::string what =
        std::string(c.name) + " head_dim " + std::to_string(c.head_dim) + " group " + std::to_string(c.group);
    SCOPED_TRACE(what);
    const Inputs inputs = MakeInputs(c, key += 10);
    const std::vector<float> expected = Attend(*sides.host, c, inputs, Bound(c));
    const std::vector<float> found = Attend(*sides.device, c, inputs, Bound(c));
    const double rounding = RoundingOf(GetParam());
    const double whole = GetParam() == Precision::kFp32 ? 1e-5 : 0.75 * rounding;
    ExpectClose(found, expected, whole, GetParam() == Precision::kFp32 ? 1e-4 : 2 * rounding, what);
    if (HasFatalFailure()) return;
  }
}

// A segment gives the same bits alone, among others, short and long, and under any bound on the context.
TEST_P(AttentionTest, SegmentsDoNotDependOnNeighbours) {
  Sides sides = MakeSides(GetParam(), /*batch_invariant=*/true);
  if (!sides.missing.empty()) GTEST_SKIP() << sides.missing;
  for (const int head_dim : {32, 128, 256, 512}) {
    sides.Clear();
    const AttentionCase c{
        "batch",
        head_dim,
        4,
        1,
        0,
        2200,
        {{0, 1, 0, 40}, {0, 1, 1, 751}, {0, 40, 2, 100}, {0, 3, 3, 2190}, {0, 1, 4, 1462}, {0, 9, 5, 0}}};
    const Inputs inputs = MakeInputs(c, 77);
    const std::vector<float> together = Attend(*sides.device, c, inputs, 2200);
    const auto width = static_cast<std::ptrdiff_t>(4 * head_dim);
    std::ptrdiff_t from = 0;
    for (const Segment& segment : c.segments) {
      AttentionCase alone = c;
      alone.segments = {segment};
      Inputs one = inputs;
      const std::ptrdiff_t count = segment.rows * width;
      one.q.assign(inputs.q.begin() + from, inputs.q.begin() + from + count);
      sides.Clear();
      const std::vector<float> found = Attend(*sides.device, alone, one, segment.first_position + segment.rows);
      for (std::ptrdiff_t i = 0; i < count; ++i)
        ASSERT_EQ(found[static_cast<std::size_t>(i)], together[static_cast<std::size_t>(from + i)])
            << "session " << segment.session << " element " << i;
      from += count;
    }
  }
}

// A prompt gives the same bits whole and in chunks.
TEST_P(AttentionTest, PrefillRowsDoNotDependOnChunks) {
  ASSAY_SIDES(sides, GetParam());
  for (const int head_dim : {64, 256, 512}) {
    sides.Clear();
    AttentionCase c{"whole", head_dim, 4, 1, 100, 400, {{0, 300, 0, 0}}};
    const Inputs inputs = MakeInputs(c, 99);
    const std::vector<float> whole = Attend(*sides.device, c, inputs, 300);
    const std::size_t width = inputs.q.size() / 300;
    for (const auto& [from, rows] : {std::pair{0, 37}, std::pair{37, 200}, std::pair{237, 63}}) {
      AttentionCase chunk = c;
      chunk.segments = {{0, rows, 0, from}};
      Inputs part = inputs;
      const auto begin = inputs.q.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(from) * width);
      part.q.assign(begin, begin + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(rows) * width));
      sides.Clear();
      const std::vector<float> found = Attend(*sides.device, chunk, part, 300);
      for (std::size_t i = 0; i < found.size(); ++i)
        ASSERT_EQ(found[i], whole[static_cast<std::size_t>(from) * width + i])
            << "chunk at " << from << " element " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, AttentionTest, testing::Values(Precision::kFp32, Precision::kFp16, Precision::kBf16),
                         ModeName);

}  // namespace
}  // namespace assay
