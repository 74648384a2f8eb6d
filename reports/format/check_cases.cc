#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <set>

#include "reports/format/check_parts.h"

namespace assay {
namespace {

constexpr std::string_view kBudget = "_budget", kComparisons = "_comparisons";

class CaseCheck {
 public:
  CaseCheck(const ReportCase& item, bool converted, Problems* problems)
      : item_(item), id_(item.id()), converted_(converted), problems_(problems) {}

  void Run() {
    Status();
    Argmax();
    std::set<std::string> metrics;
    for (const Judgement& judgement : item_.judgements) {
      if (!metrics.insert(judgement.metric).second) Problem("metric {} is judged twice", judgement.metric);
      Verdict(judgement);
      Budget(judgement);
      Stated(judgement);
    }
  }

 private:
  template <class... Values>
  void Problem(fmt::format_string<Values...> text, Values&&... values) {
    problems_->push_back(fmt::format("case {}: {}", id_, fmt::format(text, std::forward<Values>(values)...)));
  }

  const Judgement* Find(const std::string& metric) const {
    const auto found = std::find_if(item_.judgements.begin(), item_.judgements.end(),
                                    [&](const Judgement& judgement) { return judgement.metric == metric; });
    return found == item_.judgements.end() ? nullptr : &*found;
  }

  // What a status promises about judgements, reason and replay line.
  void Status() {
    const assay::Verdict verdict = CaseVerdict(item_);
    const bool passes = item_.status == assay::Status::kPass;
    if (passes && !Passes(verdict))
      Problem("passes with verdict {}{}", Name(verdict), item_.judgements.empty() ? " (no judgement)" : "");
    if (passes && !item_.reason.empty()) Problem("passes and gives a reason");
    if (!passes && item_.reason.empty()) Problem("status {} without a reason", Name(item_.status));
    if (item_.status == assay::Status::kUnstable) Problem("is unstable, which only a timed row can be");
    const bool broken = item_.status == assay::Status::kFail || item_.status == assay::Status::kError;
    if (broken && (item_.replay.empty() || item_.replay.find('\n') != std::string::npos))
      Problem("replay is not one line");
  }

  void Argmax() {
    const ArgmaxRows& rows = item_.argmax;
    if (rows.judged < 0 || rows.judged > rows.rows) Problem("argmax judged on {} of {} rows", rows.judged, rows.rows);
    // A suite may judge rows of several kinds, each under a prefix of its own: "argmax", "greedy_argmax".
    // A converted one counts the check of each kind's budget as one comparison more.
    std::int64_t compared = 0, budgets = 0;
    for (const Judgement& judgement : item_.judgements)
      if (judgement.metric.ends_with("argmax")) {
        compared += judgement.comparisons;
        budgets += converted_ ? 1 : 0;
      }
    if (compared < rows.judged || compared - rows.judged > budgets)
      Problem("argmax judged on {} rows, but in {} comparisons", rows.judged, compared);
  }

  void Verdict(const Judgement& judgement) {
    const auto wrong = [&](std::string_view why) {
      Problem("{} is {}, but {}", judgement.metric, Name(judgement.verdict), why);
    };
    const Bound& bound = judgement.bound;
    if (!(bound.soft <= bound.hard))
      Problem("{}: the soft bound {} is not within the hard bound {}", judgement.metric, bound.soft, bound.hard);
    if (judgement.comparisons < 0) Problem("{}: {} comparisons", judgement.metric, judgement.comparisons);
    if (judgement.first_outside && judgement.verdict == assay::Verdict::kMatch)
      wrong("a place is outside its tolerance");
    const bool compared = judgement.comparisons > 0, is_void = judgement.verdict == assay::Verdict::kVoid;
    if (!compared) {
      if (!is_void || judgement.fault.empty()) wrong("nothing was compared, which is VOID and has a fault");
    } else if (!judgement.fault.empty()) {
      // The worst of several comparisons may be one that did not happen, beside others that did.
      if (!is_void && judgement.verdict != assay::Verdict::kWrong) wrong("it has a fault: " + judgement.fault);
    } else if (is_void) {
      wrong("no fault says why");
    } else {
      const assay::Verdict soft = IsSoft(judgement.verdict) ? judgement.verdict : assay::Verdict::kDrift;
      const assay::Verdict derived = VerdictOf(judgement.value, bound, soft);
      if (derived != judgement.verdict)
        wrong(fmt::format("{} at {} and {} is {}", judgement.value, bound.soft, bound.hard, Name(derived)));
    }
  }

