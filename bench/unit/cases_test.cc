// Which benchmarks there are, what a timed one reports, and that nothing wrong is ever timed.
#include "bench/cases/cases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "bench/cases/sessions.h"
#include "bench/support/step_timer.h"
#include "engine/ops/host_ops.h"
#include "engine/runtime/engine.h"
#include "oracles/probes/faulty_ops.h"

namespace assay {
namespace {

const Parity kRight{"pass", "", "MATCH"};

class Bench : public testing::Test {
 protected:
  Bench() : store_(OpenModel("tiny-gemma4-ple")) {
    subject_ = {"tiny-gemma4-ple", store_.get(), "host", Precision::kFp32, 0, false};
    setting_.roofs = {.copy = 1e10, .read = 1e10, .gemm = 1e10, .how = "made up"};
    setting_.seconds = 0.02;
  }
  std::vector<BenchCase> List(const std::vector<std::string>& what) const {
    return ListBenchmarks(subject_, {{1, 3}, {20}, {{1, 12}, {3, 5}}}, what);
  }

  std::unique_ptr<WeightStore> store_;
  BenchSubject subject_;
  BenchSetting setting_;
};

TEST_F(Bench, NamesAreUniqueAndSayTheShape) {
  std::vector<std::string> names;
  for (const BenchCase& item : List({"prefill", "ops", "decode", "load", "decode"})) names.push_back(item.name);
  EXPECT_EQ(names, (std::vector<std::string>{"decode/n1_ctx20", "decode/n3_ctx20", "prefill/1x12", "prefill/3x5",
                                             "load/engine", "ops/n1_ctx20", "ops/n3_ctx20"}));
  EXPECT_THROW(List({"decoding"}), InputError);
  subject_.batch_invariant = true;
  EXPECT_EQ(List({"load"}).front().name, "load/engine_invariant");
}

TEST(PromptShapes, AreReadOrRefused) {
  EXPECT_EQ(PromptShapeFrom("2048").prompts, 1);
  EXPECT_EQ(PromptShapeFrom("2048").tokens, 2048);
  EXPECT_EQ(PromptShapeFrom("32x64").prompts, 32);
  EXPECT_EQ(PromptShapeFrom("32x64").tokens, 64);
  for (const char* text :
       {"", "x", "0", "-1", "3x", "x3", "0x5", "3x0", "3 x 5", "3x5x7", "99999999999", "1048577", "1025x1024"})
    EXPECT_THROW(PromptShapeFrom(text), InputError) << text;
}

TEST_F(Bench, EveryBenchmarkFillsItsRows) {
  for (const BenchEntry& entry : Benchmarks()) {
    for (const BenchCase& item : List({entry.name})) {
      const std::vector<ReportBenchmark> rows = TimeIfRight(item, kRight, setting_);
      ASSERT_FALSE(rows.empty()) << item.name;
      for (const ReportBenchmark& row : rows) {
        EXPECT_EQ(row.status, "pass") << row.name << ": " << row.reason;
        EXPECT_EQ(row.parity, "MATCH");
        EXPECT_TRUE(row.name.starts_with(std::string(entry.name) + "/")) << row.name;
        EXPECT_GT(row.samples, 0) << row.name;
        EXPECT_GT(row.p50_s, 0) << row.name;
        EXPECT_LE(row.p50_s, row.p99_s) << row.name;
        EXPECT_GT(row.bytes, 0) << row.name;
        EXPECT_GT(row.floor_s, 0) << row.name;
        EXPECT_FALSE(row.unit.empty() || row.contains.empty()) << row.name;
      }
    }
  }
}

TEST_F(Bench, AStepIsOneLaunchWithoutASynchronisation) {
  const ReportBenchmark row = TimeIfRight(List({"decode"})[1], kRight, setting_).front();
  EXPECT_GE(row.samples, 30);
  EXPECT_EQ(row.counts.at("graph_launches"), 1);
  EXPECT_EQ(row.counts.at("host_syncs"), 0);
  EXPECT_NEAR(row.rate * row.p50_s, 3, 1e-9) << "three sessions, a token each";
}

TEST_F(Bench, NoSpeedWithoutParity) {
  bool called = false;
  BenchCase item = List({"decode"}).front();
  item.time = [&](const BenchCase& self, const BenchSetting&) {
    called = true;
    return std::vector<ReportBenchmark>{RowOf(self)};
  };
  for (const char* status : {"fail", "error", "skip"}) {
    const std::vector<ReportBenchmark> rows = TimeIfRight(item, {status, "logits are off", "WRONG"}, setting_);
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_EQ(rows[0].status, status);
    EXPECT_EQ(rows[0].parity, "WRONG");
    EXPECT_EQ(rows[0].samples, 0);
    EXPECT_EQ(rows[0].p50_s, 0);
    EXPECT_NE(rows[0].reason.find("logits are off"), std::string::npos);
  }
  EXPECT_EQ(TimeIfRight(item, {}, setting_).front().status, "skip") << "nobody vouched for it";
  EXPECT_FALSE(called);
}

struct Outcome {
  const char* name;
  void (*raise)();
  const char *status, *parity;
};
class BenchOutcome : public Bench, public testing::WithParamInterface<Outcome> {};
TEST_P(BenchOutcome, BecomesARowWithoutASpeed) {
  BenchCase item = List({"decode"}).front();
  item.time = [](const BenchCase& self, const BenchSetting&) {
    GetParam().raise();
    return std::vector<ReportBenchmark>{RowOf(self)};  // no samples
  };
  const std::vector<ReportBenchmark> rows = TimeIfRight(item, kRight, setting_);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].status, GetParam().status);
  EXPECT_EQ(rows[0].parity, GetParam().parity);
  EXPECT_EQ(rows[0].samples, 0);
  EXPECT_FALSE(rows[0].reason.empty());
}
INSTANTIATE_TEST_SUITE_P(
    , BenchOutcome,
    testing::Values(Outcome{"wrong", [] { throw WrongResult("token 7"); }, "fail", "WRONG"},
                    Outcome{"does_not_fit", [] { throw OutOfMemory("2 sessions would fit", 9, 1); }, "skip", "MATCH"},
                    Outcome{"device_error", [] { throw DeviceError("launch failed", false); }, "error", "MATCH"},
                    Outcome{"no_exception_class", [] { throw 7; }, "error", "MATCH"},
                    Outcome{"no_samples", [] {}, "error", "MATCH"}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST_F(Bench, WhatCannotRunIsARowThatSaysWhy) {
  const std::vector<BenchCase> cases = ListBenchmarks(subject_, {{1'000'000, 64}, {2'000'000'000}, {}}, {"decode"});
  ASSERT_EQ(cases.size(), 2u);
  const ReportBenchmark sessions = TimeIfRight(cases[0], kRight, setting_).front();
  EXPECT_EQ(sessions.status, "error");
  EXPECT_NE(sessions.reason.find("at most 256"), std::string::npos) << sessions.reason;
  const ReportBenchmark context = TimeIfRight(cases[1], kRight, setting_).front();
  EXPECT_EQ(context.status, "skip");
  EXPECT_NE(context.reason.find("GB of host memory"), std::string::npos) << context.reason;
}

TEST(Logits, MustBeFiniteAndNotConstant) {
  EXPECT_NO_THROW(RequireLogits(std::vector<float>{1, 2, 1}, "row"));
  EXPECT_THROW(RequireLogits(std::vector<float>{0, 0, 0}, "row"), WrongResult);
  for (const float broken : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    EXPECT_THROW(RequireLogits(std::vector<float>{1, broken, 2}, "row"), WrongResult);
}

// Sessions decoded by the recorded step, with the tokens it chose.
class Greedy : public Bench {
 protected:
  Greedy() : engine_(*store_, ops_, {.max_sessions = 2, .capacity = 40, .max_chunk = 20, .max_rows = 20}) {
    for (int i = 0; i < 2; ++i) {
      sessions_.push_back(engine_.Open());
      engine_.Prefill(sessions_.back(), MadeUpText(subject_, i, 10), Want::kNone);
    }
    texts_ = engine_.Decode(sessions_, first_, 6);
    for (const SessionId session : sessions_) engine_.Truncate(session, 10);
  }
  void Check() { RequireGreedy(engine_, sessions_, first_, texts_, 6, setting_); }

  HostOps ops_{Precision::kFp32};
  Engine engine_;
  std::vector<SessionId> sessions_;
  Text first_ = {1, 2};
  std::vector<Text> texts_;
};

TEST_F(Greedy, TokensOfTheRecordedStepPass) { EXPECT_NO_THROW(Check()); }

TEST_F(Greedy, AnotherTokenIsFoundUnlessItTies) {
  texts_[1][3] = (texts_[1][3] + 1) % store_->spec().vocab;
  EXPECT_THROW(Check(), WrongResult);
  for (const SessionId session : sessions_) engine_.Truncate(session, 10);
  setting_.tie = 1e9;
  EXPECT_NO_THROW(Check());
}

TEST_F(Greedy, TextOfZerosIsFoundWhateverMayTie) {
  setting_.tie = 1e9;
  for (Text& text : texts_) std::fill(text.begin(), text.end(), 0);
  EXPECT_THROW(Check(), WrongResult);
}

TEST_F(Greedy, SessionsHaveTextsOfTheirOwn) {
  EXPECT_EQ(MadeUpText(subject_, 3, 50), MadeUpText(subject_, 3, 50));
  EXPECT_NE(MadeUpText(subject_, 3, 50), MadeUpText(subject_, 4, 50));
}

// Steps of known content: what lies between two launches counts for the second.
TEST(StepTimer, CountsTheWorstStepAndLeavesOutTheFirst) {
  HostOps host(Precision::kFp32);
  StepTimer timer(host);
  const Buffer buffer(timer.memory(), 64, "row");
  timer.memory().Fill(buffer.data(), 0, 64);
  int calls = 1;
  const auto graph = timer.Capture([&] {
    for (int i = 0; i < calls; ++i) timer.Norm({buffer.data(), buffer.as<float>(), buffer.as<float>(), 1, 4, 1e-6f});
  });
  EXPECT_TRUE(timer.Take().seconds.empty());
  for (const int some : {9, 1, 3, 2}) {
    calls = some;
    graph->Launch();
  }
  const TimedSteps steps = timer.Take();
  EXPECT_EQ(steps.seconds.size(), 3u);
  EXPECT_EQ(steps.counts.at("graph_launches"), 1);
  EXPECT_EQ(steps.counts.at("op_calls"), 3) << "the first launch made nine";
  calls = 1;
  graph->Launch();
  graph->Launch();
  EXPECT_EQ(timer.Take().counts.at("op_calls"), 1) << "a new series";
}

// What the timed steps chose is compared too: with tolerances that nothing meets both ways are wrong.
TEST_F(Bench, WhatWasTimedIsChecked) {
  setting_.tie = setting_.spread = -1;
  for (const char* what : {"decode", "prefill"}) {
    const ReportBenchmark row = TimeIfRight(List({what})[1], kRight, setting_).front();
    EXPECT_EQ(row.status, "fail") << what;
    EXPECT_EQ(row.parity, "WRONG") << what;
  }
}

// Change the logits from one call on.
struct OwnedOps {
  HostOps host{Precision::kFp32};
};
class FickleOps final : private OwnedOps, public ForwardingOps {
 public:
  using Change = void (*)(const LogitsArgs& args);
  FickleOps(int call, Change change) : ForwardingOps(host), left_(call), change_(change) {}
  void Logits(const LogitsArgs& args) override {
    inner_.Logits(args);
    if (left_-- <= 0) change_(args);
  }

 private:
  int left_;
  Change change_;
};

// After what was checked: in the third replay of a decode, in the second repeat of a prompt.
TEST_F(Bench, WhatDoesNotRepeatHasNoSpeed) {
  for (const auto& [what, call] : {std::pair{"decode", 33 + 8 + 33 + 5}, {"prefill", 1 + 2}}) {
    subject_.make_ops = [call = call] {
      return std::make_unique<FickleOps>(call, [](const Ops::LogitsArgs& args) {
        if (args.best != nullptr) args.best[0] = (args.best[0] + 1) % args.vocab;
      });
    };
    const ReportBenchmark row = TimeIfRight(List({what})[1], kRight, setting_).front();
    EXPECT_EQ(row.status, "fail") << what;
    EXPECT_EQ(row.parity, "WRONG") << what;
    EXPECT_NE(row.reason.find("other tokens"), std::string::npos) << row.reason;
  }
}

TEST_F(Bench, APromptThatIsHeldAgainstNoNumbersIsWrong) {
  setting_.spread = 1e9;
  subject_.make_ops = [] {
    return std::make_unique<FickleOps>(
        1, [](const Ops::LogitsArgs& args) { args.capped[0] = std::numeric_limits<float>::quiet_NaN(); });
  };
  const ReportBenchmark row = TimeIfRight(List({"prefill"})[1], kRight, setting_).front();
  EXPECT_EQ(row.parity, "WRONG");
  EXPECT_NE(row.reason.find("the last prompt alone"), std::string::npos) << row.reason;
}

}  // namespace
}  // namespace assay
