// Attention on the device alone: a segment's bits do not depend on its neighbours, nor a prompt's on its chunks.
#include <utility>

#include "suites/ops/checks.h"

namespace assay {
namespace {

std::vector<float> Attend(DeviceFixture& fixture, const AttentionShape& shape, const AttentionInputs& inputs) {
  const PreparedOp op = AttentionCase(shape, inputs).prepare(fixture);
  op.call();
  std::vector<float> result = ReadOutput(fixture, op.outputs[0]);
  ExpectUndamaged(fixture);
  return result;
}

// `count` elements of q from `from` on; the caches of the whole.
AttentionInputs PartOf(const AttentionInputs& inputs, std::ptrdiff_t from, std::ptrdiff_t count) {
  const std::vector<float> q = inputs.q.make();
  return {std::vector<float>(q.begin() + from, q.begin() + from + count), inputs.keys, inputs.values};
}

class AttentionTest : public testing::TestWithParam<Precision> {};

// A segment gives the same bits alone, among others, short and long, and under any bound on the context.
TEST_P(AttentionTest, SegmentsDoNotDependOnNeighbours) {
  HostAndDevice both = MakeHostAndDevice(GetParam(), /*batch_invariant=*/true);
  if (!both.missing.empty()) GTEST_SKIP() << both.missing;
  for (const int head_dim : {32, 128, 256, 512}) {
    both.Clear();
    AttentionShape shape{
        "batch",
        head_dim,
        4,
        1,
        0,
        2200,
        {{0, 1, 0, 40}, {0, 1, 1, 751}, {0, 40, 2, 100}, {0, 3, 3, 2190}, {0, 1, 4, 1462}, {0, 9, 5, 0}}};
    shape.bound = 2200;
    const AttentionInputs inputs = MakeAttentionInputs(shape, 77);
    const std::vector<float> together = Attend(*both.device, shape, inputs);
    const auto width = static_cast<std::ptrdiff_t>(4 * head_dim);
    std::ptrdiff_t from = 0;
    for (const Segment& segment : shape.segments) {
      AttentionShape alone = shape;
      alone.segments = {segment};
      alone.bound = 0;
      const std::ptrdiff_t count = segment.rows * width;
      both.Clear();
      const std::vector<float> found = Attend(*both.device, alone, PartOf(inputs, from, count));
      for (std::ptrdiff_t i = 0; i < count; ++i)
        ASSERT_EQ(found[static_cast<std::size_t>(i)], together[static_cast<std::size_t>(from + i)])
            << "session " << segment.session << " element " << i;
      from += count;
    }
  }
}

// Parts of a segment give the rows of the whole bit for bit: each so many rows from a row on.
void ExpectParts(DeviceFixture& device, AttentionShape shape, const std::vector<std::pair<int, int>>& parts) {
  device.Clear();
  const Segment segment = shape.segments.front();
  shape.bound = segment.first_position + segment.rows;
  const AttentionInputs inputs = MakeAttentionInputs(shape, 99);
  const std::vector<float> whole = Attend(device, shape, inputs);
  const auto width = static_cast<std::ptrdiff_t>(inputs.q.count / static_cast<std::size_t>(segment.rows));
  for (const auto& [from, rows] : parts) {
    AttentionShape part = shape;
    part.segments = {{0, rows, 0, segment.first_position + from}};
    device.Clear();
    const std::vector<float> found = Attend(device, part, PartOf(inputs, from * width, rows * width));
    for (std::size_t i = 0; i < found.size(); ++i)
      ASSERT_EQ(found[i], whole[static_cast<std::size_t>(from * width) + i])
          << "head_dim " << shape.head_dim << ", " << shape.group << " heads, window " << shape.window << ", " << rows
          << " rows at " << from << " element " << i;
  }
}

// A prompt gives the same bits whole and in chunks.
TEST_P(AttentionTest, PrefillRowsDoNotDependOnChunks) {
  ASSAY_HOST_AND_DEVICE(both, GetParam());
  for (const int head_dim : {64, 256, 512})
    ExpectParts(*both.device, {"prompt", head_dim, 4, 1, 100, 400, {{0, 300, 0, 0}}}, {{0, 37}, {37, 200}, {237, 63}});
}

// In batch-invariant mode every row of a prompt has the bits of a decode step, however it is cut.
TEST_P(AttentionTest, CutsDoNotMatterInBatchInvariantMode) {
  HostAndDevice both = MakeHostAndDevice(GetParam(), /*batch_invariant=*/true);
  if (!both.missing.empty()) GTEST_SKIP() << both.missing;
  for (const int head_dim : {32, 64, 256, 512})
    ExpectParts(*both.device, {"prompt", head_dim, 4, 1, 100, 400, {{0, 300, 0, 0}}},
                {{0, 1}, {1, 8}, {9, 9}, {64, 1}, {99, 2}, {101, 64}, {165, 134}, {299, 1}});
  // From 2049 keys on chunks are twice as long; so many query heads leave room for 16 to 1 rows in a fragment.
  for (const int group : {1, 2, 3, 20})
    for (const int window : {0, 2050})
      ExpectParts(*both.device, {"late", 64, group, 1, window, 2200, {{0, 60, 0, 2030}}},
                  {{0, 1}, {1, 17}, {18, 1}, {19, 41}});
}

INSTANTIATE_TEST_SUITE_P(Modes, AttentionTest, testing::ValuesIn(kKvPrecisions), ModeName);

}  // namespace
}  // namespace assay
