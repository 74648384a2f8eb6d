#include "ci/assay/run_table.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "ci/assay/terminal.h"

namespace assay {
namespace {

struct SuiteTotals {
  std::map<Status, int> statuses;
  Verdict verdict = Verdict::kMatch;  // the worst of the cases that ran
  bool ran = false;
  ArgmaxRows argmax;
  std::optional<double> headroom;  // the largest of any comparison
  double seconds = 0;

  void Add(const ReportCase& item) {
    ++statuses[item.status];
    seconds += item.duration_s;
    argmax.judged += item.argmax.judged;
    argmax.rows += item.argmax.rows;
    if (item.status == Status::kSkip) return;
    ran = true;
    verdict = Worse(verdict, CaseVerdict(item));
    for (const Judgement& judgement : item.judgements) {
      const double used = Headroom(judgement);
      headroom = std::max(headroom.value_or(0), std::isnan(used) ? std::numeric_limits<double>::infinity() : used);
    }
  }
};

// "412 of 1024"; "-" where no argmax could be judged.
std::string Judged(const ArgmaxRows& argmax) {
  return argmax.rows == 0 ? "-" : fmt::format("{} of {}", argmax.judged, argmax.rows);
}

}  // namespace

void PrintRunTable(const Report& report) {
  std::vector<std::pair<std::string, std::string>> order;
  std::map<std::pair<std::string, std::string>, SuiteTotals> totals;
  for (const ReportCase& item : report.cases) {
    const std::pair key(item.suite, item.axes.Text("device"));
    if (!totals.contains(key)) order.push_back(key);
    totals[key].Add(item);
  }
  Table table("<<>>>>><>>>", {"suite", "device", "cases", "pass", "fail", "error", "skip", "verdict", "argmax judged",
                              "headroom", "time"});
  for (const auto& key : order) {
    SuiteTotals& total = totals[key];
    int cases = 0;
    for (const auto& [status, count] : total.statuses) cases += count;
    const auto count = [&](Status status) { return std::to_string(total.statuses[status]); };
    table.Add({key.first, key.second, std::to_string(cases), count(Status::kPass), count(Status::kFail),
               count(Status::kError), count(Status::kSkip), std::string(Name(total.ran ? total.verdict : Verdict::kVoid)),
               Judged(total.argmax),
               total.headroom ? fmt::format("{:.3g}", *total.headroom) : "-", fmt::format("{:.1f} s", total.seconds)});
  }
  table.Print(stdout);
}

}  // namespace assay
