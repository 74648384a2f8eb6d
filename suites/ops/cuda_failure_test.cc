// Failures that end a context or a process, each provoked in a child of its own: what is said, what state is left, and
// that the device serves the next process.
#include <cuda_runtime_api.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <vector>

#include "engine/base/check.h"
#include "engine/ops/ops_factory.h"
#include "engine/runtime/engine.h"
#include "engine/runtime/memory_plan.h"
#include "engine/testing/small_engine.h"
#include "suites/ops/checks.h"
#include "suites/ops/long_kernel.h"

namespace assay {
namespace {

// Ends the child with what it has found; its test matches that.
[[noreturn]] void Tell(const std::string& found) {
  fmt::print(stderr, "found: {}\n", found);
  std::fflush(stderr);
  std::_Exit(0);
}

template <class Body>
std::string Said(Body&& body) {
  try {
    body();
    return "nothing";
  } catch (const DeviceError& error) {
    return fmt::format("{}{}", error.lost ? "lost: " : "", error.what());
  } catch (const Error& error) {
    return error.what();
  }
}

// A prompt and a few decoded tokens.
std::vector<std::int32_t> Text(Engine& engine) {
  const SessionId session = engine.Open();
  engine.Prefill(session, Tokens{1, 2, 3, 4});
  return engine.Decode(std::span(&session, 1), Tokens{5}, 6).at(0);
}

// What a new engine says that decodes on these ops.
std::string SaidByAnEngineOn(Ops& ops) {
  return Said([&] {
    Engine engine(*OpenModel("tiny-llama"), ops, Options());
    Text(engine);
  });
}

class CudaFailure : public testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");  // the child is a fresh process: CUDA does not survive a fork
    if (const Support support = DeviceAvailable(Device::Cuda(0)); !support) GTEST_SKIP() << support.reason;
  }
  // That later processes find the device in order.
  void TearDown() override {
    if (IsSkipped()) return;
    EXPECT_EXIT(Tell(Said([] {
                  const std::unique_ptr<Ops> ops = MakeOps(Device::Cuda(0), Precision::kBf16);
                  Engine engine(*OpenModel("tiny-llama"), *ops, Options());
                  Text(engine);
                })),
                testing::ExitedWithCode(0), "found: nothing");
  }
};

[[noreturn]] void TouchMemoryOfNobody() {
  std::string said, after, state;
  {
    const std::unique_ptr<Ops> ops = MakeOps(Device::Cuda(0), Precision::kBf16);
    const auto store = OpenModel("tiny-llama");
    Engine engine(*store, *ops, Options());
    const SessionId session = engine.Open();
    engine.Prefill(session, Tokens{1, 2, 3});
    said = Said([&] {
      ops->AddBias(reinterpret_cast<float*>(std::uintptr_t{4096}), reinterpret_cast<float*>(std::uintptr_t{4096}), 1,
                   64);
      ops->Synchronize();
    });
    const std::int32_t token = 4;
    const Feed feed{session, std::span(&token, 1)};
    after = Said([&] { engine.Step(std::span(&feed, 1)); });
    state = fmt::format("{} tokens, healthy {}, {}", engine.Length(session), engine.healthy(),
                        engine.CanStep(std::span(&feed, 1)).reason);
  }  // owners give back what is lost without throwing
  Tell(fmt::format("{} | {} | {}", said, after, state));
}

TEST_F(CudaFailure, AnIllegalAccessLosesTheDevice) {
  EXPECT_EXIT(
      TouchMemoryOfNobody(), testing::ExitedWithCode(0),
      "found: lost: .*cudaErrorIllegalAddress.* \\| lost: .*cudaErrorIllegalAddress.* \\| 3 tokens, healthy false, "
      "the device was lost in an earlier step");
}

