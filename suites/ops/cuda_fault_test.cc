// What kernels find wrong is named by whoever waits next, once; nothing outside an array is touched, and the ops go on.
#include "engine/base/check.h"
#include "engine/ops/cuda_ops.h"
#include "engine/ops/ops_factory.h"
#include "suites/ops/cases/tensors.h"
#include "suites/ops/checks.h"

namespace assay {
namespace {

class KernelFaults : public testing::Test {
 protected:
  void SetUp() override {
    if (const Support support = DeviceAvailable(Device::Cuda(0)); !support) GTEST_SKIP() << support.reason;
    fixture_ = std::make_unique<DeviceFixture>(MakeOps(Device::Cuda(0), Precision::kBf16));
  }
  Ops& ops() { return fixture_->ops(); }

  void ExpectNamed(const std::string& text) {
    try {
      ops().Synchronize();
      ADD_FAILURE() << "nothing was reported, expected: " << text;
    } catch (const DeviceError& error) {
      EXPECT_FALSE(error.lost);
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
    EXPECT_NO_THROW(ops().Synchronize()) << "told once";
    ExpectUndamaged(*fixture_);
  }

  static constexpr int kHeadDim = 64, kSlots = 2048, kSessions = 2;
  KvView Cache() {
    const std::vector<float> zeros(std::size_t{kSessions} * kSlots * kHeadDim);
    return {fixture_->InOutCache(zeros), fixture_->InOutCache(zeros), kSlots, 1, kHeadDim, kSessions};
  }
  void Project(const KvView& kv, const Rows& rows) {
    const auto floats = static_cast<std::size_t>(rows.count) * 3 * kHeadDim;
    ops().Qkv({.q = fixture_->OutOperand(static_cast<std::size_t>(rows.count) * kHeadDim),
               .kv = &kv,
               .qkv = fixture_->In(Numbers(1, floats)),
               .bias = nullptr,
               .q_norm = nullptr,
               .k_norm = nullptr,
               .inv_freq = fixture_->In(Numbers(2, kHeadDim / 2)),
               .rows = &rows,
               .heads = 1,
               .kv_heads = 1,
               .head_dim = kHeadDim,
               .value_is_key = false,
               .v_norm = false,
               .eps = 1e-6f});
  }

  std::unique_ptr<DeviceFixture> fixture_;
};

TEST_F(KernelFaults, ATokenOutsideTheTable) {
  const auto table = ops().Prepare({RandomTensor(DType::kBF16, {1, 8, 16}, 1)}, WeightUse::kTable);
  for (const std::int32_t token : {8, -3}) {
    const FixtureRows rows = fixture_->MakeRows({{0, 2, 0, 0}}, 0, {3, token});
    ops().Embed(
        {.x = fixture_->Out(2 * 16), .operand = nullptr, .table = table.get(), .rows = &rows.rows, .scale = 1.0f});
    ExpectNamed(fmt::format("token {} looked up in a table of 8 rows", token));
  }
}

TEST_F(KernelFaults, AContextBoundTooSmallForTheKeys) {
  const KvView kv = Cache();
  const std::vector<float> q = Numbers(3, kHeadDim);
  for (const int bound : {64, 512, 1100}) {
    const FixtureRows rows = fixture_->MakeRows({{0, 1, 0, 1500}}, bound);
    ops().Attention({.out = fixture_->OutOperand(kHeadDim),
                     .q = fixture_->InOperand(q),
                     .kv = &kv,
                     .rows = &rows.rows,
                     .heads = 1,
                     .window = 0,
                     .scale = 0.125f});
    ExpectNamed("its context bound is too small");
  }
}

TEST_F(KernelFaults, AContextBoundTooSmallForTheRow) {
  const KvView kv = Cache();
  const FixtureRows rows = fixture_->MakeRows({{0, 1, 0, 100}}, 100);
  Project(kv, rows.rows);
  ExpectNamed("a row sees 101 keys or chunks of them, the step was made for at most 100");
}

TEST_F(KernelFaults, ASessionTheCacheDoesNotHave) {
  const KvView kv = Cache();
  const FixtureRows rows = fixture_->MakeRows({{0, 1, kSessions, 5}}, 0);
  Project(kv, rows.rows);
  ExpectNamed("a row of session 2 in a cache of 2 sessions");
}

TEST_F(KernelFaults, APositionBeforeTheFirst) {
  const KvView kv = Cache();
  const FixtureRows rows = fixture_->MakeRows({{0, 1, 0, -1}}, 0);
  Project(kv, rows.rows);
  ExpectNamed("a row at position -1");
}

TEST_F(KernelFaults, AnArrivalCounterLeftDirty) {
  // Those whose products are split, with weights that they take.
  for (const auto& [path, stored] :
       {std::pair{GemmPath::kSkinny, DType::kBF16}, std::pair{GemmPath::kSkinnyTma, DType::kQ8_0}}) {
    fixture_ = std::make_unique<DeviceFixture>(MakeCudaOps({.gemm_path = path}));
    const auto weight = ops().Prepare({RandomTensor(stored, {1, 64, 8192}, 1)}, WeightUse::kMatrix);
    constexpr int kRows = 8;
    const void* x = fixture_->InOperand(Numbers(2, std::size_t{kRows} * 8192));
    const auto logits = [&] {
      float* raw = fixture_->Out(std::size_t{kRows} * 64);
      ops().MatMul(raw, *weight, x, kRows);
      ops().Logits(
          {.capped = nullptr, .best = fixture_->OutInts(kRows), .raw = raw, .rows = kRows, .vocab = 64, .cap = 0});
    };
    logits();
    EXPECT_NO_THROW(ops().Synchronize()) << "they are zero between kernels";
    PoisonArrivals(ops());
    logits();
    ExpectNamed("an arrival counter of split sums held");
    logits();
    EXPECT_NO_THROW(ops().Synchronize()) << "it was put right";
  }
}

}  // namespace
}  // namespace assay
