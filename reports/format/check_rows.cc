#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "reports/format/activity.h"
#include "reports/format/check_parts.h"

namespace assay {
namespace {

// What is left when numbers are rounded to 6 digits before and after they are divided.
constexpr double kRounding = 1e-5;

bool Near(double a, double b) { return std::abs(a - b) <= kRounding * std::max(std::abs(a), std::abs(b)); }

using CasesById = std::map<std::string, const ReportCase*>;

// A row that passes has samples and figures that follow from them; any other has no figures.
class RowCheck {
 public:
  RowCheck(const ReportBenchmark& row, const Report& report, const CasesById& cases, Problems* problems)
      : row_(row), id_(row.id()), report_(report), cases_(cases), problems_(problems) {}

  void Run() {
    const bool passes = row_.status == Status::kPass;
    if (passes && !row_.reason.empty()) Problem("passes and gives a reason");
    if (!passes && row_.reason.empty()) Problem("does not pass and gives no reason");
    if (passes && !Passes(row_.parity)) Problem("passes without parity");
    Samples(passes);
    Covering(passes);
    if (!Near(row_.floor_s, FloorOf(row_, report_.limits)))
      Problem(fmt::format("floor_s is {:g}, but bytes, flops and limits say {:g}", row_.floor_s,
                          FloorOf(row_, report_.limits)));
    if (passes && !row_.series.empty() && LimitsOf(row_, report_.limits) == nullptr)
      Problem("was timed, but no limits of its dtype were measured");
  }

 private:
  void Problem(const std::string& what) { problems_->push_back(fmt::format("benchmark {}: {}", id_, what)); }

  void Samples(bool passes) {
    const bool timed = passes || row_.status == Status::kUnstable;
    bool stable = true;
    if (timed && row_.series.empty()) Problem(fmt::format("status {} without samples", Name(row_.status)));
    if (!timed && !row_.series.empty()) Problem(fmt::format("has samples, but its status is {}", Name(row_.status)));
    for (const TimedSeries& series : row_.series) {
      if (series.seconds.empty()) Problem("has a series without samples");
      if (std::any_of(series.seconds.begin(), series.seconds.end(), [](double s) { return !(s > 0); }))
        Problem("has a sample that took no time");
      Ordered(series.activity);
      std::string why;
      if (StableActivity(series.activity, &why)) continue;
      stable = false;
      if (passes) Problem("passes, but was " + why);
    }
    if (row_.status == Status::kUnstable && stable) Problem("is unstable, but its activity does not say why");
  }

  void Ordered(const DeviceActivity& activity) {
    for (const Spread& spread :
         {activity.sm_clock_mhz, activity.memory_clock_mhz, activity.power_w, activity.temperature_c}) {
      if (!(spread.min <= spread.median && spread.median <= spread.max))
        Problem("has an activity whose median is not between its least and its largest value");
    }
  }

  void Covering(bool passes) {
    Verdict derived = row_.covering_cases.empty() ? Verdict::kVoid : Verdict::kMatch;
    for (const std::string& id : row_.covering_cases) {
      const auto found = cases_.find(id);
      if (found == cases_.end()) {
        Problem(fmt::format("is covered by {}, which is not in the report", id));
        derived = Worse(derived, Verdict::kVoid);
        continue;
      }
      derived = Worse(derived, CaseVerdict(*found->second));
      if (passes && found->second->status != Status::kPass)
        Problem(fmt::format("passes, but {}, which covers it, has status {}", id, Name(found->second->status)));
    }
    // What was timed may turn out wrong although the cases that cover it passed.
    const bool worse = !passes && row_.parity == Worse(row_.parity, derived);
    if (row_.parity != derived && !worse)
      Problem(fmt::format("parity is {}, but the covering cases say {}", Name(row_.parity), Name(derived)));
  }

  const ReportBenchmark& row_;
  const std::string id_;
  const Report& report_;
  const CasesById& cases_;
  Problems* const problems_;
};

}  // namespace

void CheckRows(const Report& report, Problems* problems) {
  std::set<std::string> named;
  for (const ReportBenchmark& row : report.benchmarks) {
    named.insert(row.id());
    named.insert(row.covering_cases.begin(), row.covering_cases.end());
  }
  CasesById cases;  // those that rows name
  if (!named.empty())
    for (const ReportCase& item : report.cases)
      if (std::string id = item.id(); named.contains(id)) cases.emplace(std::move(id), &item);
  std::set<std::string> seen;
  for (const ReportBenchmark& row : report.benchmarks) {
    if (!seen.insert(row.id()).second || cases.count(row.id()) != 0)
      problems->push_back(fmt::format("benchmark {}: reported twice", row.id()));
    RowCheck(row, report, cases, problems).Run();
  }
}

void CheckEnvironment(const Report& report, Problems* problems) {
  const bool timed = std::any_of(report.benchmarks.begin(), report.benchmarks.end(),
                                 [](const ReportBenchmark& row) { return row.status == Status::kPass; });
  for (const GpuInfo& gpu : report.environment.gpus) {
    if (!gpu.ecc_before || !gpu.ecc_after) continue;
    const EccCounts &before = *gpu.ecc_before, &after = *gpu.ecc_after;
    if (after.corrected < before.corrected || after.uncorrected < before.uncorrected)
      problems->push_back(fmt::format("gpu {}: fewer memory errors after the run than before it", gpu.index));
    if (timed && after.uncorrected > before.uncorrected)
      problems->push_back(
          fmt::format("gpu {}: a benchmark passes although memory errors were not corrected", gpu.index));
  }
}

}  // namespace assay
