// How decode attention shares keys among blocks: by plans, which need no GPU, and against the host.
#include <fmt/core.h>

#include <memory>
#include <utility>
#include <vector>

#include "engine/ops/cuda_ops.h"
#include "engine/ops/host_ops.h"
#include "suites/ops/checks.h"
#include "suites/ops/cuda_shapes.h"

namespace assay {
namespace {

class JoinedChunksTest : public testing::TestWithParam<Precision> {};

// Where few multiprocessors have many rows to read keys for, chunks are joined.
TEST_P(JoinedChunksTest, GiveWhatTheHostDoes) {
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
        ExpectMatchesHost(AttentionCase(shape, MakeAttentionInputs(shape, 88)), host, device);
        if (HasFatalFailure()) return;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, JoinedChunksTest, testing::ValuesIn(kKvPrecisions), ModeName);

// A call of attention as a plan makes it, of a row each or of one prompt.
void Plan(Ops& ops, int head_dim, int count, int bound, const Segment* prompt = nullptr) {
  const KvView kv{nullptr, nullptr, 8192, 2, head_dim};
  Rows rows{};
  rows.count = count;
  rows.context_bound = bound;
  rows.segments = prompt != nullptr ? 1 : 0;
  rows.host_segment = prompt;
  ops.Attention({nullptr, nullptr, &kv, &rows, 8, 0, 1.0f});
}

// By the launches of an H100, two where chunks are left to merge and one where they are all joined. Needs no GPU.
TEST(JoinedChunks, AreThoseOfMoreBlocksThanRunAtATime) {
  const auto launches = [](int rows_at_once, int bound, bool batch_invariant) {
    const std::unique_ptr<Ops> ops = MakeCudaPlanningOps({.batch_invariant = batch_invariant}, H100Shape());
    Plan(*ops, 256, rows_at_once, bound);
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
  for (const Precision precision : kKvPrecisions) {
    for (const bool batch_invariant : {false, true}) {
      const std::unique_ptr<Ops> ops =
          MakeCudaPlanningOps({.precision = precision, .batch_invariant = batch_invariant}, L40sShape());
      for (const int head_dim : {32, 64, 128, 256, 512}) {
        for (const int count : {1, 8, 64}) {
          const Segment prompt{0, count, 0, 0};
          EXPECT_NO_THROW(Plan(*ops, head_dim, count, 1024));
          EXPECT_NO_THROW(Plan(*ops, head_dim, count, 1024, &prompt));
        }
      }
    }
  }
}

// A memory plan looks at some numbers of rows and at the longest context. Needs no GPU.
TEST(AttentionWorkspace, GrowsWithRowsAndContext) {
  for (const int head_dim : {128, 256, 512}) {
    const auto asked = [&](int count, int bound) {
      const std::unique_ptr<Ops> ops = MakeCudaPlanningOps({}, ShapeForPlans(0));
      Plan(*ops, head_dim, count, bound);
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

}  // namespace
}  // namespace assay
