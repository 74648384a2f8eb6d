#include "reports/format/report.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "reports/format/numbers.h"

namespace assay {
namespace {

constexpr int kJudgementDigits = 6, kSampleDigits = 5, kDurationDigits = 4, kWorkDigits = 9;
// From here on a judgement keeps where it was worst.
constexpr double kTellingHeadroom = 0.5;

// `ran_on`: by device, whether a case was not skipped there.
std::string RunVerdict(const Report& report, const ReportSummary& summary, const std::map<std::string, bool>& ran_on) {
  const auto bench = [&](auto wanted) {
    return std::any_of(report.benchmarks.begin(), report.benchmarks.end(), wanted);
  };
  const auto timed = [](const ReportBenchmark& row) { return row.status == Status::kPass; };
  const auto failed = [](const ReportBenchmark& row) {
    return row.status == Status::kFail || row.status == Status::kError || row.parity == Verdict::kWrong;
  };
  if (summary.statuses.at(Status::kFail) + summary.statuses.at(Status::kError) > 0 || bench(failed)) return "FAIL";
  if (report.gate && !report.gate->not_comparable.empty()) return "NOT_COMPARABLE";
  if (!report.complete) return "INCOMPLETE";
  // The speed of a build of which nothing was shown to be right is worth nothing.
  if (report.gate)
    return summary.statuses.at(Status::kPass) == 0 ? std::string("INCOMPLETE") : Decide(*report.gate).verdict;
  // A row that has no speed because the device was slowed down may have one when it is timed again.
  if (bench([](const ReportBenchmark& row) { return row.status == Status::kUnstable; })) return "INCONCLUSIVE";
  // Nothing ran where it was to run: in all, or on one of the devices.
  const bool ran =
      !ran_on.empty() && std::all_of(ran_on.begin(), ran_on.end(), [](const auto& on) { return on.second; });
  // A run of benchmarks is one of rows; its cases only say whether they may be timed.
  if (report.benchmarks.empty() ? !ran || report.kind == "bench" : !bench(timed)) return "INCOMPLETE";
  if (bench([&](const ReportBenchmark& row) { return timed(row) && row.parity == Verdict::kVoid; }))
    return "INCONCLUSIVE";
  return "PASS";
}

bool SameSide(const Judgement& a, const Judgement& b) {
  return VerdictOf(a.value, a.bound) == VerdictOf(b.value, b.bound);
}

void Write(Judgement* judgement) {
  const Judgement exact = *judgement;
  judgement->value = Rounded(exact.value, kJudgementDigits);
  judgement->bound.soft = Rounded(exact.bound.soft, kJudgementDigits);
  judgement->bound.hard = Rounded(exact.bound.hard, kJudgementDigits);
  if (!SameSide(exact, *judgement)) *judgement = exact;
  judgement->soft_probability = 0;
  if (!IsTelling(*judgement)) {
    judgement->worst = {};
    judgement->detail.clear();
  }
}

void Write(ReportCase* item) {
  item->duration_s = Rounded(item->duration_s, kDurationDigits);
  if (item->status == Status::kPass || item->status == Status::kSkip) item->replay.clear();
  for (Judgement& judgement : item->judgements) Write(&judgement);
}

void Write(DeviceActivity* activity) {
  for (Spread* spread :
       {&activity->sm_clock_mhz, &activity->memory_clock_mhz, &activity->power_w, &activity->temperature_c})
    for (double* value : {&spread->min, &spread->median, &spread->max}) *value = Rounded(*value, kSampleDigits);
}

void Write(ReportBenchmark* row) {
  for (TimedSeries& series : row->series) {
    for (double& seconds : series.seconds) seconds = Rounded(seconds, kSampleDigits);
    Write(&series.activity);
  }
  row->floor_s = Rounded(row->floor_s, kJudgementDigits);
  for (double* value : {&row->bytes, &row->flops, &row->work}) *value = Rounded(*value, kWorkDigits);
}

std::vector<std::string>& SkipsOf(const std::string& reason, ReportSummary* summary) {
  auto& skips = summary->skips;
  auto group = std::find_if(skips.begin(), skips.end(), [&](const auto& known) { return known.first == reason; });
  if (group == skips.end()) group = skips.insert(group, {reason, {}});
  return group->second;
}

}  // namespace

bool IsTelling(const Judgement& judgement) {
  return judgement.verdict != Verdict::kMatch || !(Headroom(judgement) < kTellingHeadroom);
}

const Judgement* Worst(const ReportCase& item) {
  const Judgement* worst = nullptr;
  for (const Judgement& judgement : item.judgements)
    if (worst == nullptr || IsWorse(judgement, *worst)) worst = &judgement;
  return worst;
}

Verdict CaseVerdict(const ReportCase& item) {
  const Judgement* const worst = Worst(item);
  return worst == nullptr ? Verdict::kVoid : worst->verdict;
}

CaseTally::CaseTally() {
  for (const Status status : kStatuses) summary_.statuses[status] = 0;
  for (const Verdict verdict : kVerdicts) summary_.verdicts[verdict] = 0;
}

void CaseTally::Add(const ReportCase& item) {
  ++summary_.statuses.at(item.status);
  ++summary_.verdicts.at(CaseVerdict(item));
  summary_.argmax.judged += item.argmax.judged;
  summary_.argmax.rows += item.argmax.rows;
  if (item.status == Status::kSkip) SkipsOf(item.reason, &summary_).push_back(item.id());
  ran_on_[item.axes.Text("device")] |= item.status != Status::kSkip;
}

void CaseTally::Add(const CaseTally& behind) {
  for (const auto& [status, count] : behind.summary_.statuses) summary_.statuses[status] += count;
  for (const auto& [verdict, count] : behind.summary_.verdicts) summary_.verdicts[verdict] += count;
  summary_.argmax.judged += behind.summary_.argmax.judged;
  summary_.argmax.rows += behind.summary_.argmax.rows;
  for (const auto& [reason, ids] : behind.summary_.skips) {
    std::vector<std::string>& known = SkipsOf(reason, &summary_);
    known.insert(known.end(), ids.begin(), ids.end());
  }
  for (const auto& [device, ran] : behind.ran_on_) ran_on_[device] |= ran;
}

std::int64_t CaseTally::cases() const {
  std::int64_t sum = 0;
  for (const auto& [status, count] : summary_.statuses) sum += count;
  return sum;
}

ReportSummary CaseTally::Summarise(const Report& rest) const {
  ReportSummary summary = summary_;
  for (const ReportBenchmark& row : rest.benchmarks)
    if (row.status == Status::kSkip) SkipsOf(row.reason, &summary).push_back(row.id());
  summary.verdict = RunVerdict(rest, summary, ran_on_);
  return summary;
}

ReportSummary Summarise(const Report& report) {
  CaseTally tally;
  for (const ReportCase& item : report.cases) tally.Add(item);
  return tally.Summarise(report);
}

int ExitCode(std::string_view run_verdict) {
  if (run_verdict == "PASS") return 0;
  if (run_verdict == "FAIL" || run_verdict == "REGRESSION") return 1;
  if (run_verdict == "INCONCLUSIVE") return 3;
  if (run_verdict == "INCOMPLETE") return 4;
  if (run_verdict == "NOT_COMPARABLE") return 5;
  throw ReportError(fmt::format(
      "run verdict '{}': expected PASS, FAIL, REGRESSION, INCONCLUSIVE, INCOMPLETE or NOT_COMPARABLE", run_verdict));
}

ReportCase AsWritten(ReportCase item) {
  Write(&item);
  return item;
}

Report AsWritten(Report report) {
  report.duration_s = Rounded(report.duration_s, kDurationDigits);
  for (HardwareLimits& limits : report.limits)
    for (double* value : {&limits.copy_bytes_per_s, &limits.read_bytes_per_s, &limits.gemm_flops_per_s})
      *value = Rounded(*value, kJudgementDigits);
  for (ReportCase& item : report.cases) Write(&item);
  for (ReportBenchmark& row : report.benchmarks) Write(&row);
  return report;
}

}  // namespace assay