  // How many comparisons a suite says that it makes is held against how many it made.
  void Stated(const Judgement& judgement) {
    const std::string& metric = judgement.metric;
    if (!(metric.size() > kComparisons.size() && metric.ends_with(kComparisons))) return;
    const Judgement* const of = Find(metric.substr(0, metric.size() - kComparisons.size()));
    const std::int64_t made = of == nullptr ? 0 : of->comparisons;
    const auto missing = static_cast<double>(std::max<std::int64_t>(0, judgement.comparisons - made));
    if (judgement.value != missing)
      Problem("{}: {} are missing of {} stated, but {} were made", metric, judgement.value, judgement.comparisons,
              made);
  }

  // A soft verdict passes only where the number of them is judged.
  void Budget(const Judgement& judgement) {
    const std::string& metric = judgement.metric;
    if (metric.size() > kBudget.size() && metric.ends_with(kBudget)) {
      if (IsSoft(judgement.verdict)) Problem("{} is {}: a budget is kept or not", metric, Name(judgement.verdict));
      const std::string of = metric.substr(0, metric.size() - kBudget.size());
      if (Find(of) == nullptr && !converted_) Problem("{} without a judgement of {}", metric, of);
    }
    // Version 1 had budgets of three metrics only.
    if (!IsSoft(judgement.verdict) || converted_) return;
    const Judgement* const budget = Find(metric + std::string(kBudget));
    if (budget == nullptr)
      Problem("{} is {}, but no {}{} judges how often", metric, Name(judgement.verdict), metric, kBudget);
    else if (budget->fault.empty() &&
             !(budget->value >= 1 && budget->value <= static_cast<double>(judgement.comparisons)))
      Problem("{}: {} of {} comparisons", budget->metric, budget->value, judgement.comparisons);
  }

  const ReportCase& item_;
  const std::string id_;
  const bool converted_;
  Problems* const problems_;
};

// Hashes of ids that several cases have, in order.
std::vector<std::size_t> SharedHashes(const Report& report) {
  std::vector<std::size_t> all, shared;
  all.reserve(report.cases.size());
  for (const ReportCase& item : report.cases) all.push_back(std::hash<std::string>()(item.id()));
  std::sort(all.begin(), all.end());
  for (std::size_t i = 1; i < all.size(); ++i)
    if (all[i] == all[i - 1] && (shared.empty() || shared.back() != all[i])) shared.push_back(all[i]);
  return shared;
}

}  // namespace

void CheckCases(const Report& report, Problems* problems) {
  const std::vector<std::size_t> shared = SharedHashes(report);
  std::set<std::string> seen;  // of ids that may be there twice
  for (const ReportCase& item : report.cases) {
    const std::string id = item.id();
    const bool twice = std::binary_search(shared.begin(), shared.end(), std::hash<std::string>()(id));
    if (twice && !seen.insert(id).second) problems->push_back(fmt::format("case {}: reported twice", id));
    CaseCheck(item, !report.converted_from.empty(), problems).Run();
  }
  const auto count = static_cast<std::int64_t>(report.cases.size());
  if (report.selected > report.listed)
    problems->push_back(fmt::format("population: {} selected of {} listed", report.selected, report.listed));
  if (report.complete && count != report.selected)
    problems->push_back(fmt::format("complete, but {} cases of {} selected are reported", count, report.selected));
  if (report.complete && report.finished.empty()) problems->push_back("complete, but run.finished is null");
  // Texts of one form are ordered as their times are.
  if (!report.finished.empty() && report.finished < report.started)
    problems->push_back(fmt::format("run: finished {} before it started {}", report.finished, report.started));
  if (report.duration_s < 0) problems->push_back(fmt::format("run: a duration of {} s", report.duration_s));
  if (report.complete && !report.problems.empty()) problems->push_back("complete, but integrity.problems is not empty");
  if (!report.complete && report.problems.empty())
    problems->push_back("not complete, but integrity.problems names no reason");
}

}  // namespace assay
