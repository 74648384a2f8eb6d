#include "reports/policy/parity.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "reports/gate/statistics.h"

namespace assay {
namespace {

using CasesById = std::map<std::string, const ReportCase*>;

CasesById ById(const Report& report) {
  CasesById cases;
  for (const ReportCase& item : report.cases) cases.emplace(item.id(), &item);
  return cases;
}

void CompareStatus(const std::string& id, const ReportCase& before, const ReportCase& after, ParityChanges* changes) {
  const bool passed = before.status == Status::kPass, passes = after.status == Status::kPass;
  if (!passed && passes) changes->mended.push_back(fmt::format("{}: was {}", id, Name(before.status)));
  if (passes || (!passed && before.status == after.status)) return;
  const std::string line =
      fmt::format("{}: was {}, is {}: {}", id, Name(before.status), Name(after.status), after.reason);
  // What failed and is skipped now has lost a verdict too.
  (after.status == Status::kSkip ? changes->lost : changes->broken).push_back(line);
}

void CompareCoverage(const std::string& id, const ReportCase& before, const ReportCase& after, ParityChanges* changes) {
  if (before.argmax.rows == 0) return;
  const double was = static_cast<double>(before.argmax.judged) / static_cast<double>(before.argmax.rows);
  const double is =
      after.argmax.rows == 0 ? 0 : static_cast<double>(after.argmax.judged) / static_cast<double>(after.argmax.rows);
  if (is < was)
    changes->coverage.push_back(fmt::format("{}: argmax judged on {}/{} rows, was {}/{}", id, after.argmax.judged,
                                            after.argmax.rows, before.argmax.judged, before.argmax.rows));
}

struct Rise {
  std::string id;
  double before = 0, after = 0;
};

// Rises of the headrooms of one metric of one kind of case.
void CompareRises(const std::string& metric, const std::vector<Rise>& rises, ParityChanges* changes) {
  std::vector<double> sizes;
  for (const Rise& rise : rises) sizes.push_back(rise.after - rise.before);
  const double center = HodgesLehmann(sizes), spread = sizes.size() > 1 ? HuberScale(sizes, center) : 0;
  const double beyond = std::max(center, 0.0) > kLeastCreep ? 0 : std::max(center, 0.0) + kSpreadsOfCreep * spread;
  for (const Rise& rise : rises)
    if (const double by = rise.after - rise.before; by > std::max(kLeastCreep, beyond))
      changes->crept.push_back(
          fmt::format("{}: headroom of {} {:.3f}, was {:.3f}", rise.id, metric, rise.after, rise.before));
}

void CompareSpeeds(const Report& older, const Report& newer, ParityChanges* changes) {
  if (ComparabilityKey(older.environment) != ComparabilityKey(newer.environment)) return;
  for (const ReportBenchmark& before : older.benchmarks)
    for (const ReportBenchmark& after : newer.benchmarks) {
      if (before.id() != after.id()) continue;
      const double was = FiguresOf(before, older.limits).p50_s, is = FiguresOf(after, newer.limits).p50_s;
      if (was > 0 && is > was * (1 + kWarnedSlowdown))
        changes->slower.push_back(
            fmt::format("{}: {:.4g} s, was {:.4g} s; not paired: gate the builds to know", before.id(), is, was));
    }
}

}  // namespace

void SetVerdict(ParityChanges* changes) {
  if (!changes->broken.empty() || !changes->crept.empty() || !changes->coverage.empty())
    changes->verdict = "FAIL";
  else
    changes->verdict = changes->lost.empty() && changes->compared > 0 ? "PASS" : "INCOMPLETE";
}

ParityChanges CompareParity(const Report& older, const Report& newer) {
  ParityChanges changes;
  const CasesById before = ById(older), after = ById(newer);
  std::map<std::string, std::vector<Rise>> rises;
  std::size_t compared = 0;
  for (const auto& [id, was] : before) {
    const auto found = after.find(id);
    if (found == after.end()) {
      changes.lost.push_back(fmt::format("{}: vanished; was {}", id, Name(was->status)));
      continue;
    }
    const ReportCase& is = *found->second;
    CompareStatus(id, *was, is, &changes);
    if (was->status != Status::kPass || is.status != Status::kPass) continue;
    ++compared;
    CompareCoverage(id, *was, is, &changes);
    for (const Judgement& old_one : was->judgements)
      for (const Judgement& new_one : is.judgements)
        if (old_one.metric == new_one.metric && std::isfinite(Headroom(old_one)) && std::isfinite(Headroom(new_one)))
          rises[fmt::format("{}.{} {}", is.suite, is.name, is.axes.Text("dtype")) + "\n" + new_one.metric].push_back(
              {id, Headroom(old_one), Headroom(new_one)});
  }
  for (const auto& [group, of_group] : rises) CompareRises(group.substr(group.find('\n') + 1), of_group, &changes);
  for (const auto& [id, item] : after)
    if (before.count(id) == 0) {
      changes.added.push_back(fmt::format("{}: {}", id, Name(item->status)));
      if (item->status == Status::kFail || item->status == Status::kError)
        changes.broken.push_back(fmt::format("{}: new, and is {}: {}", id, Name(item->status), item->reason));
    }
  for (const std::string& problem : newer.problems)
    changes.lost.push_back("the newer report is not complete: " + problem);
  if (!newer.complete && newer.problems.empty()) changes.lost.emplace_back("the newer report is not complete");
  CompareSpeeds(older, newer, &changes);
  changes.compared = compared;
  SetVerdict(&changes);
  return changes;
}

}  // namespace assay
