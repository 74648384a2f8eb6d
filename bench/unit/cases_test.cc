// Which benchmarks there are, what a timed one reports, and that nothing wrong is ever timed.
#include "bench/cases/cases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/cases/sessions.h"
#include "bench/support/omitting_ops.h"
#include "bench/support/step_timer.h"
#include "engine/ops/host_ops.h"
#include "suites/testing/planted.h"

namespace assay {
namespace {

const Target kTarget{"tiny-gemma4-ple"};

Coverage Covered(Status status = Status::kPass, Verdict verdict = Verdict::kMatch, const char* reason = "") {
  return {status, reason, verdict, {"Shapes.Decode/made up"}, {}};
}

class Bench : public testing::Test {
 protected:
  Bench() {
    setting_.limits.dtype = "fp32";
    setting_.limits.copy_bytes_per_s = setting_.limits.read_bytes_per_s = setting_.limits.gemm_flops_per_s = 1e10;
    setting_.limits.how = "made up";
    setting_.seconds = 0.02;
  }
  static std::vector<BenchCase> List(const std::vector<std::string>& what, const Target& target = kTarget) {
    return ListBenchmarks(target, {{1, 3}, {20}, {{1, 12}, {3, 5}}}, what);
  }
  std::vector<ReportBenchmark> Time(Workbench& bench, const BenchCase& item, const Coverage& coverage) {
    BenchState state{bench, item.target, setting_, activity_};
    return TimeIfRight(item, coverage, state);
  }
  std::vector<ReportBenchmark> Time(const BenchCase& item, const Coverage& coverage = Covered()) {
    return Time(bench_, item, coverage);
  }
  Figures FiguresOfRow(const ReportBenchmark& row) const { return FiguresOf(row, {setting_.limits}); }
  // No figure, whatever was measured.
  void ExpectNoSpeed(const ReportBenchmark& row) const {
    EXPECT_EQ(FiguresOfRow(row).samples, 0);
    EXPECT_EQ(FiguresOfRow(row).p50_s, 0);
    EXPECT_EQ(FiguresOfRow(row).rate, 0);
    EXPECT_FALSE(row.reason.empty());
  }

  Workbench bench_;
  ActivitySampler activity_{Device::Host()};
  BenchSetting setting_;
};

TEST_F(Bench, IdsAreUniqueAndSayTheShape) {
  std::vector<std::string> ids;
  for (const BenchCase& item : List({"prefill", "ops", "decode", "load", "decode"})) ids.push_back(item.id());
  EXPECT_EQ(ids, (std::vector<std::string>{"bench.decode/tiny-gemma4-ple/fp32/host/n=1/context=20",
                                           "bench.decode/tiny-gemma4-ple/fp32/host/n=3/context=20",
                                           "bench.prefill/tiny-gemma4-ple/fp32/host/prompts=1/tokens=12",
                                           "bench.prefill/tiny-gemma4-ple/fp32/host/prompts=3/tokens=5",
                                           "bench.load/tiny-gemma4-ple/fp32/host",
                                           "bench.ops/tiny-gemma4-ple/fp32/host/n=1/context=20",
                                           "bench.ops/tiny-gemma4-ple/fp32/host/n=3/context=20"}));
  EXPECT_THROW(List({"decoding"}), InputError);
  Target invariant = kTarget;
  invariant.batch_invariant = true;
  EXPECT_EQ(List({"load"}, invariant).front().id(), "bench.load/tiny-gemma4-ple/fp32/host/mode=batch-invariant");
  EXPECT_EQ(ListBenchmarks(kTarget, {{3, 3}, {20, 20}, {}}, {"decode"}).size(), 1u) << "each once";
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
      ASSERT_FALSE(rows.empty()) << item.id();
      for (const ReportBenchmark& row : rows) {
        EXPECT_EQ(row.status, Status::kPass) << row.id() << ": " << row.reason;
        EXPECT_TRUE(row.reason.empty()) << row.reason;
        EXPECT_EQ(row.parity, Verdict::kMatch);
        EXPECT_EQ(row.covering_cases, Covered().cases);
        EXPECT_EQ(row.name, entry.name);
        EXPECT_TRUE(row.id().starts_with(item.id())) << row.id();
        const Figures figures = FiguresOfRow(row);
        EXPECT_GT(figures.samples, 0) << row.id();
        EXPECT_GT(figures.p50_s, 0) << row.id();
        EXPECT_LE(figures.p50_s, figures.p99_s) << row.id();
        const std::string without = row.axes.Text("without");
        const bool whole = without.empty() || without == kNothingOmitted;
        EXPECT_EQ(row.bytes > 0, whole) << row.id();
        EXPECT_EQ(row.floor_s > 0, whole) << row.id();
        EXPECT_FALSE(row.unit.empty() || row.contains.empty()) << row.id();
      }
    }
  }
}

