#include "oracles/verdict/verdict.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace assay {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double HeadroomRank(const Judgement& judgement) {
  const double headroom = Headroom(judgement);
  return std::isnan(headroom) ? kInfinity : headroom;
}

}  // namespace

std::string Place::ToString() const {
  std::string text = note_;
  for (const auto& [name, value] : coordinates_) text += fmt::format("{}{} {}", text.empty() ? "" : " ", name, value);
  return text;
}

std::string_view Name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kMatch:
      return "MATCH";
    case Verdict::kDrift:
      return "DRIFT";
    case Verdict::kTieFlip:
      return "TIE_FLIP";
    case Verdict::kWrong:
      return "WRONG";
    case Verdict::kVoid:
      break;
  }
  return "VOID";
}

std::optional<Verdict> VerdictFromName(std::string_view name) {
  const auto found =
      std::find_if(std::begin(kVerdicts), std::end(kVerdicts), [&](Verdict v) { return Name(v) == name; });
  return found == std::end(kVerdicts) ? std::nullopt : std::optional(*found);
}

Verdict VerdictOf(double value, const Bound& bound, Verdict soft_verdict) {
  if (value <= bound.soft) return Verdict::kMatch;
  return value <= bound.hard ? soft_verdict : Verdict::kWrong;
}

Judgement Judged(std::string metric, double value, Bound bound, Place where, std::string detail, Verdict soft_verdict) {
  Judgement judgement;
  judgement.verdict = VerdictOf(value, bound, soft_verdict);
  judgement.metric = std::move(metric);
  judgement.value = value;
  judgement.bound = std::move(bound);
  if (value != 0) judgement.worst = std::move(where);
  if (value != 0) judgement.detail = std::move(detail);
  return judgement;
}

Judgement Void(std::string metric, Bound bound, std::string fault) {
  Judgement judgement;
  judgement.metric = std::move(metric);
  judgement.bound = std::move(bound);
  judgement.fault = std::move(fault);
  judgement.comparisons = 0;
  return judgement;
}

double Headroom(double value, double allowed) {
  if (value == 0) return 0;
  return allowed > 0 ? value / allowed : kInfinity;
}

double Headroom(const Judgement& judgement) {
  const Bound& bound = judgement.bound;
  return Headroom(judgement.value, bound.soft > 0 ? bound.soft : bound.hard);
}

bool IsWorse(const Judgement& a, const Judgement& b) {
  return std::pair(a.verdict, HeadroomRank(a)) > std::pair(b.verdict, HeadroomRank(b));
}

}  // namespace assay
