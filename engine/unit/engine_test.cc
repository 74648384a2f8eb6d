// What the engine says to requests it cannot honour: the thing, what was expected and what was found; and that nothing
// has changed.
#include "engine/runtime/engine.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "engine/testing/complaint.h"
#include "engine/testing/small_engine.h"

namespace assay {
namespace {

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
  const Support support = hall.engine.CanStep(feeds);
  EXPECT_FALSE(support.ok);
  EXPECT_EQ(support.reason, Complaint([&] { hall.engine.Step(feeds); }));
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
  const Support support = hall.engine.CanOpen();
  EXPECT_EQ(support.reason, "all 3 sessions are open; close one or raise max_sessions");
  EXPECT_EQ(Complaint([&] { hall.engine.Open(); }), "open session: " + support.reason);
  EXPECT_EQ(Complaint([&] { hall.engine.Fork(hall.a); }), "open session: " + support.reason);
}

// A handle does not come back to life when its session index is used again.
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

TEST(Engine, MoreStepsThanANumberHoldsAreRefused) {
  Hall h;
  const std::int32_t first = 1;
  EXPECT_NE(Complaint([&] {
              h.engine.Decode(std::span(&h.a, 1), std::span(&first, 1), std::numeric_limits<int>::max());
            }).find("its capacity is 12"),
            std::string::npos);
}

}  // namespace
}  // namespace assay
