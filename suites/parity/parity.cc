#include "suites/parity/parity.h"

#include <fmt/format.h>

#include <algorithm>

#include "oracles/reference/formulas.h"

namespace assay {

EngineOptions SmallOptions(const ModelSpec& spec, int sessions, int capacity) {
  const int window = SmallestWindow(spec);
  EngineOptions options;
  options.max_sessions = sessions;
  options.capacity = capacity;
  options.max_chunk = std::min(capacity, window > 0 && window < 16 ? window + 3 : 64);
  options.max_rows = std::max(64, sessions * 2);
  return options;
}

EngineOptions StraightOptions(const ModelSpec& spec, int sessions, int capacity) {
  EngineOptions options = SmallOptions(spec, sessions, capacity);
  options.max_chunk = capacity;
  options.max_rows = std::max(options.max_rows, capacity);
  return options;
}

StepResult AloneRows(SystemUnderTest& system, const Tokens& tokens, int prompt) {
  const SessionId session = system.OpenWith(std::span(tokens).first(prompt));
  StepResult all;
  for (int at = prompt; at < std::ssize(tokens); ++at) all.Append(system.Step(Feed{session, Slice(tokens, at, 1)}));
  system.Close(session);
  return all;
}

void CheckPackedKernel(CaseState& state, SystemUnderTest& system, std::int64_t least, const Place& where) {
  EngineSystem* engine = system.engine();
  if (engine == nullptr || state.target.batch_invariant) return;
  const std::int64_t together = engine->ops().counters().packed_segments;
  state.check.True(together >= least, "packed kernel engaged", where,
                   fmt::format("expected {} of them in one launch, found {}", least, together));
}

void RequireVisible(CaseState& state, std::span<const float> row, const Tokens& tokens) {
  const auto constant = [](const auto& values) {
    return std::all_of(values.begin(), values.end(), [&](auto value) { return value == values.front(); });
  };
  if (!constant(row) || !state.references().Bounds(state.target)) return;
  const int last = static_cast<int>(tokens.size()) - 1;
  Require<CannotBeSeen>(!constant(state.references().Rows(state.target, tokens, last).Raw(last)),
                        "all logits of this model are equal: a change that should move them cannot be seen");
}

double HardRows::Ratio(const LogitTolerance& tolerance, double error, const Bound& bound, const Tokens& tokens,
                       int position, int first) {
  constexpr double kMost = 16;  // times the hard bound: beyond it no order of sums is the reason
  if (error <= bound.soft) return 1;
  const double ratio = state_.references().TwinErrorRatio(state_.target, tolerance, tokens, position, first);
  if (error <= ratio * bound.hard || !(error <= kMost * bound.hard) || left_ == 0) return ratio;
  --left_;
  return state_.references().WorstTwinErrorRatio(state_.target, tolerance, tokens, position, first);
}

LogitChecker::LogitChecker(CaseState& state)
    : state_(state),
      tolerance_(state.references().Bounds(state.target) ? &state.references().Tolerance(state.target) : nullptr),
      raw_(state.bench.provider().CapabilitiesOf(state.target).Has(Capability::kRawLogits).ok) {
  if (tolerance_ != nullptr) judge_.emplace(*tolerance_, state.check.tally());
}

void LogitChecker::Add(const StepResult& result, int row, const Tokens& tokens, const Place& where, int first) {
  if (!judge_) return;
  const int position = result.position[row];
  const std::vector<double>& reference_raw = state_.references().Rows(state_.target, tokens, first).Raw(position);
  std::vector<double> reference_capped = reference_raw;
  for (double& logit : reference_capped) logit = Softcap(logit, state_.spec().softcap);
  const std::vector<double> raw = Widen(result.Raw(row)), capped = Widen(result.Capped(row));
  // A row that is off may be one where the arithmetic loses digits: the twin would then be off as well.
  const double error = Compare(raw_ ? reference_raw : reference_capped, raw).max_abs,
               ratio = hard_.Ratio(*tolerance_, error, tolerance_->max_abs, tokens, position, first);
  LogitRow both{{}, {}, reference_capped, capped, ratio};
  // One choice of another expert moves all rows behind it: in a system that does not promise the arithmetic of one user
  // alone, a row where the twin drifts too is no surprise.
  both.drift_expected = state_.target.loose && ratio > kKappa;
  if (raw_) both.reference_raw = reference_raw, both.candidate_raw = raw;
  judge_->Add(both, where);
}

void LogitChecker::AtLeast(std::int64_t rows) {
  if (!judge_) return;
  state_.check.AtLeast("max_abs_logit_capped", rows);
  if (raw_) state_.check.AtLeast("max_abs_logit_raw", rows);
}

void LogitChecker::Finish() {
  if (!judge_) return;
  judge_->Finish();
  state_.check.CountArgmax(judge_->argmax_judged(), judge_->rows());
}

SameBits::SameBits(CaseState& state, bool promised) : state_(state), promised_(promised) {
  if (!promised) between_ = state.references().Tolerance(state.target).Between();
}

void SameBits::Check(std::span<const float> expected, std::span<const float> found, const Place& where) {
  if (promised_)
    state_.check.Bits(expected, found, where);
  else
    state_.check.Close(expected, found, between_, where);
}

void SameBits::AtLeast(std::int64_t rows) { state_.check.AtLeast(promised_ ? "ulp" : "max_abs_between", rows); }

bool RoutesByRounding(CaseState& state) {
  return !state.target.loose && !state.target.exact() && HasExperts(state.spec()) && !IsLarge(state.spec());
}

RowAgreement::RowAgreement(CaseState& state) : state_(state) {
  const Target& target = state.target;
  if (target.exact() || (target.batch_invariant && !target.loose)) return;
  tolerance_ = &state.references().Tolerance(target);
  if (!RoutesByRounding(state)) return;
  state.bench.RecordRouting();
  routing_.emplace(state);
}

void RowAgreement::Check(std::span<const float> expected, std::span<const float> found, const Place& where,
                         const Tokens& tokens, int position) {
  if (tolerance_ == nullptr) return state_.check.Bits(expected, found, where);
  const auto judged = [&](const LogitTolerance& tolerance) {
    return JudgeTensor(Widen(expected), Widen(found), tolerance.Between(), "max_abs_between", where);
  };
  Judgement judgement = judged(*tolerance_);
  if (judgement.verdict == Verdict::kWrong)
    judgement = judged(tolerance_->At(hard_.Ratio(*tolerance_, judgement.value, judgement.bound, tokens, position)));
  if (routing_ && judgement.verdict != Verdict::kMatch)
    if (std::optional<Judgement> routed = routing_->Between(expected, found, where)) judgement = std::move(*routed);
  // The reference of a large model may have no room beside the engine.
  const bool can_tell = !IsLarge(state_.spec()) && state_.references().Bounds(state_.target) &&
                        std::ssize(found) == state_.spec().vocab && found.size() == expected.size();
  if (judgement.verdict == Verdict::kWrong && can_tell) {
    const std::vector<double>& reference = state_.references().Rows(state_.target, tokens).Raw(position);
    const auto off = [&](std::span<const float> row) { return Compare(reference, Widen(row)).max_abs; };
    judgement.detail += fmt::format("; off the reference: {:.3g} and {:.3g}, its twin {:.3g}; tokens {}", off(expected),
                                    off(found), state_.references().TwinError(state_.target, tokens, position),
                                    fmt::join(tokens.begin(), tokens.begin() + position + 1, ","));
  }
  state_.check.Add(judgement);
}

void RowAgreement::AtLeast(std::int64_t rows) {
  state_.check.AtLeast(tolerance_ == nullptr ? "ulp" : "max_abs_between", rows);
}

}  // namespace assay
