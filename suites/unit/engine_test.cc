// What the engine says to requests it cannot honour: the thing, what was expected and what was found; and that nothing
// has changed.
#include "engine/runtime/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "engine/memory/memory.h"
#include "engine/ops/host_ops.h"
#include "engine/runtime/batch.h"
#include "engine/weights/finite.h"
#include "oracles/probes/faulty_ops.h"
#include "oracles/probes/poison_memory.h"
#include "suites/support/gguf_image.h"
#include "suites/support/scratch_folder.h"

namespace assay {
namespace {

using Tokens = std::vector<std::int32_t>;

constexpr int kSessions = 3, kCapacity = 12, kChunk = 4, kRows = 6;

EngineOptions Options() {
  EngineOptions options;
  options.max_sessions = kSessions;
  options.capacity = kCapacity;
  options.max_chunk = kChunk;
  options.max_rows = kRows;
  return options;
}

std::string Complaint(const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

// Two sessions of 3 and 9 tokens, and one that was closed.
struct Hall {
  Hall() {
    engine.Prefill(a, Tokens{1, 2, 3});
    engine.Prefill(b, Tokens{4, 5, 6, 7, 8, 9, 10, 11, 12});
    engine.Close(gone);
  }
  HostOps ops{Precision::kFp32};
  std::unique_ptr<WeightStore> store = OpenModel("tiny-llama");
  Engine engine{*store, ops, Options()};
  const SessionId a = engine.Open(), b = engine.Open(), gone = engine.Open();
};

struct Refused {
  const char* name;
  std::function<void(Hall&)> request;
  std::string message;  // all of it, so that what people read is reviewed here
};

void Step(Hall& hall, const std::vector<Feed>& feeds) {
  const Gate gate = hall.engine.CanStep(feeds);
  EXPECT_FALSE(gate.ok);
  EXPECT_EQ(gate.reason, Complaint([&] { hall.engine.Step(feeds); }));
  hall.engine.Step(feeds);
}

class EngineRefuses : public testing::TestWithParam<Refused> {};

TEST_P(EngineRefuses, WithAMessageAndUnchanged) {
  Hall hall, untouched;
  EXPECT_EQ(Complaint([&] { GetParam().request(hall); }), GetParam().message);
  EXPECT_EQ(hall.engine.open_sessions(), 2);
  EXPECT_EQ(hall.engine.Length(hall.a), 3);
  EXPECT_EQ(hall.engine.Length(hall.b), 9);
  const Tokens next{13, 14};
  for (Hall* each : {&hall, &untouched}) EXPECT_TRUE(each->engine.healthy());
  const auto rows = [&](Hall& each) {
    const std::vector<Feed> feeds{{each.a, next, Want::kAll}, {each.b, next}};
    return each.engine.Step(feeds).raw;
  };
  EXPECT_EQ(rows(hall), rows(untouched));
}

const Tokens kOne{1}, kNone{}, kThree{1, 2, 3}, kFour{1, 2, 3, 4}, kFive{1, 2, 3, 4, 5}, kTen(10, 1);
const Tokens kTooLarge{7, 112}, kNegative{-1};

INSTANTIATE_TEST_SUITE_P(
    , EngineRefuses,
    testing::Values(
        Refused{"NoSessions", [](Hall& h) { Step(h, {}); }, "step of no sessions: expected at least one feed"},
        Refused{"NoTokens",
                [](Hall& h) {
                  Step(h, {{h.a, kOne}, {h.b, kNone}});
                },
                "feed 1: no tokens for session 1, expected at least one"},
        Refused{"TokenBeyondTheVocabulary",
                [](Hall& h) {
                  Step(h, {{h.a, kTooLarge}});
                },
                "feed 0: token 1 of session 0 is 112, expected 0..111"},
        Refused{"NegativeToken",
                [](Hall& h) {
                  Step(h, {{h.b, kOne}, {h.a, kNegative}});
                },
                "feed 1: token 0 of session 0 is -1, expected 0..111"},
        Refused{"SameSessionTwice",
                [](Hall& h) {
                  Step(h, {{h.a, kOne}, {h.b, kOne}, {h.a, kOne}});
                },
                "feed 2: session 0 appears twice in one step"},
        Refused{"ClosedSession",
                [](Hall& h) {
                  Step(h, {{h.a, kOne}, {h.gone, kOne}});
                },
                "feed 1: session 2 (generation 1) is closed"},
        Refused{"UnknownSession",
                [](Hall& h) {
                  Step(h, {{SessionId{7, 1}, kOne}});
                },
                "feed 0: session 7: expected an index in 0..2"},
        Refused{"SessionThatNeverWas",
                [](Hall& h) {
                  Step(h, {{SessionId{}, kOne}});
                },
                "feed 0: session -1: expected an index in 0..2"},
        Refused{"BeyondCapacity",
                [](Hall& h) {
                  Step(h, {{h.b, kFour}});
                },
                "feed 0: session 1 has 9 tokens and would grow by 4, its capacity is 12"},
        Refused{"ChunkTooLong",
                [](Hall& h) {
                  Step(h, {{h.a, kFive}});
                },
                "feed 0: 5 tokens for session 0, expected at most max_chunk = 4"},
        Refused{"TooManyRows",
                [](Hall& h) {
                  Step(h, {{h.a, kFour}, {h.b, kThree}});
                },
                "step of 7 rows: expected at most max_rows = 6"},
        Refused{"EmptyPrompt", [](Hall& h) { h.engine.Prefill(h.a, kNone); },
                "prefill of session 0: empty prompt, expected at least one token"},
        Refused{"PromptBeyondCapacity", [](Hall& h) { h.engine.Prefill(h.a, kTen); },
                "prefill of session 0: 10 tokens after 3, its capacity is 12"},
        Refused{"PromptWithABadTokenInItsLastChunk",
                [](Hall& h) {
                  h.engine.Prefill(h.a, Tokens{1, 2, 3, 4, 300});
                },
                "prefill of session 0: token 4 is 300, expected 0..111"},
        Refused{"PromptOfAClosedSession", [](Hall& h) { h.engine.Prefill(h.gone, kOne); },
                "session 2 (generation 1) is closed"},
        Refused{"PromptInHugeChunks", [](Hall& h) { h.engine.Prefill(h.a, kFive, Want::kLast, 9); },
                "prefill in chunks of 9: expected 1..4"},
        Refused{"DecodeOfNobody", [](Hall& h) { h.engine.Decode({}, {}, 1); },
                "decode: step of no sessions: expected at least one feed"},
        Refused{"DecodeOfUnequalLists",
                [](Hall& h) {
                  const SessionId both[] = {h.a, h.b};
                  h.engine.Decode(both, kOne, 1);
                },
                "decode: 2 sessions and 1 first tokens"},
        Refused{"DecodeOfTheSameTwice",
                [](Hall& h) {
                  const SessionId both[] = {h.a, h.a};
                  h.engine.Decode(both, Tokens{1, 2}, 1);
                },
                "decode: feed 1: session 0 appears twice in one step"},
        Refused{"DecodeBeyondCapacity", [](Hall& h) { h.engine.Decode(std::span(&h.b, 1), kOne, 4); },
                "decode of 4 steps: session 1 has 9 tokens, its capacity is 12"},
        Refused{"DecodeOfNoSteps", [](Hall& h) { h.engine.Decode(std::span(&h.a, 1), kOne, 0); },
                "decode of 0 steps: expected at least 1"},
        Refused{"CloseTwice", [](Hall& h) { h.engine.Close(h.gone); }, "session 2 (generation 1) is closed"},
        Refused{"ForkOfAClosedSession", [](Hall& h) { h.engine.Fork(h.gone); }, "session 2 (generation 1) is closed"},
        Refused{"LengthOfAClosedSession", [](Hall& h) { h.engine.Length(h.gone); },
                "session 2 (generation 1) is closed"},
        Refused{"TruncateAhead", [](Hall& h) { h.engine.Truncate(h.a, 4); }, "session 0: truncate to 4, expected 0..3"},
        Refused{"CacheOfNoLayer", [](Hall& h) { h.engine.Cache(h.a, 99); }, "cache of layer 99: expected 0..3"}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST(Engine, RefusesOneSessionMoreThanItHasPlaces) {
  Hall hall;
  hall.engine.Open();
  const Gate gate = hall.engine.CanOpen();
  EXPECT_EQ(gate.reason, "all 3 session places are taken; close one or raise max_sessions");
  EXPECT_EQ(Complaint([&] { hall.engine.Open(); }), "open session: " + gate.reason);
  EXPECT_EQ(Complaint([&] { hall.engine.Fork(hall.a); }), "open session: " + gate.reason);
}

// A handle does not come back to life with its place.
TEST(Engine, AClosedHandleStaysClosedWhenItsPlaceIsTakenAgain) {
  Hall hall;
  const SessionId again = hall.engine.Open();
  ASSERT_EQ(again.index, hall.gone.index);
  EXPECT_EQ(Complaint([&] { hall.engine.Length(hall.gone); }), "session 2 (generation 1) is closed");
  EXPECT_EQ(hall.engine.Length(again), 0);
}

TEST(Engine, RefusesImpossibleSizes) {
  const auto store = OpenModel("tiny-llama");
  const auto complaint = [&](void (*change)(EngineOptions&)) {
    HostOps ops(Precision::kFp32);
    EngineOptions options = Options();
    change(options);
    return Complaint([&] { Engine(*store, ops, options); });
  };
  EXPECT_EQ(complaint([](EngineOptions& o) { o.max_sessions = 0; }), "engine: max_sessions 0: expected at least 1");
  EXPECT_EQ(complaint([](EngineOptions& o) { o.max_rows = -1; }), "engine: max_rows -1: expected at least 1");
  EXPECT_NE(complaint([](EngineOptions& o) { o.capacity = 0; }).find("0"), std::string::npos);
  EXPECT_NE(complaint([](EngineOptions& o) { o.max_chunk = 0; }).find("0"), std::string::npos);
}

// A checkpoint with one value that is no number: said by name before anything is computed with it.
TEST(Engine, RefusesWeightsThatAreNotNumbers) {
  const std::string fixture = std::string(ASSAY_FIXTURES) + "/goldens/gguf-tiny/qwen2.gguf";
  for (const char* name : {"blk.1.ffn_up.weight", "blk.0.attn_norm.weight", "token_embd.weight", "blk.0.attn_k.bias"}) {
    for (const float value : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      GgufImage image = GgufImage::Read(fixture);
      std::memcpy(image.TensorAt(name).data.data() + 4, &value, sizeof value);
      const ScratchFolder folder;
      const auto store = OpenModel(folder.Put("model.gguf", image.Bytes()));
      HostOps ops(Precision::kFp32);
      const std::string complaint = Complaint([&] { Engine(*store, ops, Options()); });
      EXPECT_NE(complaint.find("model.gguf"), std::string::npos) << complaint;
      EXPECT_NE(complaint.find(name), std::string::npos) << complaint;
      EXPECT_NE(complaint.find("expected finite values, found 1 NaN or infinite of"), std::string::npos) << complaint;
      EXPECT_NE(complaint.find("the first in row 0"), std::string::npos) << complaint;
    }
  }
}

// What fits the file but not the type of products would be infinite without a word. Vectors stay in float32.
TEST(Engine, RefusesWeightsTooLargeForTheModesType) {
  const auto complaint = [](Precision precision, const char* name, float value) {
    GgufImage image = GgufImage::Read(std::string(ASSAY_FIXTURES) + "/goldens/gguf-tiny/qwen2.gguf");
    std::memcpy(image.TensorAt(name).data.data() + 4, &value, sizeof value);
    const ScratchFolder folder;
    const auto store = OpenModel(folder.Put("model.gguf", image.Bytes()));
    HostOps ops(precision);
    return Complaint([&] { Engine(*store, ops, Options()); });
  };
  const char* matrix = "blk.1.ffn_up.weight";
  EXPECT_NE(complaint(Precision::kFp16, matrix, -65520.0f)
                .find("blk.1.ffn_up.weight: expected values that fit F16, found 1 too large of"),
            std::string::npos)
      << complaint(Precision::kFp16, matrix, -65520.0f);
  EXPECT_EQ(complaint(Precision::kFp16, matrix, 65519.0f), "accepted");
  EXPECT_EQ(complaint(Precision::kBf16, matrix, 65520.0f), "accepted");
  EXPECT_NE(complaint(Precision::kBf16, matrix, std::numeric_limits<float>::max()).find("fit BF16"), std::string::npos);
  EXPECT_EQ(complaint(Precision::kFp32, matrix, std::numeric_limits<float>::max()), "accepted");
  EXPECT_EQ(complaint(Precision::kFp16, "blk.0.attn_norm.weight", 70000.0f), "accepted");
}

// 16-bit floats around the edge: bfloat16 65280 and 65536, the largest half.
TEST(RequireFinite, KnowsTheEdgeOf16BitFloats) {
  const auto complaint = [](DType stored, std::uint16_t word, DType as) {
    std::shared_ptr<std::byte[]> data(new std::byte[sizeof word]);
    std::memcpy(data.get(), &word, sizeof word);
    HostTensor tensor;
    tensor.type = stored;
    tensor.experts = tensor.rows = tensor.cols = 1;
    tensor.bytes = sizeof word;
    tensor.data = std::shared_ptr<const std::byte>(data, data.get());
    tensor.where = "w";
    return Complaint([&] { RequireFinite(tensor, as); });
  };
  EXPECT_EQ(complaint(DType::kBF16, 0x477f, DType::kF16), "accepted");
  EXPECT_EQ(complaint(DType::kBF16, 0xc780, DType::kF16),
            "w: expected values that fit F16, found 1 too large of 1, the first in row 0");
  EXPECT_EQ(complaint(DType::kBF16, 0x7f7f, DType::kBF16), "accepted");
  EXPECT_EQ(complaint(DType::kBF16, 0xff80, DType::kF16),
            "w: expected finite values, found 1 NaN or infinite of 1, the first in row 0");
  EXPECT_EQ(complaint(DType::kF16, 0xfbff, DType::kF16), "accepted");
  EXPECT_NE(complaint(DType::kF16, 0x7c00, DType::kBF16).find("1 NaN or infinite"), std::string::npos);
}

TEST(HostMemory, SaysWhatDidNotFit) {
  HostMemory memory;
  try {
    memory.Allocate(std::numeric_limits<std::size_t>::max() - 7, "keys of layer 3");
    FAIL() << "expected OutOfMemory";
  } catch (const OutOfMemory& error) {
    EXPECT_TRUE(std::string(error.what())
                    .starts_with("keys of layer 3: 18446744073709551608 bytes do not fit in host memory ("))
        << error.what();
    EXPECT_GT(error.free, 0u);
  }
}

// Host memory whose copies fail on request.
class BrokenMemory final : public Memory {
 public:
  void* Allocate(std::size_t bytes, const std::string& what) override { return inner_.Allocate(bytes, what); }
  void Free(void* data) noexcept override { inner_.Free(data); }
  void CopyIn(void* to, const void* from, std::size_t bytes) override { inner_.CopyIn(to, from, bytes); }
  void CopyOut(void* to, const void* from, std::size_t bytes) override { inner_.CopyOut(to, from, bytes); }
  void Copy(void* to, const void* from, std::size_t bytes) override {
    if (broken) throw DeviceError("copy: refused", false);
    inner_.Copy(to, from, bytes);
  }
  void Fill(void* to, unsigned char byte, std::size_t bytes) override { inner_.Fill(to, byte, bytes); }
  std::size_t FreeBytes() const override { return inner_.FreeBytes(); }
  bool broken = false;

 private:
  HostMemory inner_;
};

class BrokenMemoryOps final : public ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;
  BrokenMemory& memory() override { return memory_; }

 private:
  BrokenMemory memory_;
};

TEST(Engine, ForkThatFailsTakesNoPlace) {
  HostOps host(Precision::kFp32);
  BrokenMemoryOps ops(host);
  Engine engine(*OpenModel("tiny-llama"), ops, Options());
  const SessionId session = engine.Open();
  engine.Prefill(session, Tokens{1, 2, 3});
  ops.memory().broken = true;
  for (int attempt = 0; attempt < 5; ++attempt) EXPECT_THROW(engine.Fork(session), DeviceError);
  ops.memory().broken = false;
  EXPECT_EQ(engine.Length(engine.Fork(session)), 3);
  EXPECT_EQ(engine.Length(engine.Open()), 0);
}

class ReserveSpy final : public ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;
  void Reserve(const OpsLimits& limits) override { found = limits; }
  OpsLimits found;
};

// A recorded step of 9 sessions runs in the bucket of 16 rows: what ops reserve must do for those.
TEST(Engine, ReservesForThePaddingOfRecordedSteps) {
  HostOps host(Precision::kFp32);
  ReserveSpy ops(host);
  EngineOptions options = Options();
  for (const int sessions : {1, 9, 17, 33, 65, 300}) {
    options.max_sessions = sessions;
    const Engine engine(*OpenModel("tiny-llama"), ops, options);
    EXPECT_GE(ops.found.max_sessions, std::max(sessions, DecodeBucket(std::min(sessions, 256))));
    EXPECT_GE(ops.found.max_rows, DecodeBucket(std::min(sessions, 256)));
  }
}

// A decode that fails after its rings have turned over what the old length needs says so and empties the session; one
// that fails early leaves it as it was, to the bit.
TEST(Engine, DecodeThatFailsLeavesNoHalfSession) {
  const auto store = OpenModel("tiny-gemma3");
  HostOps host(Precision::kFp32);
  EngineOptions options = Options();
  options.capacity = 60;
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
  EngineOptions options = Options();
  options.capacity = 60;
  Engine engine(*store, ops, options);
  const SessionId session = engine.Open();
  engine.Prefill(session, Tokens(20, 7));
  Tokens prompt(20, 7);
  prompt[18] = store->spec().vocab;
  EXPECT_NE(Complaint([&] { engine.Prefill(session, prompt); }).find("token 18 is"), std::string::npos);
  EXPECT_EQ(engine.Length(session), 20);
}

TEST(Engine, MoreStepsThanANumberHoldsAreRefused) {
  Hall h;
  const std::int32_t first = 1;
  EXPECT_NE(Complaint([&] {
              h.engine.Decode(std::span(&h.a, 1), std::span(&first, 1), std::numeric_limits<int>::max());
            }).find("its capacity is 12"),
            std::string::npos);
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
  EngineOptions options = Options();
  options.capacity = 60;
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
  EngineOptions options = Options();
  options.capacity = 60;
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
  EngineOptions options = Options();
  options.capacity = 60;
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
  EngineOptions options = Options();
  options.capacity = 400;
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
  EngineOptions options = Options();
  options.capacity = 400;
  options.max_chunk = options.max_rows = 300;
  Engine engine(*OpenModel("tiny-llama"), ops, options);
  const SessionId session = engine.Open();
  engine.Prefill(session, Tokens(250, 5));
  engine.Decode(std::span(&session, 1), Tokens{1}, 20);  // past 256
  EXPECT_GT(ops.calls, 20);
  EXPECT_EQ(ops.beyond, 0);
}

TEST(Engine, ReservesForTheLongestCache) {
  HostOps host(Precision::kFp32);
  ReserveSpy ops(host);
  EngineOptions options = Options();
  options.capacity = 60;
  const Engine engine(*OpenModel("tiny-gemma3"), ops, options);  // its first cache is a ring
  EXPECT_EQ(ops.found.max_slots, 60);
}

TEST(Engine, RecordedStepsComeInTheSmallestBucketThatHolds) {
  for (const auto& [rows, bucket] : {std::pair{1, 1}, {2, 2}, {8, 8}, {9, 12}, {256, 256}})
    EXPECT_EQ(DecodeBucket(rows), bucket);
}

TEST(RequireFinite, NamesTheFirstRow) {
  const float values[3] = {1, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::quiet_NaN()};
  std::shared_ptr<std::byte[]> data(new std::byte[sizeof values]);
  std::memcpy(data.get(), values, sizeof values);
  HostTensor tensor;
  tensor.rows = 3;
  tensor.cols = 1;
  tensor.bytes = sizeof values;
  tensor.data = std::shared_ptr<const std::byte>(data, data.get());
  tensor.where = "w";
  EXPECT_EQ(Complaint([&] { RequireFinite(tensor); }),
            "w: expected finite values, found 2 NaN or infinite of 3, the first in row 1");
}

// Whoever reads what nobody wrote must find garbage.
TEST(PoisonMemory, HandsOutNaN) {
  HostMemory host;
  PoisonMemory memory(host);
  const Buffer buffer(memory, 16, "poisoned");
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(std::isnan(buffer.as<float>()[i]));
}

}  // namespace
}  // namespace assay
