#include "reports/render/gate_cells.h"

#include <fmt/core.h>

#include <algorithm>

namespace assay {
namespace {

int SeverityOf(CellVerdict verdict) {
  switch (verdict) {
    case CellVerdict::kMissing:
      return 4;
    case CellVerdict::kRegression:
      return 3;
    case CellVerdict::kUnstable:
      return 2;
    case CellVerdict::kInconclusive:
      return 1;
    case CellVerdict::kPass:
      break;
  }
  return 0;
}

std::string CauseOf(const GateCell& cell, const CellDecision& decision) {
  if (!cell.missing.empty()) return cell.missing;
  std::string cause = fmt::format("{} ({} to {}) in {}+{} rounds, limit {}", Change(decision.estimate),
                                  Change(decision.low), Change(decision.high), RatiosOf(cell.screen).size(),
                                  RatiosOf(cell.fresh).size(), Share(decision.threshold));
  if (decision.p < 1) cause += fmt::format(", p {:.2g}", decision.p);
  if (const int spoilt = SpoiltOf(cell.screen) + SpoiltOf(cell.fresh); spoilt > 0)
    cause += fmt::format(", {} pairs spoilt", spoilt);
  return cause;
}

}  // namespace

std::vector<CellRow> CellRows(const GateRecord& record, const GateDecisions& decisions) {
  std::vector<CellRow> rows;
  for (std::size_t i = 0; i < record.cells.size(); ++i) {
    const GateCell& cell = record.cells[i];
    const CellDecision& decision = decisions.cells[i];
    rows.push_back({&cell, decision,
                    std::string(Name(*decision.verdict)) + (decision.faster ? ", faster" : "") +
                        (cell.missing.empty() ? "" : ": " + cell.missing),
                    CauseOf(cell, decision)});
  }
  std::stable_sort(rows.begin(), rows.end(), [](const CellRow& a, const CellRow& b) {
    const int left = SeverityOf(*a.decision.verdict), right = SeverityOf(*b.decision.verdict);
    return left != right ? left > right : a.decision.estimate > b.decision.estimate;
  });
  return rows;
}

Status StatusOf(CellVerdict verdict) {
  if (verdict == CellVerdict::kPass) return Status::kPass;
  return verdict == CellVerdict::kRegression ? Status::kFail : Status::kError;
}

std::string Change(double fraction) { return fmt::format("{:+.2f} %", 100 * fraction); }
std::string Share(double fraction) { return fmt::format("{:.2f} %", 100 * fraction); }

}  // namespace assay
