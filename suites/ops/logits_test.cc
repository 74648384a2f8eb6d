// Logits, GatherRows and Advance against the host.
#include <limits>

#include "suites/ops/side.h"

namespace assay {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(LogitsTest, MatchesHost) {
  ASSAY_SIDES(sides, Precision::kBf16);
  for (const int vocab : {1, 31, 1000, 2048, 2049, 262144})
    for (const float cap : {0.0f, 30.0f})
      for (const bool in_place : {false, true}) {
        sides.Clear();
        const int rows = 3;
        const auto count = static_cast<std::size_t>(rows * vocab);
        const auto raw = Numbers(static_cast<std::uint64_t>(vocab), count, 20.0f);
        std::vector<std::int32_t> best[2];
        const auto run = [&](Side& side, std::vector<std::int32_t>& chosen) {
          float* in = side.InOut(raw);
          float* out = in_place ? in : side.Out(count);
          std::int32_t* at = side.OutInts(rows);
          side.ops().Logits({out, at, in, rows, vocab, cap});
          side.Check();
          chosen = side.Read(at, rows);
          return side.Read(out, count);
        };
        const auto found = run(*sides.device, best[0]), expected = run(*sides.host, best[1]);
        ExpectClose(found, expected, 1e-6, 1e-6, "vocab " + std::to_string(vocab));
        EXPECT_EQ(best[0], best[1]) << "vocab " << vocab << " cap " << cap;
      }
}

// Saturated caps tie: the lowest index wins. NaN never does; zeros of both signs are equal; all NaN gives 0.
TEST(LogitsTest, TiesAndNan) {
  ASSAY_SIDES(sides, Precision::kBf16);
  const int vocab = 5000;
  struct {
    std::vector<std::pair<int, float>> at;
    float fill, cap;
    std::int32_t best;
  } const cases[] = {
      {{{4999, 5.0f}, {3000, 5.0f}, {3001, 5.0f}}, 1.0f, 0.0f, 3000},
      {{{4000, 1e6f}, {70, 1e5f}}, 0.0f, 30.0f, 70},
      {{{0, kNan}, {4999, -3.0f}}, kNan, 0.0f, 4999},
      {{}, kNan, 0.0f, 0},
      {{}, -kInf, 0.0f, 0},
      {{{0, kNan}, {1, kNan}}, -kInf, 0.0f, 2},
      {{{10, -0.0f}, {11, 0.0f}}, -1.0f, 0.0f, 10},
      {{{2048, kInf}, {2047, 3e38f}}, 0.0f, 0.0f, 2048},
  };
  for (const auto& c : cases) {
    sides.Clear();
    std::vector<float> raw(static_cast<std::size_t>(vocab), c.fill);
    for (const auto& [i, v] : c.at) raw[static_cast<std::size_t>(i)] = v;
    for (Side* side : {sides.device.get(), sides.host.get()}) {
      std::int32_t* best = side->OutInts(1);
      side->ops().Logits({nullptr, best, side->In(raw), 1, vocab, c.cap});
      side->Check();
      EXPECT_EQ(side->Read(best, 1)[0], c.best) << side->ops().device();
    }
  }
}

TEST(GatherTest, CopiesRows) {
  ASSAY_SIDES(sides, Precision::kFp32);
  for (const std::int64_t bytes :
       {std::int64_t{4}, std::int64_t{12}, std::int64_t{5120}, std::int64_t{10240}, std::int64_t{100000}}) {
    sides.Clear();
    const auto units = static_cast<std::size_t>(bytes / 4);
    const auto in = Numbers(5, 10 * units);
    const std::vector<std::int32_t> index = {9, 0, 0, 3};
    const auto run = [&](Side& side) {
      float* out = side.Out(4 * units);
      side.ops().GatherRows(out, side.In(in), side.In(index), 4, bytes);
      side.Check();
      return side.Read(out, 4 * units);
    };
    EXPECT_EQ(run(*sides.device), run(*sides.host)) << bytes << " bytes a row";
  }
}

TEST(AdvanceTest, MatchesHost) {
  ASSAY_SIDES(sides, Precision::kBf16);
  for (const int rows : {1, 37, 300}) {
    sides.Clear();
    const auto count = static_cast<std::size_t>(rows);
    std::vector<std::int32_t> token(count), position(count), best(count);
    std::vector<Segment> segment(count);
    for (int r = 0; r < rows; ++r) {
      const auto i = static_cast<std::size_t>(r);
      token[i] = r;
      position[i] = 1000 - r;
      best[i] = 7 * r;
      segment[i] = {r, 1, r, 1000 - r};
    }
    const auto run = [&](Side& side) {
      std::int32_t *t = side.InOut(token), *p = side.InOut(position), *step = side.InOut(std::vector<std::int32_t>{2});
      Segment* s = side.InOut(segment);
      std::int32_t* history = side.OutInts(4 * count);
      for (int i = 0; i < 2; ++i) side.ops().Advance({t, p, s, history, step, side.In(best), rows});
      side.Check();
      std::vector<std::int32_t> all = side.Read(t, count);
      for (const auto& more : {side.Read(p, count), side.Read(step, 1), side.Read(history, 4 * count)})
        all.insert(all.end(), more.begin(), more.end());
      for (const Segment& one : side.Read(s, count))
        all.insert(all.end(), {one.first_row, one.rows, one.session, one.first_position});
      return all;
    };
    EXPECT_EQ(run(*sides.device), run(*sides.host)) << rows << " rows";
  }
}

}  // namespace
}  // namespace assay