TEST_F(Bench, AStepIsOneLaunchWithoutASynchronisation) {
  const ReportBenchmark row = Time(List({"decode"})[1]).front();
  const Figures figures = FiguresOfRow(row);
  EXPECT_GE(figures.samples, 30);
  EXPECT_EQ(row.counts.at("graph_launches"), 1);
  EXPECT_EQ(row.counts.at("host_syncs"), 0);
  EXPECT_NEAR(figures.rate * figures.p50_s, 3, 1e-9) << "three sessions, a token each";
  for (const TimedSeries& series : row.series) EXPECT_EQ(std::ssize(series.seconds), DecodeShape::kTimed);
}

TEST_F(Bench, AnAblationLeavesOutEachSortOfCallOnce) {
  const std::vector<ReportBenchmark> rows = Time(List({"ablation"}).front());
  std::map<std::string, std::int64_t> calls;
  for (const ReportBenchmark& row : rows) {
    const auto count = row.counts.find("calls");
    calls[row.axes.Text("without")] = count == row.counts.end() ? 0 : count->second;
  }
  EXPECT_EQ(rows.front().axes.Text("without"), kNothingOmitted);
  EXPECT_EQ(calls.at("overlap"), 0);
  const int layers = bench_.Spec(kTarget).layer_count();
  for (const char* once : {"Embed@embed", "MatMul@head", "Logits@head"}) EXPECT_EQ(calls.at(once), 1) << once;
  for (const char* each : {"Attention@attention", "MatMul@attention-output", "Residual@attention-output",
                           "GatedMatMul@feed-forward", "PleGate@per-layer-embedding"})
    EXPECT_EQ(calls.at(each), layers) << each;
}

TEST(OmittingOps, MakesARecordedStepAnewWithoutACallAndWhole) {
  HostOps inner(Precision::kFp32);
  OmittingOps ops(inner);
  std::vector<float> x{1, 2};
  const float bias[] = {10, 20};
  const auto body = [&] {
    ops.At({0, "some place"});
    ops.AddBias(x.data(), bias, 1, 2);
    ops.AddBias(x.data(), bias, 1, 2);
  };
  const std::unique_ptr<StepGraph> graph = ops.Capture(body);
  graph->Launch();
  EXPECT_EQ(x, (std::vector<float>{21, 42}));
  EXPECT_EQ(ops.calls(), (std::map<std::string, int>{{"AddBias@some-place", 2}}));
  ops.Omit("AddBias@some-place");
  graph->Launch();
  EXPECT_EQ(x, (std::vector<float>{21, 42}));
  ops.AddBias(x.data(), bias, 1, 2);
  EXPECT_EQ(x, (std::vector<float>{31, 62})) << "outside recorded steps nothing is left out";
  ops.Omit("");
  graph->Launch();
  EXPECT_EQ(x, (std::vector<float>{51, 102}));
}

