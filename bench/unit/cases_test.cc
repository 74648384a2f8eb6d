// Which benchmarks there are, what a timed one reports, and that nothing wrong is ever timed.
#include "bench/cases/cases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "bench/cases/sessions.h"
#include "bench/support/step_timer.h"
#include "engine/ops/host_ops.h"
#include "oracles/probes/forwarding_ops.h"

namespace assay {
namespace {

// What the covering cases of a right engine say; a host's steps have no kernels.
const Coverage kRight{Status::kPass, "", Verdict::kMatch, {"a case"}, {}};

class Bench : public testing::Test {
 protected:
  Bench() {
    setting_.limits = {"fp32", 1e10, 1e10, 1e10, "made up"};
    setting_.seconds = 0.02;
  }
  std::vector<BenchCase> List(const std::vector<std::string>& what) const {
    return ListBenchmarks(target_, {{1, 3}, {20}, {{1, 12}, {3, 5}}}, what);
  }
  std::vector<ReportBenchmark> Time(const BenchCase& item, const Coverage& coverage = kRight) {
    BenchState state{*bench_, target_, setting_, activity_};
    return TimeIfRight(item, coverage, state);
  }
  // Engines from now on run over ops that `decorate` has changed.
  void Decorate(OpsDecorator decorate) {
    bench_ = std::make_unique<Workbench>(std::make_unique<EngineProvider>(std::move(decorate)));
  }

  Target target_{.model = "tiny-gemma4-ple"};
  BenchSetting setting_;
  ActivitySampler activity_{Device{}};
  std::unique_ptr<Workbench> bench_ = std::make_unique<Workbench>();
};

TEST_F(Bench, NamesAreUniqueAndSayTheShape) {
  std::vector<std::string> names;
  for (const BenchCase& item : List({"prefill", "ops", "decode", "load", "decode"})) names.push_back(item.id());
  const std::string of = "/tiny-gemma4-ple/fp32/host";
  EXPECT_EQ(names, (std::vector<std::string>{
                       "bench.decode" + of + "/n=1/context=20", "bench.decode" + of + "/n=3/context=20",
                       "bench.prefill" + of + "/prompts=1/tokens=12", "bench.prefill" + of + "/prompts=3/tokens=5",
                       "bench.load" + of, "bench.ops" + of + "/n=1/context=20", "bench.ops" + of + "/n=3/context=20"}));
  EXPECT_THROW(List({"decoding"}), InputError);
  target_.batch_invariant = true;
  EXPECT_EQ(List({"load"}).front().id(), "bench.load" + of + "/mode=batch-invariant");
}

TEST(PrefillShapes, AreReadOrRefused) {
  EXPECT_EQ(PrefillShapeFrom("2048").prompts, 1);
  EXPECT_EQ(PrefillShapeFrom("2048").tokens, 2048);
  EXPECT_EQ(PrefillShapeFrom("32x64").prompts, 32);
  EXPECT_EQ(PrefillShapeFrom("32x64").tokens, 64);
  for (const char* text :
       {"", "x", "0", "-1", "3x", "x3", "0x5", "3x0", "3 x 5", "3x5x7", "99999999999", "1048577", "1025x1024"})
    EXPECT_THROW(PrefillShapeFrom(text), InputError) << text;
}

TEST_F(Bench, EveryBenchmarkFillsItsRows) {
  for (const BenchEntry& entry : Benchmarks()) {
    for (const BenchCase& item : List({entry.name})) {
      const std::vector<ReportBenchmark> rows = Time(item);
      ASSERT_FALSE(rows.empty()) << item.name;
      for (const ReportBenchmark& row : rows) {
        const Figures figures = FiguresOf(row, {setting_.limits});
        EXPECT_EQ(row.status, Status::kPass) << row.name << ": " << row.reason;
        EXPECT_EQ(row.parity, Verdict::kMatch);
        EXPECT_EQ(row.covering_cases, kRight.cases);
        EXPECT_TRUE(row.name.starts_with(entry.name)) << row.name;
        EXPECT_GT(figures.samples, 0) << row.name;
        EXPECT_GT(figures.p50_s, 0) << row.name;
        EXPECT_LE(figures.p50_s, figures.p99_s) << row.name;
        EXPECT_GT(row.bytes, 0) << row.name;
        EXPECT_GT(row.floor_s, 0) << row.name;
        EXPECT_FALSE(row.unit.empty() || row.contains.empty()) << row.name;
      }
    }
  }
}

TEST_F(Bench, AStepIsOneLaunchWithoutASynchronisation) {
  const ReportBenchmark row = Time(List({"decode"})[1]).front();
  const Figures figures = FiguresOf(row, {setting_.limits});
  EXPECT_GE(figures.samples, 30);
  EXPECT_EQ(row.counts.at("graph_launches"), 1);
  EXPECT_EQ(row.counts.at("host_syncs"), 0);
  EXPECT_NEAR(figures.rate * figures.p50_s, 3, 1e-9) << "three sessions, a token each";
}

// One repeat of one millisecond in which these kernels ran.
TimedRow Millisecond(const BenchCase& item, std::vector<std::string> kernels = {}, DeviceActivity activity = {}) {
  TimedRow timed{RowOf(item), std::move(kernels)};
  timed.row.series = {{{1e-3}, std::move(activity)}};
  return timed;
}

TEST_F(Bench, NoSpeedWithoutParity) {
  bool called = false;
  BenchCase item = List({"decode"}).front();
  item.time = [&](const BenchCase& self, BenchState&) {
    called = true;
    return std::vector<TimedRow>{Millisecond(self)};
  };
  for (const Status status : {Status::kFail, Status::kError, Status::kSkip}) {
    const auto rows = Time(item, {status, "logits are off", Verdict::kWrong, {"a case"}, {}});
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_EQ(rows[0].status, status);
    EXPECT_EQ(rows[0].parity, Verdict::kWrong);
    EXPECT_TRUE(rows[0].series.empty());
    EXPECT_NE(rows[0].reason.find("logits are off"), std::string::npos);
  }
  EXPECT_EQ(Time(item, {}).front().status, Status::kSkip) << "no case covers it";
  EXPECT_FALSE(called);
}

TEST_F(Bench, AKernelThatNoCoveringCaseRanHasNoSpeed) {
  Coverage coverage = kRight;
  coverage.kernels = {"gemv", "attention"};
  BenchCase item = List({"decode"}).front();
  item.time = [](const BenchCase& self, BenchState&) {
    return std::vector<TimedRow>{Millisecond(self, {"attention"}), Millisecond(self, {"attention", "gemm_splitk"})};
  };
  const std::vector<ReportBenchmark> rows = Time(item, coverage);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].status, Status::kPass) << rows[0].reason;
  EXPECT_EQ(rows[1].status, Status::kFail);
  EXPECT_NE(rows[1].reason.find("'gemm_splitk'"), std::string::npos) << rows[1].reason;
  EXPECT_EQ(FiguresOf(rows[1], {setting_.limits}).samples, 0);
}

