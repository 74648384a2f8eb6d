// Attention on the device alone: a segment's bits do not depend on its neighbours, nor a prompt's on its chunks.
#include <fmt/core.h>

#include <memory>
#include <utility>
#include <vector>

#include "engine/ops/cuda_ops.h"
#include "engine/ops/host_ops.h"
#include "engine/ops/ops_factory.h"
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

// Where few multiprocessors have many rows to read keys for, chunks are joined.
TEST_P(AttentionTest, JoinedChunksGiveWhatTheHostDoes) {
  if (const Support support = CudaOpsAvailable(0); !support) GTEST_SKIP() << support.reason;
  DeviceFixture host(std::make_unique<HostOps>(GetParam()));
  for (const int sm_count : {1, 12, 20}) {
    DeviceFixture device(MakeCudaOps({.precision = GetParam(), .sm_count = sm_count}));
    for (const int head_dim : {64, 128, 256, 512}) {
      for (const auto& [window, positions] : std::vector<std::pair<int, std::vector<int>>>{
               {0, {0, 63, 64, 299, 511, 512, 890}}, {300, {63, 299, 890}}, {0, {2047, 2048, 4500}}}) {
        if (head_dim != 128 && positions.back() > 4000) continue;  // such rows do not differ by width
        AttentionShape shape{"joined", head_dim, 4, 1, window, positions.back() + 10, {}};
        for (const int position : positions)
          shape.segments.push_back({0, 1, static_cast<int>(shape.segments.size()), position});
        SCOPED_TRACE(fmt::format("head_dim {}, window {}, {} multiprocessors", head_dim, window, sm_count));
        const OpCase item = AttentionCase(shape, MakeAttentionInputs(shape, 88));
        host.Clear();
        device.Clear();
        const PreparedOp wanted = item.prepare(host), op = item.prepare(device);
        const auto expected = Outputs(host, wanted), found = Outputs(device, op);
        ExpectAgree(op, found, expected);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// By the launches of an H100, two where chunks are left to merge and one where they are all joined. Needs no GPU.
TEST(JoinedChunks, AreThoseOfMoreBlocksThanRunAtATime) {
  if (const Support support = PlanningAvailable(Device::Cuda(0)); !support) GTEST_SKIP() << support.reason;
  const auto launches = [](int rows_at_once, int bound, bool batch_invariant) {
    const std::unique_ptr<Ops> ops =
        MakeCudaPlanningOps({.batch_invariant = batch_invariant}, {"NVIDIA H100 80GB HBM3", 132, 90, 232448});
    const KvView kv{nullptr, nullptr, 8192, 2, 256};
    Rows rows{};
    rows.count = rows_at_once;
    rows.context_bound = bound;
    ops->Attention({nullptr, nullptr, &kv, &rows, 8, 0, 1.0f});
    return ops->counters().kernel_launches;
  };
  EXPECT_EQ(launches(1, 64, false), 1) << "one chunk";
  EXPECT_EQ(launches(1, 512, false), 2);
  EXPECT_EQ(launches(33, 512, false), 2) << "528 blocks run at a time, four on a multiprocessor";
  EXPECT_EQ(launches(34, 512, false), 2) << "two joined of four each";
  EXPECT_EQ(launches(64, 512, false), 1);
  EXPECT_EQ(launches(64, 1024, false), 1);
  EXPECT_EQ(launches(64, 1025, false), 2) << "no more than 1024 keys are joined";
  EXPECT_EQ(launches(64, 512, true), 2) << "in batch-invariant mode none are";
}

// Of a card with 99 KiB of shared memory a block. Needs no GPU.
TEST(AttentionKernels, FitSmallDevices) {
  if (const Support support = PlanningAvailable(Device::Cuda(0)); !support) GTEST_SKIP() << support.reason;
  for (const Precision precision : kKvPrecisions) {
    for (const bool batch_invariant : {false, true}) {
      const std::unique_ptr<Ops> ops = MakeCudaPlanningOps({.precision = precision, .batch_invariant = batch_invariant},
                                                           {"NVIDIA L40S", 142, 89, 101376});
      for (const int head_dim : {32, 64, 128, 256, 512}) {
        for (const int count : {1, 8, 64}) {
          const KvView kv{nullptr, nullptr, 2048, 2, head_dim};
          const Segment segment{0, count, 0, 0};
          Rows rows{};
          rows.count = count;
          rows.context_bound = 1024;
          EXPECT_NO_THROW(ops->Attention({nullptr, nullptr, &kv, &rows, 8, 0, 1.0f}));
          rows.segments = 1;
          rows.host_segment = &segment;  // one prompt
          EXPECT_NO_THROW(ops->Attention({nullptr, nullptr, &kv, &rows, 8, 0, 1.0f}));
        }
      }
    }
  }
}

// A memory plan looks at some numbers of rows and at the longest context. Needs no GPU.
TEST(AttentionWorkspace, GrowsWithRowsAndContext) {
  if (const Support support = PlanningAvailable(Device::Cuda(0)); !support) GTEST_SKIP() << support.reason;
  for (const int head_dim : {128, 256, 512}) {
    const auto asked = [&](int count, int bound) {
      const std::unique_ptr<Ops> ops = MakeCudaPlanningOps({}, ShapeForPlans(0));
      const KvView kv{nullptr, nullptr, 8192, 2, head_dim};
      Rows rows{};
      rows.count = count;
      rows.context_bound = bound;
      ops->Attention({nullptr, nullptr, &kv, &rows, 8, 0, 1.0f});
      return ops->workspace_bytes();
    };
    for (const int bound : {545, 1024, 8192})
      for (int count = 2; count <= 130; ++count)
        ASSERT_GE(asked(count, bound), asked(count - 1, bound)) << count << " rows, up to " << bound << " keys";
    for (const int count : {1, 8, 33, 64, 128}) {
      std::size_t before = 0;
      for (const int bound : {256, 512, 1024, 2048, 4096, 8192}) {
        const std::size_t bytes = asked(count, bound);
        ASSERT_GE(bytes, before) << count << " rows, up to " << bound << " keys";
        before = bytes;
      }
    }
    EXPECT_GT(asked(8, 8192), 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, AttentionTest, testing::ValuesIn(kKvPrecisions), ModeName);

}  // namespace
}  // namespace assay