TEST_F(Bench, NoSpeedWithoutCoverage) {
  bool called = false;
  BenchCase item = List({"decode"}).front();
  item.time = [&](const BenchCase& self, BenchState&) {
    called = true;
    return std::vector<TimedRow>{{RowOf(self), {}}};
  };
  for (const Status status : {Status::kFail, Status::kError, Status::kSkip}) {
    const std::vector<ReportBenchmark> rows = Time(item, Covered(status, Verdict::kWrong, "logits are off"));
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_EQ(rows[0].status, status);
    EXPECT_EQ(rows[0].parity, Verdict::kWrong);
    ExpectNoSpeed(rows[0]);
    EXPECT_NE(rows[0].reason.find("logits are off"), std::string::npos);
  }
  EXPECT_EQ(Time(item, {}).front().status, Status::kSkip) << "nothing covers it";
  EXPECT_FALSE(called);
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
  ExpectNoSpeed(rows[0]);
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

// A benchmark that took a second four times, under these kernels and this activity.
BenchCase MadeUpBench(BenchCase item, std::vector<std::string> kernels, DeviceActivity activity = {}) {
  item.time = [=](const BenchCase& self, BenchState&) {
    TimedRow timed{RowOf(self), kernels};
    timed.row.series = {{{1, 1}, DeviceActivity()}, {{1, 1}, activity}};
    return std::vector<TimedRow>{timed};
  };
  return item;
}

TEST_F(Bench, AKernelThatNoCoveringCaseHasSeenMakesTheRowFail) {
  const BenchCase item = List({"decode"}).front();
  Coverage coverage = Covered();
  coverage.kernels = {"attention", "product", "norm"};
  const ReportBenchmark seen = Time(MadeUpBench(item, {"norm", "product"}), coverage).front();
  EXPECT_EQ(seen.status, Status::kPass) << seen.reason;
  EXPECT_EQ(FiguresOfRow(seen).p50_s, 1);
  EXPECT_FALSE(seen.kernels.empty());
  const ReportBenchmark unseen = Time(MadeUpBench(item, {"norm", "split_product"}), coverage).front();
  EXPECT_EQ(unseen.status, Status::kFail);
  EXPECT_NE(unseen.reason.find("'split_product'"), std::string::npos) << unseen.reason;
  EXPECT_NE(unseen.kernels, seen.kernels);
  ExpectNoSpeed(unseen);
}

// One row's kernel says nothing of the other rows of the same benchmark.
TEST_F(Bench, OnlyTheRowWithTheUnseenKernelFails) {
  BenchCase item = List({"ops"}).front();
  item.time = [](const BenchCase& self, BenchState&) {
    std::vector<TimedRow> rows{{RowOf(self), {"attention"}}, {RowOf(self), {"attention", "gemm_splitk"}}};
    for (TimedRow& timed : rows) timed.row.series = {{{1}, {}}};
    return rows;
  };
  Coverage coverage = Covered();
  coverage.kernels = {"attention"};
  const std::vector<ReportBenchmark> rows = Time(item, coverage);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].status, Status::kPass) << rows[0].reason;
  EXPECT_EQ(rows[1].status, Status::kFail);
  ExpectNoSpeed(rows[1]);
}

TEST_F(Bench, AThrottledSeriesMakesTheRowUnstable) {
  const BenchCase item = List({"decode"}).front();
  DeviceActivity activity;
  activity.sm_clock_mhz = {1980, 1980, 1980};
  activity.samples = 9;
  EXPECT_EQ(Time(MadeUpBench(item, {}, activity)).front().status, Status::kPass);
  activity.throttle_reasons = 0x4;  // NVML: the power cap
  const ReportBenchmark capped = Time(MadeUpBench(item, {}, activity)).front();
  EXPECT_EQ(capped.status, Status::kUnstable);
  EXPECT_NE(capped.reason.find("sw_power_cap"), std::string::npos) << capped.reason;
  ExpectNoSpeed(capped);
  activity.throttle_reasons = 0;
  activity.sm_clock_mhz = {1500, 1600, 1980};
  EXPECT_EQ(Time(MadeUpBench(item, {}, activity)).front().status, Status::kUnstable);
}

TEST_F(Bench, ATimeThatIsNoneIsNoSample) {
  BenchCase item = List({"decode"}).front();
  for (const std::vector<TimedSeries>& series :
       {std::vector<TimedSeries>{}, {{{}, {}}}, {{{1, 0}, {}}}, {{{1}, {}}, {{}, {}}}}) {
    item.time = [&](const BenchCase& self, BenchState&) {
      TimedRow timed{RowOf(self), {}};
      timed.row.series = series;
      return std::vector<TimedRow>{timed};
    };
    EXPECT_EQ(Time(item).front().status, Status::kError);
  }
}

