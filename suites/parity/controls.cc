// Negative controls: what judges must call wrong, they call wrong. A control that fails throws, because what would
// report it is what it doubts.
#include <cmath>
#include <limits>

#include "oracles/compare/logits.h"
#include "suites/parity/op_controls.h"
#include "suites/parity/parity.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

const double kNan = std::numeric_limits<double>::quiet_NaN();

void Hold(bool ok, const char* rule) { Require<Error>(ok, "a rule of judging does not hold: {}", rule); }

Verdict VerdictIn(const std::vector<Judgement>& all, const std::string& metric) {
  for (const Judgement& judgement : all)
    if (judgement.metric == metric) return judgement.verdict;
  return Verdict::kMatch;
}

void Verdicts(CaseState& state) {
  const Bound bound{1, 2, "made up"};
  Hold(VerdictOf(0.5, bound) == Verdict::kMatch && VerdictOf(1.5, bound) == Verdict::kDrift &&
           VerdictOf(2.5, bound) == Verdict::kWrong && VerdictOf(100, bound) == Verdict::kWrong,
       "a value's verdict follows from its bounds");
  Hold(VerdictOf(kNan, bound) == Verdict::kWrong, "a value that is not a number is WRONG");
  Hold(!Passes(Verdict::kWrong) && !Passes(Verdict::kVoid) && Passes(Verdict::kMatch), "WRONG and VOID do not pass");
  const Judgement near = Judged("m", 1.9, bound, {}), wrong = Judged("m", 1.2, Bound::Fixed(1, ""), {});
  Hold(IsWorse(wrong, near) && !IsWorse(near, wrong), "a verdict counts before headroom");
  Hold(IsWorse(Judged("m", kNan, bound, {}), Judged("m", 50, bound, {})), "no number is the worst headroom");
  state.check.True(true, "controls", "verdicts");
}

void Tallies(CaseState& state) {
  const Bound bound{1, 2, "made up"};
  Tally tally;
  tally.Add(Judged("m", 0, bound, {}));
  tally.Add(Judged("m", 9, bound, {{"row", 1}}));
  tally.Add(Judged("m", 0.1, bound, {}));
  const std::vector<Judgement> worst = tally.Finish();
  Hold(worst.size() == 1 && worst[0].verdict == Verdict::kWrong && worst[0].value == 9 && worst[0].comparisons == 3 &&
           worst[0].first_outside == Place{{"row", 1}},
       "the worst of a metric stays, whatever follows");
  Tally soft;
  for (int i = 0; i < 4; ++i) soft.Add(Judged("m", 1.5, bound, {}));
  Hold(VerdictIn(soft.Finish(), "m_budget") == Verdict::kWrong,
       "soft verdicts that nothing explains fail their budget");
  Tally expected;
  for (int i = 0; i < 3; ++i) {
    Judgement drift = Judged("m", 1.5, bound, {});
    drift.soft_probability = 3e-3;
    expected.Add(drift);
  }
  Hold(VerdictIn(expected.Finish(), "m_budget") == Verdict::kWrong,
       "soft verdicts beyond those that their probabilities explain fail their budget");
  Tally parts;
  parts.AtLeast("m", 2);
  parts.AtLeast("m", 1);
  for (int i = 0; i < 2; ++i) parts.Add(Judged("m", 0, bound, {}));
  Hold(VerdictIn(parts.Finish(), "m_comparisons") == Verdict::kWrong, "statements of one metric add up");
  Tally stated;
  stated.AtLeast("m", 3);
  stated.Add(Judged("m", 0, bound, {}));
  stated.Add(Judged("m", 0, bound, {}));
  Hold(VerdictIn(stated.Finish(), "m_comparisons") == Verdict::kWrong, "a comparison that is missing is found");
  stated.Add(Judged("m", 0, bound, {}));
  Hold(VerdictIn(stated.Finish(), "m_comparisons") == Verdict::kMatch, "those that were stated are enough");
  for (const char* metric : {"ulp", "anything"}) {
    Checker check;
    check.Add(Judged(metric, 1, Bound::Exact(), {}));
    Hold(check.Finish().status == Status::kFail, "a case with a WRONG judgement fails");
  }
  state.check.True(true, "controls", "tallies");
}

