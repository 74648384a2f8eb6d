#include "ci/assay/gate_table.h"

#include <fmt/core.h>

#include <algorithm>

#include "ci/assay/terminal.h"
#include "reports/render/gate_cells.h"

namespace assay {
namespace {

std::string ColourOf(CellVerdict verdict) {
  if (verdict == CellVerdict::kPass) return "pass";
  return verdict == CellVerdict::kRegression || verdict == CellVerdict::kMissing ? "fail" : "skip";
}

void PrintCells(const GateRecord& record, const GateDecisions& decisions) {
  Table table("<>>>>>>><", {"cell", "rounds", "spoilt", "slower", "from", "to", "found from", "limit", "verdict"});
  for (const CellRow& row : CellRows(record, decisions)) {
    const GateCell& cell = *row.cell;
    const CellDecision& decision = row.decision;
    const bool known = decision.rounds > 0;
    table.Add({cell.id, fmt::format("{}+{}", RatiosOf(cell.screen).size(), RatiosOf(cell.fresh).size()),
               fmt::format("{}", SpoiltOf(cell.screen) + SpoiltOf(cell.fresh)), known ? Change(decision.estimate) : "-",
               known ? Change(decision.low) : "-", known ? Change(decision.high) : "-",
               known ? Share(decision.detectable) : "-", Share(decision.threshold), row.verdict},
              {"", "", "", "", "", "", "", "", ColourOf(*decision.verdict)});
  }
  table.Print(stdout);
}

}  // namespace

std::string ProgressOf(const GateRecord& record) {
  std::size_t screen = 0, fresh = 0;
  for (const GateCell& cell : record.cells) {
    screen = std::max(screen, cell.screen.size());
    fresh = std::max(fresh, cell.fresh.size());
  }
  if (fresh == 0) return fmt::format("screen {}/{}, {} cells", screen, record.rule.screen_rounds, record.cells.size());
  return fmt::format("confirming {} of {} cells, {}/{}", FamilyOf(record), record.cells.size(), fresh,
                     record.rule.looks.back());
}

void PrintScreen(const GateRecord& record, double seconds_of_round) {
  const std::size_t family = FamilyOf(record), cells = record.cells.size();
  Tell("screen: {} rounds of {:.1f} s; {} of {} cells pass, {} are confirmed on at most {} fresh rounds\n",
       record.rule.screen_rounds, seconds_of_round, cells - family, cells, family, record.rule.looks.back());
  Tell("what is found 95 times of 100 in these rounds, by the spread of one:");
  for (const double spread : {0.003, 0.01, 0.02})
    Tell(" {} from {};", Share(spread), Change(DetectableEffect(spread, record.rule.threshold, family, record.rule)));
  Tell("\n");
  std::fflush(stdout);
}

void PrintGate(const Report& report) {
  const GateRecord& record = *report.gate;
  const GateDecisions decisions = Decide(record);
  for (const ReportCase& item : report.cases)
    if (item.status == Status::kFail || item.status == Status::kError)
      Tell("{}: {}: {}\n", Name(item.status), item.id(), item.reason);
  if (!record.cells.empty()) PrintCells(record, decisions);
  for (const std::string& failure : record.failures) Tell("wrong: {}\n", failure);
  for (const std::string& difference : record.not_comparable) Tell("differs: {}\n", difference);
  for (const std::string& problem : report.problems) Tell("not complete: {}\n", problem);
  const std::string verdict = Summarise(report).verdict;
  Tell("screen: {} cells slower, {} faster (p {:.2g}); coin {}; false regressions in less than {} of runs\n",
       decisions.symmetry.slower, decisions.symmetry.faster, decisions.symmetry.p, record.coin_seed,
       Share(record.rule.alpha));
  if (record.baseline.build.build_id == record.candidate.build.build_id && !record.baseline.build.build_id.empty())
    Tell("both sides are the same build\n");
  Tell("{}: {} cells of {} against {} in {:.1f} s\n", Colorized(verdict, verdict, stdout), record.cells.size(),
       record.candidate.argument, record.baseline.argument, report.duration_s);
}

}  // namespace assay
