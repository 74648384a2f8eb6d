#include "reports/gate/rule.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

#include "reports/gate/statistics.h"

namespace assay {
namespace {

// Of the minimum detectable effect: 2.5 of 100 are left to the last look and as many to a pass at an earlier one.
constexpr double kPower = 0.975;

constexpr std::size_t kMostExchangedRounds = 10;
constexpr std::uint64_t kExchangeSeed = 1;

// Ratios of the rounds that count, with the sides of those exchanged whose bit is set.
std::vector<double> Exchanged(const std::vector<double>& rounds, std::uint64_t exchanged) {
  std::vector<double> ratios;
  for (std::size_t r = 0; r < rounds.size(); ++r)
    if (!std::isnan(rounds[r])) ratios.push_back((exchanged >> r & 1) != 0 ? -rounds[r] : rounds[r]);
  return ratios;
}

double Fraction(double log_ratio) { return std::expm1(log_ratio); }

// What the numbers say, without a verdict.
CellDecision Described(const std::vector<double>& ratios, double threshold, const GateRule& rule) {
  CellDecision decision;
  const double estimate = HodgesLehmann(ratios), scale = HuberScale(ratios, estimate);
  const double freedom = static_cast<double>(ratios.size()) - 1;
  const double reach = StudentQuantile(rule.confidence, freedom) * EstimateScale(scale, ratios.size());
  decision.rounds = static_cast<int>(ratios.size());
  decision.threshold = threshold;
  decision.estimate = Fraction(estimate);
  decision.low = Fraction(estimate - reach);
  decision.high = Fraction(estimate + reach);
  decision.spread = scale;
  decision.faster = decision.high < 0 && estimate <= -std::log1p(rule.MinimumEffect(threshold));
  return decision;
}

bool Passes(const CellDecision& decision, const GateRule& rule) {
  return decision.high < decision.threshold && decision.estimate < rule.PassEstimate(decision.threshold);
}

double LevelOf(std::size_t family, const GateRule& rule) {
  return rule.alpha / static_cast<double>(std::max<std::size_t>(family, 1) * rule.looks.size());
}

}  // namespace

int MostSpoilt(int rounds) { return rounds / 3; }

void LimitRounds(int rounds, GateRule* rule) {
  std::erase_if(rule->looks, [&](int look) { return look > rounds; });
  if (rule->looks.empty()) rule->looks = {rounds};
}

std::string_view RuleProblem(const GateRule& rule) {
  if (!(rule.alpha > 0 && rule.alpha < 0.5)) return "alpha: expected more than 0 and less than 0.5";
  if (!(rule.threshold >= kLeastThreshold && rule.threshold <= 1)) return "threshold: expected 1 to 100 percent";
  if (!(rule.confidence > 0.5 && rule.confidence < 1)) return "confidence: expected more than 0.5 and less than 1";
  if (rule.screen_rounds < 4 || rule.screen_rounds > 24) return "screen_rounds: expected 4 to 24";
  if (rule.looks.empty()) return "looks: expected at least one";
  if (rule.looks.front() < 4 || rule.looks.back() > 40) return "looks: expected 4 to 40 rounds";
  if (std::adjacent_find(rule.looks.begin(), rule.looks.end(), std::greater_equal<>()) != rule.looks.end())
    return "looks: expected to ascend";
  return "";
}

std::string_view Name(CellVerdict verdict) {
  switch (verdict) {
    case CellVerdict::kPass:
      return "pass";
    case CellVerdict::kRegression:
      return "regression";
    case CellVerdict::kInconclusive:
      return "inconclusive";
    case CellVerdict::kUnstable:
      return "unstable";
    case CellVerdict::kMissing:
      break;
  }
  return "missing";
}

std::optional<CellVerdict> CellVerdictFromName(std::string_view name) {
  const auto found = std::find_if(std::begin(kCellVerdicts), std::end(kCellVerdicts),
                                  [&](CellVerdict verdict) { return Name(verdict) == name; });
  return found == std::end(kCellVerdicts) ? std::nullopt : std::optional(*found);
}

double ThresholdOf(const std::vector<double>& screen, const GateRule& rule) {
  if (!rule.automatic || screen.size() < 2) return rule.threshold;
  const double spread = HuberScale(screen, HodgesLehmann(screen));
  return std::clamp(kSpreadsOfThreshold * spread, kLeastThreshold, rule.threshold);
}

CellDecision Screen(const std::vector<double>& ratios, const GateRule& rule) {
  CellDecision decision = Described(ratios, ThresholdOf(ratios, rule), rule);
  decision.detectable = DetectableEffect(decision.spread, decision.threshold, 1, rule);
  if (Passes(decision, rule)) decision.verdict = CellVerdict::kPass;
  return decision;
}

CellDecision Confirm(const std::vector<double>& fresh, double threshold, std::size_t family, const GateRule& rule) {
  CellDecision decision;
  decision.threshold = threshold;
  decision.level = LevelOf(family, rule);
  for (const int look : rule.looks) {
    if (look > static_cast<int>(fresh.size())) break;
    const std::vector<double> seen(fresh.begin(), fresh.begin() + look);
    decision = Described(seen, threshold, rule);
    decision.level = LevelOf(family, rule);
    decision.detectable = DetectableEffect(decision.spread, threshold, family, rule);
    if (decision.estimate >= rule.MinimumEffect(threshold)) {
      decision.p = SignFlipP(seen);
      if (decision.p <= decision.level) decision.verdict = CellVerdict::kRegression;
    } else if (Passes(decision, rule)) {
      decision.verdict = CellVerdict::kPass;
    }
    if (decision.verdict) return decision;
  }
  if (static_cast<int>(fresh.size()) >= rule.looks.back()) decision.verdict = CellVerdict::kInconclusive;
  return decision;
}

double DetectableEffect(double spread, double threshold, std::size_t family, const GateRule& rule) {
  const int rounds = rule.looks.back();
  const double noise = EstimateScale(spread, static_cast<std::size_t>(rounds)), freedom = rounds - 1;
  const double critical = StudentQuantile(1 - LevelOf(family, rule), freedom) * noise;
  return Fraction(std::max(critical, std::log1p(rule.MinimumEffect(threshold))) +
                  StudentQuantile(kPower, freedom) * noise);
}

Symmetry SymmetryOf(const std::vector<std::vector<double>>& screens, const GateRule& rule) {
  Symmetry symmetry;
  std::size_t rounds = 0;
  std::vector<double> thresholds;
  for (const std::vector<double>& screen : screens) {
    rounds = std::max(rounds, screen.size());
    const std::vector<double> ratios = Exchanged(screen, 0);
    thresholds.push_back(ThresholdOf(ratios, rule));
    if (ratios.empty()) continue;
    const double beyond = std::log1p(rule.PassEstimate(thresholds.back())), estimate = HodgesLehmann(ratios);
    if (estimate >= beyond) ++symmetry.slower;
    if (estimate <= -beyond) ++symmetry.faster;
  }
  const auto moved = [&](std::uint64_t exchanged) {
    double sum = 0;
    for (std::size_t i = 0; i < screens.size(); ++i) {
      const std::vector<double> ratios = Exchanged(screens[i], exchanged);
      // Means: a robust estimate does not move when one round is exchanged.
      const double all = std::accumulate(ratios.begin(), ratios.end(), 0.0);
      if (!ratios.empty()) sum += all / static_cast<double>(ratios.size()) / thresholds[i];
    }
    return std::abs(sum);
  };
  const double observed = moved(0);
  const std::uint64_t exchanges = std::uint64_t{1} << std::min(rounds, kMostExchangedRounds);
  std::uint64_t as_far = 1;  // the one that was observed
  for (std::uint64_t i = 1; i < exchanges; ++i) {
    std::uint64_t exchanged = i;
    if (rounds > kMostExchangedRounds) {
      exchanged = 0;
      for (std::size_t r = 0; r < rounds; ++r) exchanged |= std::uint64_t{Toss(kExchangeSeed, i * rounds + r)} << r;
    }
    // Sums in another order differ in their last bits.
    as_far += moved(exchanged) >= observed * (1 - 1e-12);
  }
  symmetry.p = static_cast<double>(as_far) / static_cast<double>(exchanges);
  return symmetry;
}

}  // namespace assay