void Comparisons(CaseState& state) {
  const Bound bound{1e-3, 2e-3, "made up"};
  std::vector<double> a{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, b = a;
  for (std::size_t i = 0; i < a.size(); ++i) {
    b = a;
    b[i] += 1;
    Hold(JudgeTensor(a, b, bound, "m", {}).verdict == Verdict::kWrong,
         "an element that is off is found wherever it is");
    const std::vector<float> x(a.begin(), a.end()), y(b.begin(), b.end());
    Hold(JudgeBits(x, y, {}).verdict == Verdict::kWrong, "bits that differ are found wherever they are");
    b[i] = kNan;
    Hold(JudgeTensor(a, b, bound, "m", {}).verdict == Verdict::kWrong, "NaN is not lost in a maximum");
    Hold(Compare(a, b).nonfinite == 1, "NaN is counted");
  }
  Hold(JudgeTensor({}, {}, bound, "m", {}).verdict == Verdict::kVoid, "nothing compared is VOID");
  const std::vector<double> large{1000}, beside{1000.5};
  Hold(JudgeTensor(large, beside, bound, "m", {}).verdict == Verdict::kWrong &&
           JudgeTensor(large, beside, bound, "m", {}, Measure::kRelative).verdict == Verdict::kMatch,
       "an error is relative only where that is asked");
  Hold(std::abs(KlDivergence(std::vector<double>{0, 0}, std::vector<double>{0, std::log(3.0)}) -
                0.5 * std::log(4.0 / 3)) < 1e-12,
       "the divergence of a half and a half from a quarter and three quarters");
  Calibrator calibrator;
  calibrator.Add(std::vector<double>{0, 0}, std::vector<double>{0.5, 0});
  const LogitTolerance tolerance = LogitTolerance::From(calibrator.Finish("made up"));
  Hold(tolerance.max_abs.soft == 1 && tolerance.max_abs.hard == 2 && tolerance.tie == 1,
       "a tolerance is twice the twin's error, and four times it at most");
  const LogitTolerance sharp = LogitTolerance::Fixed(0.1, 0.2, "made up");
  const std::vector<double> reference{5, 4.95, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  std::vector<double> other = reference, far = reference;
  other[1] = 5.04, far[2] = 6;
  Hold(JudgeArgmax(reference, other, sharp, {}).verdict == Verdict::kTieFlip, "a token within the gap is a tie");
  Hold(JudgeArgmax(reference, far, sharp, {}).verdict == Verdict::kWrong, "a token far from the best is WRONG");
  const std::span<const double> neighbour(other);
  Hold(JudgeArgmax(reference, other, sharp, {}, std::span(&neighbour, 1)).verdict == Verdict::kWrong,
       "a tie that a neighbour's answer explains is WRONG");
  Hold(Decides(reference, sharp), "a row whose best stands apart decides");
  Tally tally;
  LogitJudge judge(sharp, tally);
  judge.Add({.reference_raw = reference, .candidate_raw = reference}, {});
  judge.Finish();
  Hold(judge.rows() == 1 && judge.argmax_judged() == 1 && VerdictIn(tally.Finish(), "kl") == Verdict::kMatch,
       "a row that decides is judged");
  // What leaves every other figure as it is: one bound a thousand times the others.
  const auto verdict_of = [&](const char* metric, double LogitTolerance::*figure, Bound LogitTolerance::*of) {
    LogitTolerance only = LogitTolerance::Fixed(1e6, 1e6, "made up");
    if (figure != nullptr) only.*figure = 1e-9;
    if (of != nullptr) only.*of = Bound::Fixed(1e-9, "made up");
    Tally one;
    LogitJudge alone(only, one);
    for (int row = 0; row < 2; ++row)
      alone.Add({.reference_raw = reference,
                 .candidate_raw = far,
                 .reference_capped = reference,
                 .candidate_capped = row == 0 ? reference : far},
                {});
    alone.Finish();
    return VerdictIn(one.Finish(), metric);
  };
  Hold(verdict_of("rms_logit", nullptr, &LogitTolerance::rms) == Verdict::kWrong, "a row's RMS error is judged");
  Hold(verdict_of("mean_kl", &LogitTolerance::mean_kl, nullptr) == Verdict::kWrong, "the mean divergence is judged");
  for (const char* metric : {"kl", "max_abs_logit_raw", "max_abs_logit_capped"})
    Hold(verdict_of(metric, nullptr, &LogitTolerance::max_abs) == Verdict::kWrong,
         "divergence and logits, before and behind the softcap, are judged");
  Hold(tolerance.Between().soft == 2 && tolerance.Between().hard == 4 && tolerance.TieBetween() == 4,
       "two computations may be off by one tolerance each");
  Hold(tolerance.At(1).max_abs.hard == 2 && tolerance.At(3).max_abs.hard == 6 && tolerance.At(3).max_abs.soft == 1,
       "a row that is hard for the twin has a wider hard bound, and the same soft one");
  std::vector<double> outside(20, 0.0);
  for (int i = 0; i < 12; ++i) outside[i] = 5 - 0.001 * i;
  std::vector<double> eleventh = outside;
  eleventh[11] = 6;
  Hold(JudgeArgmax(outside, eleventh, sharp, {}).verdict == Verdict::kWrong,
       "a token that is not among the best ten is WRONG however small the gap");
  Hold(!Decides(outside, sharp), "a row whose best eleven lie together does not decide");
  const std::vector<std::int32_t> text{1, 2, 3}, cut{1, 2};
  const std::vector<double> gaps{1, 1, 1};
  Hold(JudgeFreeRunning(text, cut, gaps, 0.6, 0.1, {}).verdict == Verdict::kWrong, "a text that is too short is WRONG");
  Hold(JudgeFreeRunning(text, std::vector<std::int32_t>{1, 2, 4}, gaps, 0.1, 0.1, {}).verdict == Verdict::kWrong,
       "another token where the gap is wide is WRONG");
  Hold(JudgeFreeRunning(text, std::vector<std::int32_t>{1, 2, 4}, gaps, 0.6, 0.1, {}).verdict == Verdict::kTieFlip,
       "another token within the gap is a tie");
  Hold(IsWorse(Void("m", bound, ""), Judged("m", 1.5, {1, 2, ""}, {})),
       "nothing compared is worse than what is within its bounds");
  Hold(PoissonQuantile(0, 0.999) == 0 && PoissonQuantile(1, 0.99) == 4, "quantiles of the Poisson distribution");
  state.check.True(true, "controls", "comparisons");
}

// A system that can do nothing beyond a step.
class WithoutForks final : public EngineProvider {
 public:
  Capabilities CapabilitiesOf(const Target&) const override {
    Capabilities all;
    all.Lacks(Capability::kFork, "made up");
    return all;
  }
};

// Here a rule that does not hold is a judgement: what becomes of exceptions is one of the rules.
void Runs(CaseState& state) {
  const auto hold = [&](bool ok, const char* rule) { state.check.True(ok, "controls", Place(rule)); };
  CaseRunner runner(state.bench);
  const auto run = [&](std::function<void(CaseState&)> body) {
    return runner.Run(MakeCase("Controls", "made up", state.target, {}, {}, std::move(body))).status;
  };
  hold(run([](CaseState&) {}) == Status::kFail, "a case that compares nothing does not pass");
  hold(run([](CaseState&) { Throw<Error>("made up"); }) == Status::kError, "an exception is no pass and no skip");
  hold(run([](CaseState& s) { s.check.True(false, "m", {}); }) == Status::kFail, "a no fails");
  hold(run([](CaseState&) { throw CannotBeSeen("made up"); }) == Status::kSkip, "what cannot be seen is skipped");
  hold(run([](CaseState& s) { s.check.True(true, "m", {}); }) == Status::kPass, "a yes passes");
  hold(run([](CaseState&) { throw OutOfMemory("made up", 1, 0); }) == Status::kError, "no memory is no skip");
  hold(run([](CaseState&) { throw DeviceError("made up", false); }) == Status::kError, "a device's error is no skip");
  // Not by a judgement: what becomes of the others beside a no is what is asked.
  Hold(run([](CaseState& s) {
         s.check.True(false, "first", {});
         s.check.True(true, "second", {});
       }) == Status::kFail,
       "a yes does not take a no back");
  Workbench without(std::make_unique<WithoutForks>());
  hold(CaseRunner(without)
               .Run(MakeCase("Controls", "made up", state.target, {}, {Capability::kFork},
                             [](CaseState& s) { s.check.True(true, "m", {}); }))
               .status == Status::kSkip,
       "what a system cannot do is skipped");
  const std::vector<float> a{1, 2}, b{1, 3};
  const auto agreement = [&](const std::vector<float>& found) {
    return run([&](CaseState& s) { RowAgreement(s).Check(a, found, {}, s.MadeUp(7720, 1), 0); });
  };
  hold(agreement(b) == Status::kFail && agreement(a) == Status::kPass, "rows that differ do not agree");
  std::vector<CaseGroup> groups(2);
  for (int i = 0; i < 5; ++i)
    groups[i / 3].cases.push_back(
        MakeCase("Controls", "made up", state.target, {}, {}, [i](CaseState& s) { s.check.True(i != 4, "m", {}); }));
  Workbench own;
  RunOptions options;
  options.replay = ReplayLine;
  const std::vector<ReportCase> ran = RunGroups(own, groups, options);
  hold(ran.size() == 5 && ran.front().status == Status::kPass && ran.back().status == Status::kFail,
       "every case of every group runs");
  hold(SelectCases(groups[0].cases, "*made up*").size() == 3 && SelectCases(groups[0].cases, "*other*").empty() &&
           SelectCases(groups[0].cases, std::vector<std::string>{}, {"Controls"}).empty(),
       "cases are chosen by what they are called");
  Report report;
  report.complete = true;
  ReportCase item;
  item.axes.Set("device", "host");
  item.status = Status::kPass;
  item.judgements = {Judged("m", 0, Bound::Exact(), {})};
  report.cases = {item};
  hold(Summarise(report).verdict == "PASS", "a run of passes passes");
  report.cases.push_back(item);
  for (const Status bad : {Status::kFail, Status::kError}) {
    report.cases.back().status = bad;
    hold(Summarise(report).verdict == "FAIL", "a run with a failure fails");
  }
  report.cases = {item};
  report.cases[0].status = Status::kSkip;
  hold(Summarise(report).verdict == "INCOMPLETE", "a run of skips is none");
  report.complete = false;
  hold(Summarise(report).verdict == "INCOMPLETE", "a run that was broken off is not complete");
  hold(ExitCode("PASS") == 0 && ExitCode("FAIL") == 1 && ExitCode("INCOMPLETE") == 4, "exit codes");
}

// The comparison with the reference sees a row that is off, and its own.
void RowsAndReference(CaseState& state) {
  const auto system = state.Open(StraightOptions(state.spec(), 1, 8));
  const Tokens tokens = state.MadeUp(7700, 6);
  StepResult result = system->Prefill(system->Open(), tokens, Want::kAll);
  const auto judged = [&] {
    CaseState inner(state.bench, state.target);
    LogitChecker checker(inner);
    for (int row = 0; row < result.rows(); ++row) checker.Add(result, row, tokens, {{"row", row}});
    checker.Finish();
    return inner.Finish().status;
  };
  state.check.True(judged() == Status::kPass, "controls", "right rows match the reference");
  const double ratio = state.references().TwinErrorRatio(state.target, state.references().Tolerance(state.target),
                                                         tokens, static_cast<int>(tokens.size()) - 1);
  state.check.True(ratio >= 1 && ratio < 3, "controls", "an ordinary row is no harder for the twin than others");
  result.raw.back() += 1;
  state.check.True(judged() == Status::kFail, "controls", "a logit of the last row that is off is found");
}

}  // namespace

std::vector<Case> ControlCases(Workbench&, const std::vector<Target>& targets) {
  std::vector<Case> cases;
  for (const Target& any : OncePerDevice(targets)) {
    const auto add = [&](const char* name, void (*body)(CaseState&), std::vector<Capability> needs = {}) {
      cases.push_back(MakeCase("Controls", name, any, {}, std::move(needs), [body](CaseState& state) {
        state.check.AtLeast("controls", 1);
        body(state);
      }));
      cases.back().axes = Axes({{"model", any.axes().Text("model")}, {"device", any.device.kind_name()}});
    };
    add("Verdicts", Verdicts);
    add("Tallies", Tallies);
    add("Comparisons", Comparisons);
    add("Runs", Runs);
    add("Rows", RowsAndReference, {Capability::kLogits, Capability::kRawLogits});
    add("Ops", OpsThatAreOff, {Capability::kInternals});
  }
  return cases;
}

}  // namespace assay
