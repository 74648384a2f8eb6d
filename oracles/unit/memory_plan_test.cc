#include "engine/runtime/memory_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/base/random.h"
#include "engine/model/presets.h"
#include "engine/model/tensors.h"
#include "engine/ops/host_ops.h"
#include "engine/ops/ops_factory.h"
#include "engine/runtime/batch.h"
#include "engine/testing/fixtures.h"
#include "engine/testing/gguf_image.h"
#include "engine/testing/scratch_folder.h"
#include "oracles/probes/forwarding_memory.h"

namespace assay {
namespace {

// Counts what is allocated through it, and can claim to be a device with so many bytes free.
class MeteredMemory final : public ForwardingMemory {
 public:
  using ForwardingMemory::ForwardingMemory;
  std::size_t allocated = 0, free_bytes = 0;
  void* Allocate(std::size_t bytes, const std::string& what) override {
    allocated += bytes;
    return inner_.Allocate(bytes, what);
  }
  std::size_t FreeBytes() const override { return free_bytes; }
};

class MeteredOps final : public OpsOverMemory<MeteredMemory> {
 public:
  MeteredOps(Ops& inner, bool on_host) : OpsOverMemory(inner), on_host_(on_host) {}
  bool on_host() const override { return on_host_; }

 private:
  bool on_host_;
};

#define ASSAY_NEEDS_PLANNING \
  if (const Support support = PlanningAvailable(Device::Cuda()); !support) GTEST_SKIP() << support.reason

constexpr Precision kModes[] = {Precision::kFp32, Precision::kFp16, Precision::kBf16, Precision::kBf16Fp8Kv};

EngineOptions Options(int sessions, int capacity = 60) {
  EngineOptions options;
  options.max_sessions = sessions;
  options.capacity = capacity;
  options.max_chunk = 7;
  options.max_rows = 40;
  return options;
}

// For an H100, or for the device that is here.
MemoryPlan PlanOf(const WeightStore& store, Precision precision, const EngineOptions& options) {
  return PlanMemory(store, *MakePlanningOps(Device::Cuda(), precision), options);
}

// Calls f(sessions) with a few of 1 to 128, others each time: over all calls of a test every number comes up.
class Sessions {
 public:
  explicit Sessions(int each) : each_(each) {}
  template <class F>
  void Some(F&& f) {
    for (int i = 0; i < each_; ++i, next_ = next_ % 128 + 1) f(next_);
  }

