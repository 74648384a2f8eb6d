#include "suites/support/judge.h"

#include <fmt/core.h>

#include <algorithm>

namespace assay {

void Judge::Add(const Judgement& judgement) {
  const auto same =
      std::find_if(worst_.begin(), worst_.end(), [&](const Judgement& j) { return j.metric == judgement.metric; });
  if (same == worst_.end()) {
    worst_.push_back(judgement);
    counts_.push_back(1);
    return;
  }
  ++counts_[static_cast<std::size_t>(same - worst_.begin())];
  *same = Worse(*same, judgement);
}

void Judge::Add(const std::vector<Judgement>& judgements) {
  for (const Judgement& judgement : judgements) Add(judgement);
}

void Judge::Bits(std::span<const float> expected, std::span<const float> found, std::string_view where) {
  Add(JudgeBits(expected, found, where));
}

void Judge::Close(std::span<const float> expected, std::span<const float> found, const Tolerance& tolerance,
                  std::string_view where) {
  Add(JudgeTensor(Widen(expected), Widen(found), tolerance, "max_abs_between", where));
}

void Judge::True(bool ok, std::string_view metric, std::string_view where, const std::string& detail) {
  Judgement judgement;
  judgement.verdict = ok ? Verdict::kMatch : Verdict::kWrong;
  judgement.metric = metric;
  judgement.value = ok ? 0 : 1;
  judgement.headroom = judgement.value;
  judgement.bound_from = "exact";
  if (!ok) judgement.worst = where;
  if (!ok) judgement.detail = detail;
  Add(judgement);
}

CaseOutcome Judge::Finish() const {
  CaseOutcome outcome;
  outcome.status = CaseOutcome::Status::kPass;
  outcome.judgements = worst_;
  for (std::size_t i = 0; i < worst_.size(); ++i) {
    const Judgement& j = worst_[i];
    if (j.verdict != Verdict::kWrong && j.verdict != Verdict::kVoid) continue;
    outcome.status = CaseOutcome::Status::kFail;
    outcome.reason +=
        fmt::format("{}{}: {} at {} ({} of {} allowed; {} comparisons) {}", outcome.reason.empty() ? "" : "; ",
                    j.metric, Name(j.verdict), j.worst.empty() ? "-" : j.worst, j.value, j.bound, counts_[i], j.detail);
  }
  return outcome;
}

}  // namespace assay
