#include "suites/support/checker.h"

#include <fmt/core.h>

#include <algorithm>

namespace assay {

void Checker::Bits(std::span<const float> expected, std::span<const float> found, const Place& where) {
  if (digest_) digest_->Add({reinterpret_cast<const char*>(expected.data()), expected.size_bytes()});
  Add(JudgeBits(expected, found, where));
}

void Checker::Close(std::span<const float> expected, std::span<const float> found, const Bound& bound,
                    const Place& where) {
  Add(JudgeTensor(Widen(expected), Widen(found), bound, "max_abs_between", where));
}

void Checker::True(bool ok, std::string metric, const Place& where, const std::string& detail) {
  Add(Judged(std::move(metric), ok ? 0 : 1, Bound::Exact(), where, detail));
}

void Checker::CountArgmax(std::int64_t judged, std::int64_t rows) {
  argmax_.judged += judged;
  argmax_.rows += rows;
}

std::string Describe(const Judgement& j) {
  const double allowed = j.bound.soft > 0 ? j.bound.soft : j.bound.hard;
  return fmt::format("{} is {}{}: {}", j.metric, Name(j.verdict), j.worst.empty() ? "" : " at " + j.worst.ToString(),
                     j.fault.empty() ? fmt::format("{:.4g} of {:.4g} allowed", j.value, allowed) : j.fault);
}

CaseOutcome Checker::Finish() const {
  CaseOutcome outcome;
  outcome.status = Status::kPass;
  outcome.judgements = tally_.Finish();
  outcome.argmax = argmax_;
  if (digest_) outcome.digest = digest_->Hex();
  const Judgement* worst = nullptr;
  for (const Judgement& judgement : outcome.judgements)
    if (worst == nullptr || IsWorse(judgement, *worst)) worst = &judgement;
  if (worst == nullptr || Passes(worst->verdict)) return outcome;
  outcome.status = Status::kFail;
  outcome.reason = Describe(*worst);
  return outcome;
}

}  // namespace assay
