#include "reports/format/gate.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace assay {
namespace {

bool ScreenPassed(const GateCell& cell, const GateRule& rule) {
  return Screen(RatiosOf(cell.screen), rule).verdict == CellVerdict::kPass;
}

constexpr double kDoesNotCount = std::numeric_limits<double>::quiet_NaN();

double RatioOf(const GateRound& round) { return std::log(round.candidate / round.baseline); }

bool Screened(const GateCell& cell, const GateRule& rule) {
  return cell.missing.empty() && static_cast<int>(RatiosOf(cell.screen).size()) >= rule.screen_rounds;
}

bool TooManySpoilt(const std::vector<GateRound>& rounds, int wanted) { return SpoiltOf(rounds) > MostSpoilt(wanted); }

std::string VerdictOf(const GateRecord& record, const std::vector<CellDecision>& cells) {
  const auto any = [&](CellVerdict verdict) {
    return std::any_of(cells.begin(), cells.end(), [&](const CellDecision& cell) { return cell.verdict == verdict; });
  };
  if (!record.not_comparable.empty()) return "NOT_COMPARABLE";
  if (!record.failures.empty()) return "FAIL";
  if (any(CellVerdict::kRegression)) return "REGRESSION";
  if (cells.empty() || any(CellVerdict::kMissing)) return "INCOMPLETE";
  return any(CellVerdict::kInconclusive) || any(CellVerdict::kUnstable) ? "INCONCLUSIVE" : "PASS";
}

}  // namespace

std::vector<double> RatiosOf(const std::vector<GateRound>& rounds) {
  std::vector<double> ratios;
  for (const GateRound& round : rounds)
    if (round.spoilt.empty()) ratios.push_back(RatioOf(round));
  return ratios;
}

int SpoiltOf(const std::vector<GateRound>& rounds) {
  return static_cast<int>(
      std::count_if(rounds.begin(), rounds.end(), [](const GateRound& round) { return !round.spoilt.empty(); }));
}

std::size_t FamilyOf(const GateRecord& record) {
  return static_cast<std::size_t>(std::count_if(record.cells.begin(), record.cells.end(), [&](const GateCell& cell) {
    return Screened(cell, record.rule) && !ScreenPassed(cell, record.rule);
  }));
}

CellDecision Decide(const GateCell& cell, std::size_t family, const GateRule& rule) {
  CellDecision decision;
  decision.threshold = rule.threshold;
  if (!cell.missing.empty()) {
    decision.verdict = CellVerdict::kMissing;
    return decision;
  }
  if (!Screened(cell, rule)) {
    decision.verdict =
        TooManySpoilt(cell.screen, rule.screen_rounds) ? CellVerdict::kUnstable : CellVerdict::kInconclusive;
    return decision;
  }
  const CellDecision screen = Screen(RatiosOf(cell.screen), rule);
  if (screen.verdict) return screen;
  decision = Confirm(RatiosOf(cell.fresh), screen.threshold, family, rule);
  if (decision.rounds == 0) {  // no look was reached: what is known is the screen's
    const double level = decision.level;
    decision = screen;
    decision.level = level;
  }
  if (!decision.verdict)
    decision.verdict =
        TooManySpoilt(cell.fresh, rule.looks.back()) ? CellVerdict::kUnstable : CellVerdict::kInconclusive;
  return decision;
}

GateDecisions Decide(const GateRecord& record) {
  GateDecisions decisions;
  decisions.family = FamilyOf(record);
  std::vector<std::vector<double>> screens;
  for (const GateCell& cell : record.cells) {
    decisions.cells.push_back(Decide(cell, decisions.family, record.rule));
    if (!Screened(cell, record.rule)) continue;
    std::vector<double>& rounds = screens.emplace_back();
    for (const GateRound& round : cell.screen) rounds.push_back(round.spoilt.empty() ? RatioOf(round) : kDoesNotCount);
  }
  decisions.symmetry = SymmetryOf(screens, record.rule);
  decisions.verdict = VerdictOf(record, decisions.cells);
  return decisions;
}

}  // namespace assay
