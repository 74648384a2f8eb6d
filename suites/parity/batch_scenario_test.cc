// The crowd's own logic on tiny models on the host: it passes a right engine, sees planted faults, and plans within
// memory.
#include "suites/parity/crowd.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "engine/weights/synthetic.h"
#include "oracles/probes/faulty_ops.h"
#include "oracles/probes/forwarding_memory.h"

namespace assay {
namespace {

using Status = CaseOutcome::Status;

Subject Tiny(const std::string& model) { return {model, "host", Precision::kFp32, 0}; }

CaseOutcome Judged(Crowd& crowd, const std::vector<int>& batches) {
  Judge judge;
  crowd.Prefill(judge);
  for (const int n : batches) {
    crowd.Decode(n, judge);
    crowd.Greedy(n, judge);
  }
  return judge.Finish();
}

class RightEngine : public testing::TestWithParam<const char*> {};

TEST_P(RightEngine, PassesEverything) {
  Crowd crowd(Tiny(GetParam()), {.most = 17});
  const CaseOutcome outcome = Judged(crowd, {1, 3, 17});
  EXPECT_EQ(outcome.status, Status::kPass) << outcome.reason;
  for (const char* metric : {"max_abs_logit_raw", "ulp", "best", "greedy_text"}) {
    const bool judged = std::any_of(outcome.judgements.begin(), outcome.judgements.end(),
                                    [&](const Judgement& judgement) { return judgement.metric == metric; });
    EXPECT_TRUE(judged) << metric;
  }
}

INSTANTIATE_TEST_SUITE_P(, RightEngine, testing::Values("tiny-gemma4-ple", "tiny-gemma4-moe", "tiny-llama"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

class PlantedInCrowd : public testing::TestWithParam<FaultInfo> {};

TEST_P(PlantedInCrowd, IsSeen) {
#if defined(__SANITIZE_THREAD__)
  if (GetParam().fault == Fault::kFirstRowPosition)
    GTEST_SKIP() << "rows of one session at one position write one cache slot: a race by the fault's own nature";
#endif
  const Subject subject = Tiny(GetParam().fault == Fault::kExpertWeights      ? "tiny-gemma4-moe"
                               : GetParam().fault == Fault::kNormedValueIsKey ? "tiny-gemma4-keqv"
                                                                              : "tiny-gemma4-ple");
  const std::unique_ptr<Ops> ops = MakeOpsOf(subject);
  FaultyOps faulty(*ops, GetParam().fault);
  Crowd crowd(subject, {.most = 8, .ops = &faulty});
  const CaseOutcome outcome = Judged(crowd, {8});
  EXPECT_TRUE(faulty.engaged());
  EXPECT_EQ(outcome.status, Status::kFail);
}

std::vector<FaultInfo> RealFaults() {
  std::vector<FaultInfo> faults = Faults();
  std::erase_if(faults, [](const FaultInfo& info) { return info.fault == Fault::kNone; });
  return faults;
}

INSTANTIATE_TEST_SUITE_P(, PlantedInCrowd, testing::ValuesIn(RealFaults()), [](const auto& tested) {
  std::string name = tested.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(CrowdInvariant, PassesEveryBatch) {
  Crowd crowd(Tiny("tiny-gemma4-ple"), {.steps = 4, .ask_reference = false});
  EXPECT_EQ(crowd.places(), 64);
  Judge judge;
  crowd.Invariant(judge);
  const CaseOutcome outcome = judge.Finish();
  EXPECT_EQ(outcome.status, Status::kPass) << outcome.reason;
}

// Batch-invariant mode is judged without the reference, so it must see by itself what depends on the batch.
TEST(CrowdInvariant, SeesWhatDependsOnTheBatch) {
  for (const Fault fault : {Fault::kRowSwap, Fault::kStaleRow, Fault::kNeighbourCache, Fault::kLastTokenAgain}) {
    const Subject subject = Tiny("tiny-gemma4-ple");
    const std::unique_ptr<Ops> ops = MakeOpsOf(subject);
    FaultyOps faulty(*ops, fault);
    Crowd crowd(subject, {.steps = 4, .most = 8, .ask_reference = false, .ops = &faulty});
    Judge judge;
    crowd.Invariant(judge);
    EXPECT_EQ(judge.Finish().status, Status::kFail) << static_cast<int>(fault);
  }
}

// Ops that say they are a device with little memory.
class SmallDevice final : public ForwardingOps {
 public:
  SmallDevice(Ops& inner, std::size_t free) : ForwardingOps(inner), memory_(inner.memory(), free) {}
  std::string device() const override { return "small"; }
  Memory& memory() override { return memory_; }
  // A device is given recipes; the host's ops want values.
  std::unique_ptr<Weight> Prepare(const std::vector<HostTensor>& parts, WeightUse use) override {
    std::vector<HostTensor> filled = parts;
    for (HostTensor& part : filled) {
      if (part.data != nullptr) continue;
      const std::shared_ptr<std::byte[]> bytes(new std::byte[part.bytes]);
      FillSynthetic(part.type, *part.fill, bytes.get(), 0, part.experts * part.rows * part.cols);
      part.data = std::shared_ptr<const std::byte>(bytes, bytes.get());
    }
    return inner_.Prepare(filled, use);
  }

 private:
  class Little final : public ForwardingMemory {
   public:
    Little(Memory& inner, std::size_t free) : ForwardingMemory(inner), free_(free) {}
    std::size_t FreeBytes() const override { return free_; }

   private:
    std::size_t free_;
  };
  Little memory_;
};

TEST(CrowdPlaces, AreAsManyAsFit) {
  const Subject subject = Tiny("tiny-llama");
  const std::unique_ptr<Ops> ops = MakeOpsOf(subject);
  std::size_t needed = 0;
  try {
    SmallDevice none(*ops, 1);
    Crowd(subject, {.ask_reference = false, .ops = &none});
    ADD_FAILURE() << "nothing fits in a byte";
  } catch (const OutOfMemory& error) {
    EXPECT_NE(std::string(error.what()).find("not even one session would fit"), std::string::npos) << error.what();
    needed = error.needed;
  }
  SmallDevice some(*ops, needed + (needed >> 6));
  Crowd crowd(subject, {.ask_reference = false, .ops = &some});
  EXPECT_LT(crowd.places(), 64);
  crowd.RequirePlaces(crowd.places());
  try {
    crowd.RequirePlaces(64);
    ADD_FAILURE() << "64 sessions were meant not to fit";
  } catch (const OutOfMemory& error) {
    EXPECT_NE(std::string(error.what()).find("64 sessions of"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("would fit"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace assay
