// What the engine keeps of its sessions when steps fail, go on long, fork and go back, and what it asks of ops for
// them.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/runtime/batch.h"
#include "engine/runtime/engine.h"
#include "engine/testing/complaint.h"
#include "engine/testing/small_engine.h"
#include "oracles/probes/faulty_ops.h"
#include "oracles/probes/forwarding_memory.h"

namespace assay {
namespace {

// Memory whose copies fail on request.
class BrokenMemory final : public ForwardingMemory {
 public:
  using ForwardingMemory::ForwardingMemory;
  void Copy(void* to, const void* from, std::size_t bytes) override {
    if (broken) throw DeviceError("copy: refused", false);
    inner_.Copy(to, from, bytes);
  }
  bool broken = false;
};

TEST(Engine, ForkThatFailsTakesNoSession) {
  HostOps host(Precision::kFp32);
  OpsOverMemory<BrokenMemory> ops(host);
  Engine engine(*OpenModel("tiny-llama"), ops, Options());
  const SessionId session = engine.Open();
  engine.Prefill(session, Tokens{1, 2, 3});
  ops.memory().broken = true;
  for (int attempt = 0; attempt < 5; ++attempt) EXPECT_THROW(engine.Fork(session), DeviceError);
  ops.memory().broken = false;
  EXPECT_EQ(engine.Length(engine.Fork(session)), 3);
  EXPECT_EQ(engine.Length(engine.Open()), 0);
}

// A decode that fails after its rings have turned over what the old length needs says so and empties the session; one
// that fails early leaves it as it was, to the bit.
TEST(Engine, DecodeThatFailsLeavesNoHalfSession) {
  const auto store = OpenModel("tiny-gemma3");
  HostOps host(Precision::kFp32);
  const EngineOptions options = Options(60);
  const Tokens prompt{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const std::int32_t first = 13;
  const auto next = [&](Engine& engine, SessionId session) {
    const Feed feed{session, std::span(&first, 1)};
    return engine.Step(std::span(&feed, 1)).raw;
  };
  Engine clean(*store, host, options);
  const SessionId same = clean.Open();
  clean.Prefill(same, prompt);
  const std::vector<float> expected = next(clean, same);
  int kept = 0, emptied = 0;
  for (int call = 0; call < 2000; call += 37) {
    FaultyOps ops(host, Fault::kNone);
    Engine engine(*store, ops, options);
    const SessionId session = engine.Open();
    engine.Prefill(session, prompt);
    ops.Arm(call);
    std::string said;
    try {
      engine.Decode(std::span(&session, 1), std::span(&first, 1), 40);
    } catch (const Error& error) {
      said = error.what();
    }
    ops.Arm(-1);
    if (said.empty()) break;
    const bool gone = said.find("was emptied") != std::string::npos;
    (gone ? emptied : kept) += 1;
    ASSERT_EQ(engine.Length(session), gone ? 0 : 12) << call << ": " << said;
    if (!gone) {
      ASSERT_EQ(next(engine, session), expected) << call;
    }
  }
  EXPECT_GT(kept + emptied, 5);
  EXPECT_GT(kept, 0);
  EXPECT_GT(emptied, 0);
}

// A bad token anywhere in a prompt is refused before its first chunk has turned a ring over.
TEST(Engine, BadTokenLateInAPromptChangesNothing) {
  const auto store = OpenModel("tiny-gemma3");
  HostOps ops(Precision::kFp32);
  const EngineOptions options = Options(60);
  Engine engine(*store, ops, options);
  const SessionId session = engine.Open();
  engine.Prefill(session, Tokens(20, 7));
  Tokens prompt(20, 7);
  prompt[18] = store->spec().vocab;
  EXPECT_NE(Complaint([&] { engine.Prefill(session, prompt); }).find("token 18 is"), std::string::npos);
  EXPECT_EQ(engine.Length(session), 20);
}

TEST(Engine, ForkIsRefusedOnceTheDeviceIsLost) {
  HostOps host(Precision::kFp32);
  FaultyOps ops(host, Fault::kNone);
  Engine engine(*OpenModel("tiny-llama"), ops, Options());
  const SessionId session = engine.Open();
  engine.Prefill(session, Tokens{1, 2, 3});
  ops.Arm(2, true);
  EXPECT_THROW(engine.Prefill(session, Tokens{4}), DeviceError);
  ops.Arm(-1);
  EXPECT_NE(Complaint([&] { engine.Fork(session); }).find("the device was lost"), std::string::npos);
  EXPECT_EQ(engine.open_sessions(), 1);
}

// Rings forget: how far back a session can go depends on how far it has been, and a fork has been there too.
TEST(Engine, AForkCanGoBackAsFarAsItsOrigin) {
  HostOps host(Precision::kFp32);
  const EngineOptions options = Options(60);
  Engine engine(*OpenModel("tiny-gemma3"), host, options);
  const SessionId session = engine.Open();
  engine.Prefill(session, Tokens(40, 5));
  int lowest = 40;
  while (lowest > 1 && engine.CanTruncate(session, lowest - 1).ok) --lowest;
  ASSERT_GT(lowest, 1);
  ASSERT_LT(lowest, 40);
  engine.Truncate(session, lowest);
  const SessionId fork = engine.Fork(session);
  for (int length = 1; length <= lowest; ++length)
    EXPECT_EQ(engine.CanTruncate(fork, length).ok, engine.CanTruncate(session, length).ok) << length;
}

TEST(Engine, AnEmptiedSessionCanGoBackAsFarAsAFreshOne) {
  const auto store = OpenModel("tiny-gemma3");
  HostOps host(Precision::kFp32);
  const EngineOptions options = Options(60);
  Engine engine(*store, host, options), fresh(*store, host, options);
  const SessionId emptied = engine.Open(), other = fresh.Open();
  engine.Prefill(emptied, Tokens(50, 5));
  engine.Truncate(emptied, 0);
  engine.Prefill(emptied, Tokens(20, 5));
  fresh.Prefill(other, Tokens(20, 5));
  for (int length = 1; length <= 20; ++length)
    EXPECT_EQ(engine.CanTruncate(emptied, length).ok, fresh.CanTruncate(other, length).ok) << length;
  // A ring has max_chunk - 1 slots more than its window, and the next token needs window - 1 keys.
  EXPECT_TRUE(fresh.CanTruncate(other, 20 - kChunk).ok);
  EXPECT_FALSE(fresh.CanTruncate(other, 20 - kChunk - 1).ok);
}

TEST(Engine, DecodeThatFailsTakesEverySessionBack) {
  HostOps host(Precision::kFp32);
  FaultyOps ops(host, Fault::kNone);
  const EngineOptions options = Options(60);
  Engine engine(*OpenModel("tiny-gemma3"), ops, options);
  const std::vector<SessionId> sessions{engine.Open(), engine.Open()};
  for (const SessionId session : sessions) engine.Prefill(session, Tokens(12, 3 + session.index));
  ops.Arm(900);
  std::string said;
  try {
    engine.Decode(sessions, Tokens{1, 2}, 40);
  } catch (const Error& error) {
    said = error.what();
  }
  ops.Arm(-1);
  for (const SessionId session : sessions) {
    EXPECT_NE(said.find(fmt::format("session {} cannot return", session.index)), std::string::npos) << said;
    EXPECT_EQ(engine.Length(session), 0);
  }
}

// Longer than the history of tokens that the device keeps.
TEST(Engine, ALongDecodeIsManyShortOnes) {
  const auto store = OpenModel("tiny-llama");
  HostOps host(Precision::kFp32);
  const EngineOptions options = Options(400);
  Engine once(*store, host, options), thrice(*store, host, options);
  const SessionId a = once.Open(), b = thrice.Open();
  once.Prefill(a, Tokens{1, 2, 3});
  thrice.Prefill(b, Tokens{1, 2, 3});
  const Tokens whole = once.Decode(std::span(&a, 1), Tokens{4}, 300)[0];
  Tokens parts, next{4};
  for (int part = 0; part < 3; ++part) {
    const Tokens some = thrice.Decode(std::span(&b, 1), next, 100)[0];
    parts.insert(parts.end(), some.begin(), some.end());
    next = {some.back()};
  }
  EXPECT_EQ(whole, parts);
}

// A device cuts its grids to this bound.
class BoundSpy final : public ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;
  void Attention(const AttentionArgs& args) override {
    for (int row = 0; row < args.rows->count; ++row)
      beyond += args.rows->position[row] >= args.rows->context_bound ? 1 : 0;
    ++calls;
    inner_.Attention(args);
  }
  int beyond = 0, calls = 0;
};

TEST(Engine, TheContextBoundCoversTheNewestKey) {
  HostOps host(Precision::kFp32);
  BoundSpy ops(host);
  EngineOptions options = Options(400);
  options.max_chunk = options.max_rows = 300;
  Engine engine(*OpenModel("tiny-llama"), ops, options);
  const SessionId session = engine.Open();
  engine.Prefill(session, Tokens(250, 5));
  engine.Decode(std::span(&session, 1), Tokens{1}, 20);  // past 256
  EXPECT_GT(ops.calls, 20);
  EXPECT_EQ(ops.beyond, 0);
}

// Counts captures, which fail on request as they do when a device is full.
class FullDevice final : public ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;
  std::unique_ptr<StepGraph> Capture(const std::function<void()>& body) override {
    ++captures;
    if (full) throw OutOfMemory("a recorded step", 1, 0);
    return inner_.Capture(body);
  }
  int captures = 0;
  bool full = false;
};

// All context bounds of a batch are recorded by its first decode: 256, 512, ..., 4096, 5000. None later, whatever the
// context grows to.
TEST(Engine, StepsAreRecordedOnce) {
  HostOps host(Precision::kFp32);
  FullDevice ops(host);
  EngineOptions options = Options(5000);
  options.max_chunk = options.max_rows = 300;
  Engine engine(*OpenModel("tiny-llama"), ops, options);
  const SessionId session = engine.Open();
  engine.Prefill(session, Tokens(250, 5));
  EXPECT_EQ(ops.captures, 0);
  engine.Decode(std::span(&session, 1), Tokens{1}, 1);
  EXPECT_EQ(ops.captures, 6);
  engine.Decode(std::span(&session, 1), Tokens{1}, 20);  // past 256
  EXPECT_EQ(ops.captures, 6);
  engine.Record(2);
  EXPECT_EQ(ops.captures, 12);
  engine.Record(2);
  EXPECT_EQ(ops.captures, 12);
}

// The same tokens, call by call, until there is memory again.
TEST(Engine, StepsThatCannotBeRecordedAreComputed) {
  HostOps host(Precision::kBf16);
  FullDevice ops(host);
  Engine engine(*OpenModel("tiny-gemma3"), ops, Options(60));
  const auto text = [&] {
    const SessionId session = engine.Open();
    engine.Prefill(session, Tokens{1, 2, 3});
    const Tokens decoded = engine.Decode(std::span(&session, 1), Tokens{4}, 30).at(0);
    engine.Close(session);
    return decoded;
  };
  ops.full = true;
  const Tokens without = text();
  EXPECT_EQ(text(), without);
  EXPECT_EQ(ops.captures, 1) << "tried once, not at every step";
  EXPECT_EQ(host.counters().graph_launches, 0);
  ops.full = false;
  engine.Record(1);
  EXPECT_EQ(text(), without);
  EXPECT_EQ(host.counters().graph_launches, 30);
}

// Counts the bytes that come back.
class OutMeter final : public ForwardingMemory {
 public:
  using ForwardingMemory::ForwardingMemory;
  void CopyOut(void* host_to, const void* from, std::size_t bytes) override {
    copied += bytes;
    inner_.CopyOut(host_to, from, bytes);
  }
  std::size_t copied = 0;
};

TEST(Engine, StepCopiesWhatIsAskedFor) {
  for (const char* model : {"tiny-llama", "tiny-gemma4-ple"}) {  // without and with a softcap
    HostOps host(Precision::kFp32);
    OpsOverMemory<OutMeter> ops(host);
    const auto store = OpenModel(model);
    const bool caps = store->spec().softcap != 0;
    const std::size_t rows = 3, best = rows * sizeof(std::int32_t), floats = rows * store->spec().vocab * sizeof(float);
    StepResult whole;
    for (const StepOutputs& outputs : {StepOutputs{}, {true, false}, {false, true}, {false, false}}) {
      SCOPED_TRACE(fmt::format("{} raw {} capped {}", model, outputs.raw, outputs.capped));
      Engine engine(*store, ops, Options());
      ops.memory().copied = 0;
      const Tokens tokens{1, 2, 3};
      const Feed feed{engine.Open(), tokens, Want::kAll};
      const StepResult result = engine.Step(std::span(&feed, 1), outputs);
      const std::size_t arrays = caps ? std::size_t{outputs.raw} + outputs.capped : outputs.raw || outputs.capped;
      EXPECT_EQ(ops.memory().copied, best + arrays * floats);
      if (whole.best.empty()) whole = result;
      EXPECT_EQ(result.best, whole.best);
      EXPECT_EQ(result.raw, outputs.raw ? whole.raw : std::vector<float>());
      EXPECT_EQ(result.capped, outputs.capped ? whole.capped : std::vector<float>());
      EXPECT_EQ(whole.raw == whole.capped, !caps);
    }
  }
}

TEST(Engine, LogitsGoWhereTheCallerSays) {
  for (const char* model : {"tiny-llama", "tiny-gemma4-ple"}) {  // without and with a softcap
    SCOPED_TRACE(model);
    HostOps ops(Precision::kFp32);
    const auto store = OpenModel(model);
    Engine engine(*store, ops, Options());
    const Tokens tokens{1, 2, 3};
    const Feed into_result{engine.Open(), tokens, Want::kAll}, elsewhere{engine.Open(), tokens, Want::kAll};
    const StepResult expected = engine.Step(std::span(&into_result, 1));
    std::vector<float> placed;
    const StepOutputs outputs{.place = [&](std::size_t count) { return placed.resize(count), placed.data(); }};
    const StepResult result = engine.Step(std::span(&elsewhere, 1), outputs);
    std::vector<float> both = store->spec().softcap != 0 ? expected.capped : std::vector<float>();
    both.insert(both.end(), expected.raw.begin(), expected.raw.end());
    EXPECT_EQ(placed, both);
    EXPECT_EQ(result.best, expected.best);
    EXPECT_TRUE(result.raw.empty() && result.capped.empty());
  }
}

TEST(Engine, RecordedStepsComeInTheSmallestBucketThatHolds) {
  for (const auto& [rows, bucket] : {std::pair{1, 1}, {2, 2}, {8, 8}, {9, 12}, {256, 256}})
    EXPECT_EQ(DecodeBucket(rows), bucket);
}

}  // namespace
}  // namespace assay