[[noreturn]] void DecodeWithoutMemory() {
  const std::unique_ptr<Ops> ops = MakeOps(Device::Cuda(0), Precision::kBf16);
  const auto store = OpenModel("tiny-llama");
  Engine roomy(*store, *ops, Options(2000)), crowded(*store, *ops, Options(2000));
  const std::vector<std::int32_t> expected = Text(roomy);
  std::vector<Buffer> taken;
  for (std::size_t bytes = std::size_t{1} << 40; bytes >= 4096;) {
    try {
      taken.emplace_back(ops->memory(), bytes, "all that is left");
    } catch (const OutOfMemory&) {
      bytes /= 2;
    }
  }
  const std::size_t free = ops->memory().FreeBytes();
  const std::string said = Said([&] {
    Require<Error>(Text(crowded) == expected, "other tokens without memory");
    Require<Error>(Text(crowded) == expected, "other tokens the second time");
  });
  const int without = crowded.Taken().recorded_steps;
  taken.clear();
  crowded.Record(1);
  const int with = crowded.Taken().recorded_steps;
  const bool same = Text(crowded) == expected;
  Tell(fmt::format("{} | {} then {} of {} steps recorded, {} bytes were free | same {}", said, without, with,
                   roomy.Taken().recorded_steps, free, same));
}

TEST_F(CudaFailure, StepsThatCannotBeRecordedAreComputed) {
  EXPECT_EXIT(DecodeWithoutMemory(), testing::ExitedWithCode(0),
              "found: nothing \\| [0-4] then 4 of 4 steps recorded, .* \\| same true");
}

[[noreturn]] void AllocateInACapture() {
  const std::unique_ptr<Ops> ops = MakeOps(Device::Cuda(0), Precision::kBf16);
  const std::string said =
      Said([&] { ops->Capture([&] { Buffer(ops->memory(), std::size_t{1} << 50, "a petabyte"); }); });
  Tell(fmt::format("{} | {}", said, SaidByAnEngineOn(*ops)));
}

TEST_F(CudaFailure, AnAllocationInACapturedStepIsRefusedAndTheOpsGoOn) {
  EXPECT_EXIT(AllocateInACapture(), testing::ExitedWithCode(0),
              "found: .*(cudaErrorStreamCaptureUnsupported|a petabyte).* \\| nothing");
}

// More shared memory than a block can have.
[[noreturn]] void LaunchTooLargeABlock() {
  const std::unique_ptr<Ops> ops = MakeOps(Device::Cuda(0), Precision::kFp32);
  constexpr int kHeadDim = 1 << 16;
  const Buffer keys(ops->memory(), std::size_t{kHeadDim} * 4, "keys"), rows(ops->memory(), 64, "rows");
  ops->memory().Fill(rows.data(), 0, rows.bytes());
  const KvView kv{keys.data(), keys.data(), 1, 1, kHeadDim, 1};
  const Rows row{.count = 1,
                 .token = rows.as<std::int32_t>(),
                 .position = rows.as<std::int32_t>(),
                 .session = rows.as<std::int32_t>(),
                 .segments = 1,
                 .segment = rows.as<Segment>(),
                 .host_segment = nullptr,
                 .context_bound = 1};
  ops->At({3, "attention"});
  const std::string said = Said([&] {
    ops->Attention(
        {.out = keys.data(), .q = keys.data(), .kv = &kv, .rows = &row, .heads = 1, .window = 0, .scale = 1.0f});
    ops->Synchronize();
  });
  Tell(fmt::format("{} | {}", said, SaidByAnEngineOn(*ops)));
}

TEST_F(CudaFailure, ALaunchThatIsRefusedNamesItsPlaceAndTheOpsGoOn) {
  EXPECT_EXIT(LaunchTooLargeABlock(), testing::ExitedWithCode(0),
              "found: Attention \\(layer 3, step 'attention'\\): .*cudaErrorInvalidValue.* \\| nothing");
}

// Whoever watches a process ends it; the kernel ends by itself a little later.
[[noreturn]] void OutlastTheWatchdog() {
  LaunchLongKernel(4);
  ::alarm(1);
  (void)cudaDeviceSynchronize();
  Tell("the kernel ended before the watchdog came");
}

TEST_F(CudaFailure, AKernelPastTheWatchdogEndsWithItsProcess) {
  EXPECT_EXIT(OutlastTheWatchdog(), testing::KilledBySignal(SIGALRM), "");
}

}  // namespace
}  // namespace assay
