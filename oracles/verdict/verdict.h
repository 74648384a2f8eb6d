// Verdicts, and the one rule that turns a measured error and its bounds into one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "oracles/verdict/place.h"
#include "oracles/verdict/shared_text.h"

namespace assay {

// In order of severity. kVoid: the comparison did not happen or proves nothing (no device, path not engaged, empty
// selection); never a pass.
enum class Verdict : std::uint8_t {
  kMatch,    // within the tier's tolerance
  kDrift,    // outside the calibrated quantile, inside the hard bound: gated by the budget of its metric
  kTieFlip,  // argmax differs where the reference's own gap is provably within the error bound: gated by a budget
  kVoid,
  kWrong,
};
inline constexpr Verdict kVerdicts[] = {Verdict::kMatch, Verdict::kDrift, Verdict::kTieFlip, Verdict::kVoid,
                                        Verdict::kWrong};
std::string_view Name(Verdict verdict);                         // "MATCH", "DRIFT", "TIE_FLIP", "VOID", "WRONG"
std::optional<Verdict> VerdictFromName(std::string_view name);  // nothing for other names
inline Verdict Worse(Verdict a, Verdict b) { return a < b ? b : a; }
// Whether a case with such a judgement may pass. Soft verdicts may: their number is judged by a budget (Tally).
inline bool Passes(Verdict verdict) { return verdict != Verdict::kVoid && verdict != Verdict::kWrong; }
inline bool IsSoft(Verdict verdict) { return verdict == Verdict::kDrift || verdict == Verdict::kTieFlip; }

// What a value is judged by: up to `soft` is MATCH, up to `hard` the soft verdict of its metric, beyond WRONG.
struct Bound {
  double soft = 0;
  double hard = 0;  // >= soft
  SharedText from;  // where the numbers come from: "stated for float32: 0.0002", "twin q999 x 2: ..."
  static Bound Fixed(double bound, SharedText from) { return {bound, bound, std::move(from)}; }
  static Bound Exact() { return {0, 0, "exact"}; }
  friend bool operator==(const Bound&, const Bound&) = default;
};

// One comparison's outcome, or, out of a Tally, the worst of all comparisons of its metric in a case.
struct Judgement {
  Verdict verdict = Verdict::kVoid;
  std::string metric{};  // "max_abs_logit_raw", "ulp", "answers"
  double value = 0;      // the error measured
  Bound bound{};
  std::string fault{};   // why it is WRONG or VOID whatever the value: "not finite", "the answer of neighbour 2"
  Place worst{};         // where; empty when equal
  std::string detail{};  // for a person: expected and found
  // The probability that a right system gets a soft verdict here: what the budget of the metric expects. 0: none may.
  double soft_probability = 0;
  std::int64_t comparisons = 1;          // of this metric in the case
  std::optional<Place> first_outside{};  // of the first comparison that was not MATCH
};

// MATCH, `soft_verdict` or WRONG by where `value` lies; a value that is not a number is WRONG.
Verdict VerdictOf(double value, const Bound& bound, Verdict soft_verdict = Verdict::kDrift);
// The judgement of a value at its bounds: the only place where a verdict comes from.
Judgement Judged(std::string metric, double value, Bound bound, Place where, std::string detail = "",
                 Verdict soft_verdict = Verdict::kDrift);
// Nothing was compared, and why.
Judgement Void(std::string metric, Bound bound, std::string fault);

// Error used over error allowed: 1 is the edge, 0 equality, infinity when nothing is allowed and something was used.
// Of a judgement: by its soft bound, or by the hard one where nothing is allowed softly (ties).
double Headroom(double value, double allowed);
double Headroom(const Judgement& judgement);
// By verdict, then by headroom; a headroom that is no number is larger than any.
bool IsWorse(const Judgement& a, const Judgement& b);

}  // namespace assay