struct Outcome {
  const char* name;
  void (*raise)();
  Status status;
  Verdict parity;
};
class BenchOutcome : public Bench, public testing::WithParamInterface<Outcome> {};
TEST_P(BenchOutcome, BecomesARowWithoutASpeed) {
  BenchCase item = List({"decode"}).front();
  item.time = [](const BenchCase& self, BenchState&) {
    GetParam().raise();
    return std::vector<TimedRow>{{RowOf(self), {}}};  // no samples
  };
  const std::vector<ReportBenchmark> rows = Time(item);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].status, GetParam().status);
  EXPECT_EQ(rows[0].parity, GetParam().parity);
  EXPECT_TRUE(rows[0].series.empty());
  EXPECT_FALSE(rows[0].reason.empty());
}
INSTANTIATE_TEST_SUITE_P(
    , BenchOutcome,
    testing::Values(Outcome{"wrong", [] { throw WrongResult("token 7"); }, Status::kFail, Verdict::kWrong},
                    Outcome{"does_not_fit", [] { throw OutOfMemory("2 sessions would fit", 9, 1); }, Status::kSkip,
                            Verdict::kMatch},
                    Outcome{"device_error", [] { throw DeviceError("launch failed", false); }, Status::kError,
                            Verdict::kMatch},
                    Outcome{"no_exception_class", [] { throw 7; }, Status::kError, Verdict::kMatch},
                    Outcome{"no_samples", [] {}, Status::kError, Verdict::kMatch}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST_F(Bench, WhatCannotRunIsARowThatSaysWhy) {
  const std::vector<BenchCase> cases = ListBenchmarks(target_, {{1'000'000, 64}, {2'000'000'000}, {}}, {"decode"});
  ASSERT_EQ(cases.size(), 2u);
  const ReportBenchmark sessions = Time(cases[0]).front();
  EXPECT_EQ(sessions.status, Status::kError);
  EXPECT_NE(sessions.reason.find("at most 256"), std::string::npos) << sessions.reason;
  const ReportBenchmark context = Time(cases[1]).front();
  EXPECT_EQ(context.status, Status::kSkip);
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
  Greedy()
      : system_(bench_->OpenEngine(target_, {.max_sessions = 2, .capacity = 40, .max_chunk = 20, .max_rows = 20})) {
    for (int i = 0; i < 2; ++i) sessions_.push_back(system_->OpenWith(Text(i, 10)));
    texts_ = system_->Decode(sessions_, first_, 6);
    Rewind();
  }
  Tokens Text(int session, int length) {
    BenchState state{*bench_, target_, setting_, activity_};
    return MadeUpText(state, session, length);
  }
  void Rewind() {
    for (const SessionId session : sessions_) system_->Truncate(session, 10);
  }
  void Check() { RequireGreedy(*system_, sessions_, first_, texts_, 6, setting_); }

  std::unique_ptr<EngineSystem> system_;
  std::vector<SessionId> sessions_;
  Tokens first_ = {1, 2};
  std::vector<Tokens> texts_;
};

TEST_F(Greedy, TokensOfTheRecordedStepPass) { EXPECT_NO_THROW(Check()); }

TEST_F(Greedy, AnotherTokenIsFoundUnlessItTies) {
  texts_[1][3] = (texts_[1][3] + 1) % system_->vocab();
  EXPECT_THROW(Check(), WrongResult);
  Rewind();
  setting_.tie = 1e9;
  EXPECT_NO_THROW(Check());
}

TEST_F(Greedy, TextOfZerosIsFoundWhateverMayTie) {
  setting_.tie = 1e9;
  for (Tokens& text : texts_) std::fill(text.begin(), text.end(), 0);
  EXPECT_THROW(Check(), WrongResult);
}

TEST_F(Greedy, SessionsHaveTextsOfTheirOwn) {
  EXPECT_EQ(Text(3, 50), Text(3, 50));
  EXPECT_NE(Text(3, 50), Text(4, 50));
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
    const ReportBenchmark row = Time(List({what})[1]).front();
    EXPECT_EQ(row.status, Status::kFail) << what;
    EXPECT_EQ(row.parity, Verdict::kWrong) << what;
  }
}

// Changes the logits from one call on.
class FickleOps : public ForwardingOps {
 public:
  using Change = void (*)(const LogitsArgs& args);
  FickleOps(Ops& inner, int call, Change change) : ForwardingOps(inner), left_(call), change_(change) {}
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
    Decorate([call = call](std::unique_ptr<Ops> ops) {
      const auto change = [](const Ops::LogitsArgs& args) {
        if (args.best != nullptr) args.best[0] = (args.best[0] + 1) % args.vocab;
      };
      return std::make_unique<OwningProbe<FickleOps>>(std::move(ops), call, change);
    });
    const ReportBenchmark row = Time(List({what})[1]).front();
    EXPECT_EQ(row.status, Status::kFail) << what;
    EXPECT_EQ(row.parity, Verdict::kWrong) << what;
    EXPECT_NE(row.reason.find("other tokens"), std::string::npos) << row.reason;
  }
}

TEST_F(Bench, APromptThatIsHeldAgainstNoNumbersIsWrong) {
  setting_.spread = 1e9;
  Decorate([](std::unique_ptr<Ops> ops) {
    const auto change = [](const Ops::LogitsArgs& args) { args.capped[0] = std::numeric_limits<float>::quiet_NaN(); };
    return std::make_unique<OwningProbe<FickleOps>>(std::move(ops), 1, change);
  });
  const ReportBenchmark row = Time(List({"prefill"})[1]).front();
  EXPECT_EQ(row.parity, Verdict::kWrong);
  EXPECT_NE(row.reason.find("the last prompt alone"), std::string::npos) << row.reason;
}

}  // namespace
}  // namespace assay