TEST_F(Bench, WhatCannotRunIsARowThatSaysWhy) {
  const std::vector<BenchCase> cases = ListBenchmarks(kTarget, {{1'000'000, 64}, {2'000'000'000}, {}}, {"decode"});
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
  static constexpr int kPrompt = 10, kSteps = 6;
  Greedy() : system_(bench_.Open(kTarget, {.max_sessions = 2, .capacity = 40, .max_chunk = 20, .max_rows = 20})) {
    for (int i = 0; i < 2; ++i) sessions_.push_back(system_->OpenWith(MadeUpText(state_, i, kPrompt)));
    texts_ = system_->Decode(sessions_, first_, kSteps);
    Rewind();
  }
  void Rewind() {
    for (const SessionId session : sessions_) system_->Truncate(session, kPrompt);
  }
  void Check() { RequireGreedy(*system_, sessions_, first_, texts_, kSteps, setting_); }

  BenchState state_{bench_, kTarget, setting_, activity_};
  std::unique_ptr<SystemUnderTest> system_;
  std::vector<SessionId> sessions_;
  const Tokens first_ = {1, 2};
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

TEST_F(Greedy, ATokenOutsideTheVocabularyIsFoundWhateverMayTie) {
  setting_.tie = 1e9;
  for (const std::int32_t token : {-1, system_->vocab()}) {
    texts_[0][2] = token;
    EXPECT_THROW(Check(), WrongResult) << token;
    Rewind();
  }
}

TEST_F(Greedy, TextOfZerosIsFoundWhateverMayTie) {
  setting_.tie = 1e9;
  for (Tokens& text : texts_) std::fill(text.begin(), text.end(), 0);
  EXPECT_THROW(Check(), WrongResult);
}

TEST_F(Greedy, SessionsHaveTextsOfTheirOwn) {
  EXPECT_EQ(MadeUpText(state_, 3, 50), MadeUpText(state_, 3, 50));
  EXPECT_NE(MadeUpText(state_, 3, 50), MadeUpText(state_, 4, 50));
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
    ExpectNoSpeed(row);
  }
}

// Change the logits from one call on.
class FickleOps : public ForwardingOps {
 public:
  using Change = void (*)(const LogitsArgs& args);
  FickleOps(Ops& inner, int call, Change change) : ForwardingOps(inner), left_(call), change_(change) {}
  void Logits(const LogitsArgs& args) override {
    ForwardingOps::Logits(args);
    if (left_-- <= 0) change_(args);
  }

 private:
  int left_;
  Change change_;
};

// After what was checked: in the third replay of a decode, in the second repeat of a prompt.
TEST_F(Bench, WhatDoesNotRepeatHasNoSpeed) {
  const FickleOps::Change another = [](const Ops::LogitsArgs& args) {
    if (args.best != nullptr) args.best[0] = (args.best[0] + 1) % args.vocab;
  };
  for (const auto& [what, call] : {std::pair{"decode", 33 + 8 + 33 + 5}, {"prefill", 1 + 2}}) {
    Workbench bench(Decorated<FickleOps>(call, another));
    const ReportBenchmark row = Time(bench, List({what})[1], Covered()).front();
    EXPECT_EQ(row.status, Status::kFail) << what;
    EXPECT_EQ(row.parity, Verdict::kWrong) << what;
    EXPECT_NE(row.reason.find("other tokens"), std::string::npos) << row.reason;
  }
}

TEST_F(Bench, APromptThatIsHeldAgainstNoNumbersIsWrong) {
  setting_.spread = 1e9;
  const FickleOps::Change no_number = [](const Ops::LogitsArgs& args) {
    args.capped[0] = std::numeric_limits<float>::quiet_NaN();
  };
  Workbench bench(Decorated<FickleOps>(1, no_number));
  const ReportBenchmark row = Time(bench, List({"prefill"})[1], Covered()).front();
  EXPECT_EQ(row.parity, Verdict::kWrong);
  EXPECT_NE(row.reason.find("the last prompt alone"), std::string::npos) << row.reason;
}

}  // namespace
}  // namespace assay