 private:
  int each_, next_ = 1;
};

TEST(MemoryPlan, IsWhatTheHostEngineAllocates) {
  Sessions sessions(5);
  for (const std::string& name : PresetNames()) {
    if (!name.starts_with("tiny-")) continue;
    for (const char* suffix : {"", "@q8_0"}) {
      const auto store = OpenModel(name + suffix);
      for (const Precision precision : kModes) {
        sessions.Some([&](int n) {
          SCOPED_TRACE(fmt::format("{}{} {} {} sessions", name, suffix, Name(precision), n));
          HostOps host(precision);
          MeteredOps ops(host, true);
          const Engine engine(*store, ops, Options(n));
          const MemoryPlan plan = PlanMemory(*store, host, Options(n));
          EXPECT_EQ(plan.weights(), engine.weight_bytes());
          // Host matrices stay where the store put them.
          EXPECT_EQ(plan.total() - plan.matrices, ops.memory().allocated);
          EXPECT_EQ(engine.Taken().total(), plan.total());
        });
      }
    }
  }
}

// Feeds of all kinds, drawn: chunks and single tokens mixed, all or no logits, forks, decodes.
class RandomUse {
 public:
  // Of long contexts where there is room: others fork from the first session.
  RandomUse(Engine& engine, std::uint64_t seed) : engine_(engine), seed_(seed) {
    open_.push_back(engine.Open());
    if (const int capacity = engine.options().capacity; capacity > 1000)
      engine.Prefill(open_[0], std::vector<std::int32_t>(static_cast<std::size_t>(capacity - 100)), Want::kNone);
  }
  void Turn() {
    const EngineOptions& options = engine_.options();
    while (engine_.open_sessions() < options.max_sessions && Below(8) > 0)
      open_.push_back(Below(3) == 0 ? engine_.Open() : engine_.Fork(open_[Below(open_.size())]));
    std::vector<Feed> feeds;
    std::vector<SessionId> decoded;
    int rows = 0;
    const int lengths[] = {1, 8, options.max_chunk}, longest = lengths[Below(3)];
    for (const SessionId session : open_) {
      const int length = engine_.Length(session);
      const int count = 1 + static_cast<int>(Below(static_cast<std::uint64_t>(std::min(longest, options.max_chunk))));
      if (length + count + kSteps > options.capacity) engine_.Truncate(session, 0);
      if (rows + count > options.max_rows) continue;
      rows += count;
      const auto drawn = static_cast<Want>(Below(3));
      const bool large = engine_.spec().vocab > 4096;  // whose logits this host would long be copying
      const Want want = !large ? drawn : feeds.empty() ? Want::kLast : Want::kNone;
      feeds.push_back({session, std::span(tokens_).first(static_cast<std::size_t>(count)), want});
      if (decoded.size() < 256) decoded.push_back(session);
    }
    if (feeds.empty()) return;
    engine_.Step(feeds);
    decoded.resize(1 + Below(decoded.size()));
    engine_.Decode(decoded, std::vector<std::int32_t>(decoded.size()), kSteps);
  }

