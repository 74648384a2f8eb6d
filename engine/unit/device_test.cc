// Devices by name and index, and engines that share a process: what one computes must not depend on another, on the
// thread that calls it, or on the device that happens to be current.
#include "engine/base/device.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/ops/ops_factory.h"
#include "engine/runtime/engine.h"
#include "engine/testing/complaint.h"
#include "engine/testing/small_engine.h"

namespace assay {
namespace {

TEST(Device, IsReadFromItsName) {
  EXPECT_EQ(Device::FromName("host"), Device::Host());
  EXPECT_EQ(Device::FromName("cuda"), Device::Cuda(0));
  EXPECT_EQ(Device::FromName("cuda:0"), Device::Cuda(0));
  EXPECT_EQ(Device::FromName("cuda:12"), Device::Cuda(12));
  for (const Device& device : {Device::Host(), Device::Cuda(0), Device::Cuda(7)})
    EXPECT_EQ(Device::FromName(device.name()), device) << device.name();
  EXPECT_EQ(Device::Cuda(3).name(), "cuda:3");
  EXPECT_EQ(Device::Cuda(3).kind_name(), "cuda");
  EXPECT_EQ(Device::Host().kind_name(), "host");
  EXPECT_NE(Device::Cuda(0), Device::Cuda(1));
  EXPECT_NE(Device::Cuda(0), Device::Host());
}

TEST(Device, OtherNamesAreRefusedWithWhatIsExpected) {
  for (const char* name : {"", "tpu", "Host", "host:0", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda: 1", "cuda:+1",
                           "cuda1", "cuda:99999999999", "auto"}) {
    EXPECT_EQ(Complaint([&] { (void)Device::FromName(name); }),
              "device '" + std::string(name) + "': expected host, cuda, or cuda:N with N the index of a device");
  }
}

TEST(Device, AnIndexThatIsNotThereIsNamedWithThoseThatAre) {
  EXPECT_EQ(IsAmong(Device::Cuda(9), 2).reason, "cuda:9: this machine has 2 CUDA devices (0..1)");
  EXPECT_EQ(IsAmong(Device::Cuda(1), 1).reason, "cuda:1: this machine has 1 CUDA device (0)");
  EXPECT_EQ(IsAmong(Device::Cuda(0), 0).reason, "cuda:0: this machine has 0 CUDA devices");
  EXPECT_EQ(IsAmong(Device::Cuda(-1), 2).reason, "cuda:-1: this machine has 2 CUDA devices (0..1)");
  EXPECT_TRUE(IsAmong(Device::Cuda(1), 2));
  EXPECT_TRUE(IsAmong(Device::Host(), 0));
}

TEST(Device, OpsAreRefusedForAnIndexThatIsNotThere) {
  const Support support = DeviceAvailable(Device::Cuda(1000));
  ASSERT_FALSE(support.ok);
  EXPECT_EQ(Complaint([] { (void)MakeOps(Device::Cuda(1000), Precision::kFp32); }), support.reason);
  if (const int count = CudaDeviceCount(); count > 0) {
    EXPECT_EQ(support.reason, IsAmong(Device::Cuda(1000), count).reason);
  }
}

TEST(Device, AutomaticIsTheFirstDeviceThatCanBeUsed) {
  const Device expected = DeviceAvailable(Device::Cuda()) ? Device::Cuda() : Device::Host();
  EXPECT_EQ(ResolveDevice("auto"), expected);
  EXPECT_EQ(ResolveDevice("host"), Device::Host());
  EXPECT_EQ(ResolveDevice("cuda:1"), Device::Cuda(1));
  EXPECT_THROW((void)ResolveDevice("tpu"), InputError);
  EXPECT_EQ(MakeOps(Device::Host(), Precision::kFp32)->device_id(), Device::Host());
}

// An engine with two sessions that is worked in turns: prefill in ragged steps, recorded decode, a fork, a session that
// goes back. Later turns need more workspace than earlier ones and record new graphs.
class Player {
 public:
  static constexpr int kTurns = 6;
  Player(const Device& device, int salt) : salt_(salt), ops_(MakeOps(device, Precision::kBf16)) {
    EngineOptions options;
    options.max_sessions = 4;
    options.capacity = 700;
    options.max_chunk = 64;
    options.max_rows = 128;
    engine_ = std::make_unique<Engine>(*OpenModel("tiny-gemma4-ple"), *ops_, options);
    for (SessionId& session : sessions_) session = engine_->Open();
  }

  void Turn(int turn) {
    const Tokens first = Drawn(turn, 5 + turn * 7), second = Drawn(turn + 100, 40);
    const std::vector<Feed> feeds{{sessions_[0], first, Want::kAll}, {sessions_[1], second, Want::kLast}};
    const StepResult step = engine_->Step(feeds);
    logits_.insert(logits_.end(), step.raw.begin(), step.raw.end());
    const std::array<std::int32_t, 2> next{step.best[0], step.best.back()};
    for (const auto& tokens : engine_->Decode(sessions_, next, 3 + turn))
      tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
    const SessionId copy = engine_->Fork(sessions_[0]);
    const StepResult forked = engine_->Prefill(copy, Drawn(turn + 200, 3));
    logits_.insert(logits_.end(), forked.raw.begin(), forked.raw.end());
    engine_->Close(copy);
  }

