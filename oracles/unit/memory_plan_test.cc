#include "engine/runtime/memory_plan.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "engine/model/presets.h"
#include "engine/model/tensors.h"
#include "engine/ops/host_ops.h"
#include "engine/testing/fixtures.h"
#include "engine/testing/gguf_image.h"
#include "engine/testing/scratch_folder.h"
#include "oracles/probes/forwarding_memory.h"

namespace assay {
namespace {

// Counts what is allocated through it, and can claim to be a device with so many bytes free.
class CountingMemory final : public ForwardingMemory {
 public:
  using ForwardingMemory::ForwardingMemory;
  std::size_t allocated = 0, free_bytes = 0;
  void* Allocate(std::size_t bytes, const std::string& what) override {
    allocated += bytes;
    return inner_.Allocate(bytes, what);
  }
  std::size_t FreeBytes() const override { return free_bytes; }
};

class CountingOps final : public OpsOverMemory<CountingMemory> {
 public:
  CountingOps(Ops& inner, bool on_host) : OpsOverMemory(inner), on_host_(on_host) {}
  bool on_host() const override { return on_host_; }

 private:
  bool on_host_;
};

EngineOptions Options(int sessions) {
  EngineOptions options;
  options.max_sessions = sessions;
  options.capacity = 60;
  options.max_chunk = 7;
  options.max_rows = 40;
  return options;
}

TEST(MemoryPlan, IsWhatTheHostEngineAllocates) {
  for (const std::string& name : PresetNames()) {
    if (!name.starts_with("tiny-")) continue;
    for (const char* suffix : {"", "@q8_0"}) {
      for (const Precision precision : {Precision::kFp32, Precision::kBf16, Precision::kBf16Fp8Kv}) {
        for (const int sessions : {1, 3, 50}) {
          SCOPED_TRACE(name + suffix + " " + Name(precision));
          const auto store = OpenModel(name + suffix);
          HostOps host(precision);
          CountingOps ops(host, true);
          const Engine engine(*store, ops, Options(sessions));
          const MemoryPlan plan = PlanMemory(*store, precision, Options(sessions), true);
          EXPECT_EQ(plan.weights(), engine.weight_bytes());
          // Host matrices stay where the store put them.
          EXPECT_EQ(plan.total() - plan.matrices, ops.memory().allocated);
        }
      }
    }
  }
}

// What is kept is what the kernels of that place read, and nothing is converted that need not be.
TEST(MemoryPlan, KeepsWhatIsReadAsItIsStored) {
  using enum DType;
  for (const DType stored : {kF32, kF16, kBF16, kQ8_0, kQ4_0, kQ4_1, kQ4_K, kQ6_K, kIQ4_NL, kMXFP4}) {
    for (const Precision precision : {Precision::kFp32, Precision::kFp16, Precision::kBf16}) {
      SCOPED_TRACE(std::string(Name(stored)) + " in " + Name(precision));
      for (const bool on_host : {true, false}) {
        EXPECT_EQ(KeptType(stored, precision, WeightUse::kTable, on_host), stored) << "a table";
        std::set<DType> read{OperandType(precision), kQ8_0, kQ4_0};
        if (precision == Precision::kFp32) read.insert({kF16, kBF16});
        const bool as_is = read.contains(stored) || (on_host && precision == Precision::kFp32);
        for (const WeightUse use : {WeightUse::kMatrix, WeightUse::kGated})
          EXPECT_EQ(KeptType(stored, precision, use, on_host), as_is ? stored : OperandType(precision)) << on_host;
      }
    }
  }
}

TEST(MemoryPlan, KeysAndValuesOfEightBitsHalveTheCachesAlone) {
  const auto store = OpenModel("gemma4-e4b");
  const MemoryPlan wide = PlanMemory(*store, Precision::kBf16, Options(3), false),
                   narrow = PlanMemory(*store, Precision::kBf16Fp8Kv, Options(3), false);
  EXPECT_EQ(2 * narrow.caches(), wide.caches());
  EXPECT_EQ(narrow.total() - narrow.caches(), wide.total() - wide.caches());
}

TEST(MemoryPlan, RealGeometriesNeedWhatTheirPublishersSay) {
  const auto gigabytes = [](const char* model, Precision precision) {
    EngineOptions options;
    options.max_sessions = 1;
    return static_cast<double>(PlanMemory(*OpenModel(model), precision, options, false).weights()) * 1e-9;
  };
  // Parameters x 2 bytes: 7.462 B (E4B with its table), 30.696 B, 25.232 B; Q8_0: 34/32 bytes each, the table stays.
  EXPECT_NEAR(gigabytes("gemma4-e4b", Precision::kBf16), 14.93, 0.02);
  EXPECT_NEAR(gigabytes("gemma4-31b", Precision::kBf16), 61.39, 0.05);
  EXPECT_NEAR(gigabytes("gemma4-26b-a4b", Precision::kBf16), 50.47, 0.05);
  EXPECT_NEAR(gigabytes("gemma4-26b-a4b", Precision::kFp32), 50.47, 0.05) << "bf16 as stored";
  EXPECT_NEAR(gigabytes("gemma4-31b@q8_0", Precision::kBf16), 32.62, 0.05);
  EXPECT_NEAR(gigabytes("gemma4-e4b@q8_0", Precision::kBf16), 4.934 + 5.637, 0.02);
  EXPECT_NEAR(gigabytes("gemma4-31b@q4_0", Precision::kBf16), 17.27, 0.3);
}

// Keys of a row are split into more parts the more there are: decode's partial results at long contexts are planned
// for. 159 sessions run in a bucket of 160 or more; 8 heads, head_dim 512, 512 parts of 256 keys.
TEST(MemoryPlan, LongContextsNeedMoreWorkspace) {
  EngineOptions options;
  options.capacity = 1 << 17;
  options.max_sessions = 159;
  const MemoryPlan plan = PlanMemory(*OpenModel("gemma4-e2b"), Precision::kBf16, options, false);
  EXPECT_GT(static_cast<double>(plan.workspace), 160.0 * 8 * 512 * 514 * 4);
  options.max_sessions = 1;
  EXPECT_LT(PlanMemory(*OpenModel("gemma4-e2b"), Precision::kBf16, options, false).workspace, plan.workspace);
}

TEST(MemoryPlan, SessionsThatFitIsTheLargestNumber) {
  const auto store = OpenModel("gemma4-e2b");
  EngineOptions options;
  options.capacity = 4096;
  const std::size_t free = std::size_t{40} << 30;
  const int fit = SessionsThatFit(*store, Precision::kBf16, options, false, free);
  ASSERT_GT(fit, 100);
  options.max_sessions = fit;
  EXPECT_LE(PlanMemory(*store, Precision::kBf16, options, false).total(), free);
  options.max_sessions = fit + 1;
  EXPECT_GT(PlanMemory(*store, Precision::kBf16, options, false).total(), free);
  EXPECT_EQ(SessionsThatFit(*store, Precision::kBf16, options, false, std::size_t{1} << 30), 0);
}

TEST(MemoryPlan, ADeviceThatIsTooSmallIsRefusedBeforeAnythingIsAllocated) {
  const auto store = OpenModel("tiny-llama");
  HostOps host(Precision::kFp32);
  CountingOps ops(host, false);
  ops.memory().free_bytes = PlanMemory(*store, Precision::kFp32, Options(5), false).total() - 1;
  try {
    const Engine engine(*store, ops, Options(5));
    FAIL() << "expected OutOfMemory";
  } catch (const OutOfMemory& error) {
    EXPECT_EQ(error.needed, ops.memory().free_bytes + 1);
    EXPECT_EQ(error.free, ops.memory().free_bytes);
    EXPECT_NE(std::string(error.what()).find("5 sessions of 60 positions need"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("4 sessions would fit"), std::string::npos) << error.what();
  }
  EXPECT_EQ(ops.memory().allocated, 0u);
}

TEST(MemoryPlan, ADeviceThatDoesNotSayWhatIsFreeRefusesNothing) {
  HostOps host(Precision::kFp32);
  CountingOps ops(host, false);
  EXPECT_NO_THROW(RequireFits(*OpenModel("tiny-llama"), ops, Options(5)));
}

std::size_t Workspace(const WeightStore& store, int sessions, int capacity) {
  EngineOptions options;
  options.max_sessions = sessions;
  options.capacity = capacity;
  return PlanMemory(store, Precision::kBf16, options, false).workspace;
}

TEST(MemoryPlan, WorkspaceIsForThePaddingOfRecordedSteps) {
  const auto store = OpenModel("gemma4-e2b");
  EXPECT_EQ(Workspace(*store, 159, 1 << 17), Workspace(*store, 160, 1 << 17));
}

TEST(MemoryPlan, WorkspaceIsForTheLongestCache) {
  const auto store = OpenModel("gemma3-1b");  // its last layer is a sliding one
  EXPECT_GT(Workspace(*store, 159, 1 << 17), Workspace(*store, 159, 4096));
}

TEST(MemoryPlan, ADeviceKeepsRowsOfAMultipleOf32) {
  const auto store = OpenModel("tiny-gemma3");  // 48 columns
  std::size_t expected = 0;
  for (const TensorEntry& entry : Catalogue(store->spec()))
    if (store->Has(entry.key) && entry.rows > 1)
      expected += static_cast<std::size_t>(entry.rows * ((entry.cols + 31) / 32 * 32)) * 2;
  EXPECT_EQ(PlanMemory(*store, Precision::kBf16, Options(1), false).matrices, expected);
}

// Queries, keys and values become one weight; a device keeps parts of different types in the mode's.
TEST(MemoryPlan, StackedPartsOfDifferentTypesCountInTheModesType) {
  GgufImage image = GgufImage::Read(Fixture("goldens/gguf-tiny/qwen2.gguf"));
  const ScratchFolder folder;
  const auto matrices = [&](const char* name) {
    return PlanMemory(*OpenModel(folder.Put(name, image.Bytes())), Precision::kBf16, Options(1), false).matrices;
  };
  const std::size_t uniform = matrices("uniform.gguf");
  image.Convert("blk.0.attn_v.weight", DType::kQ8_0);
  EXPECT_EQ(matrices("mixed.gguf"), uniform);
}

}  // namespace
}  // namespace assay