 private:
  static constexpr int kSteps = 3;
  std::uint64_t Below(std::uint64_t end) { return RandomBits(seed_, draws_++) % end; }
  Engine& engine_;
  std::uint64_t seed_, draws_ = 0;
  std::vector<SessionId> open_;
  std::vector<std::int32_t> tokens_ = std::vector<std::int32_t>(5000);
};

// No schedule takes more than was planned: ops that count take the same ways as those that compute.
TEST(MemoryPlan, HoldsWhateverTheEngineIsFed) {
  ASSAY_NEEDS_PLANNING;
  Sessions sessions(3);
  int seed = 0;
  for (const std::string& name : PresetNames()) {
    for (const char* suffix : {"", "@q4_0"}) {
      const auto store = OpenModel(name + suffix);
      for (const Precision precision : kModes) {
        for (const bool invariant : {false, true}) {
          sessions.Some([&](int n) {
            SCOPED_TRACE(fmt::format("{}{} {}{} {} sessions", name, suffix, Name(precision),
                                     invariant ? " batch-invariant" : "", n));
            EngineOptions options = Options(n, 500);
            options.max_chunk = ++seed % 2 == 0 ? 7 : 90;
            options.max_rows = seed % 5 == 0 ? 600 : 100;
            if (seed % 3 == 0) options.max_chunk = options.max_rows = 5000;
            if (seed % 3 == 0) options.capacity = seed % 2 == 0 ? 20000 : 131072;
            const std::unique_ptr<Ops> ops = MakePlanningOps(Device::Cuda(), precision, invariant);
            Engine engine = Engine::Counted(*store, *ops, options);
            const MemoryPlan plan = engine.Taken();
            EXPECT_EQ(ops->memory().PeakBytes(), plan.allocated());
            RandomUse use(engine, static_cast<std::uint64_t>(seed));
            for (int turn = 0; turn < 12; ++turn) use.Turn();
            EXPECT_EQ(ops->memory().PeakBytes(), plan.allocated());
            EXPECT_EQ(ops->workspace_bytes(), plan.step_workspace);
            EXPECT_EQ(engine.Taken().recorded_steps, plan.recorded_steps) << "all were recorded at the stated point";
          });
        }
      }
    }
  }
}

// Eight rows of one session, with tens of megabytes of partial results each, take several launches.
TEST(MemoryPlan, HoldsForAShortSegmentOfALongContext) {
  ASSAY_NEEDS_PLANNING;
  const auto store = OpenModel("gemma4-31b");
  const std::unique_ptr<Ops> ops = MakePlanningOps(Device::Cuda(), Precision::kBf16);
  EngineOptions options = Options(2, 131072);
  options.max_chunk = options.max_rows = 64;
  Engine engine = Engine::Counted(*store, *ops, options);
  const std::size_t planned = ops->workspace_bytes();
  const SessionId session = engine.Open();
  engine.Prefill(session, std::vector<std::int32_t>(131000), Want::kNone);
  for (const int rows : {1, 7, 8, 9, 12}) {
    const std::vector<std::int32_t> tokens(static_cast<std::size_t>(rows));
    const Feed feed{session, tokens, Want::kNone};
    engine.Step(std::span(&feed, 1));
    EXPECT_EQ(ops->workspace_bytes(), planned) << rows;
  }
}

// A device takes what was planned for it, to the byte, and recorded steps no more than was said.
TEST(MemoryPlan, IsWhatADeviceEngineTakes) {
  if (const Support support = DeviceAvailable(Device::Cuda()); !support) GTEST_SKIP() << support.reason;
  Sessions sessions(2);
  for (const std::string& name : PresetNames()) {
    const auto store = OpenModel(name);
    for (const Precision precision : kModes) {
      sessions.Some([&](int n) {
        const std::string what = fmt::format("{} {} {} sessions", name, Name(precision), n);
        SCOPED_TRACE(what);
        EngineOptions options = Options(n, 4096);
        options.max_chunk = 256, options.max_rows = 512;
        const std::unique_ptr<Ops> ops = MakeOps(Device::Cuda(), precision);
        const MemoryPlan plan = PlanMemory(*store, *ops, options);
        if (plan.total() > ops->memory().FreeBytes()) return;
        Engine engine(*store, *ops, options);
        EXPECT_EQ(engine.Taken().allocated(), plan.allocated());
        EXPECT_EQ(ops->memory().PeakBytes(), plan.allocated());
        RandomUse use(engine, static_cast<std::uint64_t>(n));
        for (int turn = 0; turn < 3; ++turn) use.Turn();
        const std::size_t before = ops->memory().FreeBytes();
        for (const int bucket : DecodeBuckets())
          if (bucket <= DecodeBucket(n)) engine.Record(bucket);
        const std::size_t after = ops->memory().FreeBytes(), taken = before > after ? before - after : 0;
        EXPECT_EQ(engine.Taken().recorded_steps, plan.recorded_steps);
        EXPECT_LE(taken, plan.recorded);
        EXPECT_EQ(ops->memory().PeakBytes(), plan.allocated());
        fmt::print("{}: {} recorded steps took {:.1f} MB, {:.1f} MB were planned\n", what, plan.recorded_steps,
                   1e-6 * static_cast<double>(taken), 1e-6 * static_cast<double>(plan.recorded));
      });
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
  ASSAY_NEEDS_PLANNING;
  const auto store = OpenModel("gemma4-e4b");
  const auto plan = [&](Precision precision) {
    return PlanMemory(*store, *MakePlanningOps(Device::Cuda(), precision), Options(3));
  };
  const MemoryPlan wide = plan(Precision::kBf16), narrow = plan(Precision::kBf16Fp8Kv);
  EXPECT_EQ(2 * narrow.caches(), wide.caches());
  EXPECT_EQ(narrow.total() - narrow.caches(), wide.total() - wide.caches());
}

TEST(MemoryPlan, RealGeometriesNeedWhatTheirPublishersSay) {
  ASSAY_NEEDS_PLANNING;
  const auto gigabytes = [](const char* model, Precision precision) {
    EngineOptions options;
    options.max_sessions = 1;
    return static_cast<double>(PlanOf(*OpenModel(model), precision, options).weights()) * 1e-9;
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
  ASSAY_NEEDS_PLANNING;
  EngineOptions options;
  options.capacity = 1 << 17;
  options.max_sessions = 159;
  const MemoryPlan plan = PlanOf(*OpenModel("gemma4-e2b"), Precision::kBf16, options);
  EXPECT_GT(static_cast<double>(plan.workspace), 160.0 * 8 * 512 * 514 * 4);
  options.max_sessions = 1;
  EXPECT_LT(PlanOf(*OpenModel("gemma4-e2b"), Precision::kBf16, options).workspace, plan.workspace);
}

TEST(MemoryPlan, SessionsThatFitIsTheLargestNumber) {
  ASSAY_NEEDS_PLANNING;
  const auto store = OpenModel("gemma4-e2b");
  const std::unique_ptr<Ops> ops = MakePlanningOps(Device::Cuda(), Precision::kBf16);
  EngineOptions options;
  options.capacity = 4096;
  const std::size_t free = std::size_t{40} << 30;
  const int fit = SessionsThatFit(*store, *ops, options, free);
  ASSERT_GT(fit, 100);
  options.max_sessions = fit;
  EXPECT_LE(PlanOf(*store, Precision::kBf16, options).total(), free);
  options.max_sessions = fit + 1;
  EXPECT_GT(PlanOf(*store, Precision::kBf16, options).total(), free);
  EXPECT_EQ(SessionsThatFit(*store, *ops, options, std::size_t{1} << 30), 0);
}

TEST(MemoryPlan, ADeviceThatIsTooSmallIsRefusedBeforeAnythingIsAllocated) {
  const auto store = OpenModel("tiny-llama");
  HostOps host(Precision::kFp32);
  MeteredOps ops(host, false);
  ops.memory().free_bytes = PlanMemory(*store, host, Options(5)).total() - 1;
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

// Room for all but what recorded steps will take is not enough.
TEST(MemoryPlan, RecordedStepsThatWillNotFitAreRefusedBeforehand) {
  ASSAY_NEEDS_PLANNING;
  const auto store = OpenModel("gemma4-e2b");
  const std::unique_ptr<Ops> planning = MakePlanningOps(Device::Cuda(), Precision::kBf16);
  const MemoryPlan plan = PlanMemory(*store, *planning, Options(8));
  MeteredOps ops(*planning, false);
  const std::size_t own = ops.own_bytes();  // taken already
  ops.memory().free_bytes = plan.total() - own;
  EXPECT_NO_THROW(RequireFits(*store, ops, Options(8)));
  for (const std::size_t missing : {std::size_t{1}, plan.recorded}) {
    ops.memory().free_bytes = plan.total() - own - missing;
    try {
      RequireFits(*store, ops, Options(8));
      ADD_FAILURE() << "expected OutOfMemory";
    } catch (const OutOfMemory& error) {
      EXPECT_EQ(error.needed, plan.total());
      EXPECT_NE(std::string(error.what()).find("recorded steps"), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("would fit"), std::string::npos) << error.what();
    }
  }
}

// One session of a shorter context, where none of the capacity that was asked for fits.
TEST(MemoryPlan, ACapacityThatIsTooLargeIsRefusedWithTheOneThatFits) {
  const auto store = OpenModel("tiny-llama");
  HostOps host(Precision::kFp32);
  MeteredOps ops(host, false);
  ops.memory().free_bytes = PlanMemory(*store, host, Options(1, 3333)).total();
  EXPECT_NO_THROW(RequireFits(*store, ops, Options(1, 3333)));
  ops.memory().allocated = 0;
  try {
    const Engine engine(*store, ops, Options(1, 50000));
    FAIL() << "expected OutOfMemory";
  } catch (const OutOfMemory& error) {
    EXPECT_NE(std::string(error.what()).find("one session of 3333 positions would fit"), std::string::npos)
        << error.what();
  }
  EXPECT_EQ(ops.memory().allocated, 0u);
}

TEST(MemoryPlan, ADeviceThatDoesNotSayWhatIsFreeRefusesNothing) {
  HostOps host(Precision::kFp32);
  MeteredOps ops(host, false);
  EXPECT_NO_THROW(RequireFits(*OpenModel("tiny-llama"), ops, Options(5)));
}

std::size_t Workspace(const WeightStore& store, int sessions, int capacity) {
  EngineOptions options;
  options.max_sessions = sessions;
  options.capacity = capacity;
  return PlanOf(store, Precision::kBf16, options).workspace;
}

TEST(MemoryPlan, WorkspaceIsForThePaddingOfRecordedSteps) {
  ASSAY_NEEDS_PLANNING;
  const auto store = OpenModel("gemma4-e2b");
  EXPECT_EQ(Workspace(*store, 159, 1 << 17), Workspace(*store, 160, 1 << 17));
}

TEST(MemoryPlan, WorkspaceIsForTheLongestCache) {
  ASSAY_NEEDS_PLANNING;
  const auto store = OpenModel("gemma3-1b");  // its last layer is a sliding one
  EXPECT_GT(Workspace(*store, 159, 1 << 17), Workspace(*store, 159, 4096));
}

TEST(MemoryPlan, ADeviceKeepsRowsOfAMultipleOf32) {
  ASSAY_NEEDS_PLANNING;
  const auto store = OpenModel("tiny-gemma3");  // 48 columns
  std::size_t expected = 0;
  for (const TensorEntry& entry : Catalogue(store->spec()))
    if (store->Has(entry.key) && entry.rows > 1)
      expected += static_cast<std::size_t>(entry.rows * ((entry.cols + 31) / 32 * 32)) * 2;
  EXPECT_EQ(PlanOf(*store, Precision::kBf16, Options(1)).matrices, expected);
}

// Queries, keys and values become one weight; a device keeps parts of different types in the mode's.
TEST(MemoryPlan, StackedPartsOfDifferentTypesCountInTheModesType) {
  ASSAY_NEEDS_PLANNING;
  GgufImage image = GgufImage::Read(Fixture("goldens/gguf-tiny/qwen2.gguf"));
  const ScratchFolder folder;
  const auto matrices = [&](const char* name) {
    return PlanOf(*OpenModel(folder.Put(name, image.Bytes())), Precision::kBf16, Options(1)).matrices;
  };
  const std::size_t uniform = matrices("uniform.gguf");
  image.Convert("blk.0.attn_v.weight", DType::kQ8_0);
  EXPECT_EQ(matrices("mixed.gguf"), uniform);
}

// Files hold types that no recipe of made-up weights makes.
TEST(MemoryPlan, IsMadeForEveryStoredType) {
  ASSAY_NEEDS_PLANNING;
  const GgufImage plain = GgufImage::Read(Fixture("goldens/gguf-tiny/qwen2.gguf"));
  const ScratchFolder folder;
  const std::size_t matrices =
      PlanOf(*OpenModel(folder.Put("plain.gguf", plain.Bytes())), Precision::kBf16, Options(1)).matrices;
  using enum DType;
  int types = 0;
  for (const DType type : {kQ4_1, kQ5_0, kQ5_1, kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K, kIQ4_NL, kIQ4_XS}) {
    GgufImage image = plain;
    GgufImage::Tensor& down = image.TensorAt("blk.0.ffn_down.weight");
    if (down.dims[0] % static_cast<std::uint64_t>(Info(type).block) != 0) continue;
    down.data.assign(
        StoredBytes(type, static_cast<std::int64_t>(down.dims[1]), static_cast<std::int64_t>(down.dims[0])), '\0');
    down.type = static_cast<std::uint32_t>(Info(type).ggml_id);
    const std::string path = folder.Put(std::string(Name(type)) + ".gguf", image.Bytes());
    EXPECT_EQ(PlanOf(*OpenModel(path), Precision::kBf16, Options(1)).matrices, matrices) << Name(type);
    ++types;
  }
  EXPECT_GE(types, 4);
}

}  // namespace
}  // namespace assay