  bool operator==(const Player& other) const { return logits_ == other.logits_ && tokens_ == other.tokens_; }
  const std::vector<float>& logits() const { return logits_; }

 private:
  Tokens Drawn(int key, int count) const {
    Tokens tokens;
    for (int i = 0; i < count; ++i) tokens.push_back((7 * i + 13 * key + 29 * salt_) % 100);
    return tokens;
  }

  int salt_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Engine> engine_;
  std::array<SessionId, 2> sessions_;
  std::vector<float> logits_;
  Tokens tokens_;
};

std::unique_ptr<Player> Alone(const Device& device, int salt) {
  auto player = std::make_unique<Player>(device, salt);
  for (int turn = 0; turn < Player::kTurns; ++turn) player->Turn(turn);
  return player;
}

// Two engines, used as `together` says, compute what each computes alone.
void ExpectAsAlone(const Device& first, const Device& second,
                   const std::function<void(Player& first, Player& second)>& together) {
  const std::unique_ptr<Player> alone[2] = {Alone(first, 1), Alone(second, 2)};
  ASSERT_NE(alone[0]->logits(), alone[1]->logits()) << "the engines must not be given the same work";
  Player players[2] = {{first, 1}, {second, 2}};
  together(players[0], players[1]);
  EXPECT_TRUE(players[0] == *alone[0]) << "engine on " << first.name();
  EXPECT_TRUE(players[1] == *alone[1]) << "engine on " << second.name();
}

void ByTurns(Player& first, Player& second) {
  for (int turn = 0; turn < Player::kTurns; ++turn) {
    first.Turn(turn);
    second.Turn(turn);
  }
}

void InTwoThreads(Player& first, Player& second) {
  const auto play = [](Player& player) {
    for (int turn = 0; turn < Player::kTurns; ++turn) player.Turn(turn);
  };
  std::thread other(play, std::ref(second));
  play(first);
  other.join();
}

// Both engines are worked by threads that did not make them, and each turn by another thread.
void ByAThreadForEachTurn(Player& first, Player& second) {
  for (int turn = 0; turn < Player::kTurns; ++turn) {
    for (Player* player : {&second, &first}) std::thread([&] { player->Turn(turn); }).join();
  }
}

TEST(EnginesTogether, OnTheHostComputeWhatEachDoesAlone) {
  ExpectAsAlone(Device::Host(), Device::Host(), ByTurns);
  ExpectAsAlone(Device::Host(), Device::Host(), InTwoThreads);
}

struct Pair {
  const char* name;
  Device first, second;
};
class EnginesOnDevices : public testing::TestWithParam<Pair> {
 protected:
  void SetUp() override {
    for (const Device& device : {GetParam().first, GetParam().second})
      if (const Support support = DeviceAvailable(device); !support) GTEST_SKIP() << support.reason;
  }
};

TEST_P(EnginesOnDevices, ByTurnsComputeWhatEachDoesAlone) {
  ExpectAsAlone(GetParam().first, GetParam().second, ByTurns);
}
TEST_P(EnginesOnDevices, InTwoThreadsComputeWhatEachDoesAlone) {
  ExpectAsAlone(GetParam().first, GetParam().second, InTwoThreads);
}
TEST_P(EnginesOnDevices, CalledFromOtherThreadsComputeWhatEachDoesAlone) {
  ExpectAsAlone(GetParam().first, GetParam().second, ByAThreadForEachTurn);
}

INSTANTIATE_TEST_SUITE_P(, EnginesOnDevices,
                         testing::Values(Pair{"OneDevice", Device::Cuda(0), Device::Cuda(0)},
                                         Pair{"TwoDevices", Device::Cuda(0), Device::Cuda(1)},
                                         Pair{"DeviceAndHost", Device::Cuda(0), Device::Host()}),
                         [](const auto& tested) { return std::string(tested.param.name); });

// Attention's packed kernel takes runs of consecutive segments of more than 8 rows.
TEST(PackedSegments, AreTheLongestRunOfLongSegments) {
  HostOps ops(Precision::kFp32);
  EngineOptions options;
  options.max_sessions = 6;
  options.capacity = 64;
  options.max_chunk = 40;
  Engine engine(*OpenModel("tiny-llama"), ops, options);
  const Tokens tokens(40, 1);
  const auto step = [&](const std::vector<int>& lengths) {
    std::vector<SessionId> sessions;
    std::vector<Feed> feeds;
    for (const int length : lengths) {
      sessions.push_back(engine.Open());
      feeds.push_back({sessions.back(), std::span(tokens).first(length)});
    }
    engine.Step(feeds);
    for (const SessionId session : sessions) engine.Close(session);
    return ops.counters().packed_segments;
  };
  EXPECT_EQ(step({3, 1, 8, 8, 5}), 0) << "8 rows are the most that are taken one by one";
  EXPECT_EQ(step({3, 9, 1, 40}), 1);
  EXPECT_EQ(step({3, 40, 1, 17, 33, 9}), 3);
  EXPECT_EQ(step({10, 10}), 3) << "the most since the ops were made";
}

}  // namespace
}  // namespace assay
