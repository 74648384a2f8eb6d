// Verdicts of a comparison and how they combine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace assay {

// In order of severity. kVoid: the comparison did not happen or proves nothing (no device, path not engaged, empty
// selection); never a pass.
enum class Verdict : std::uint8_t {
  kMatch,    // within the tier's tolerance
  kDrift,    // outside the calibrated quantile, inside the hard bound: counted and gated by budget
  kTieFlip,  // argmax differs where the reference's own gap is provably within the error bound: counted
  kVoid,
  kWrong,
};
std::string_view Name(Verdict verdict);  // "MATCH", "DRIFT", "TIE_FLIP", "VOID", "WRONG"
inline Verdict Worse(Verdict a, Verdict b) { return a < b ? b : a; }

// One comparison's outcome. `headroom` is error used / error allowed: 1 is the edge, 0 equality.
struct Judgement {
  Verdict verdict = Verdict::kVoid;
  double value = 0;  // the error measured
  double bound = 0;  // the error allowed
  double headroom = 0;
  std::string metric{};      // "max_abs_logit", "ulp", "answers"
  std::string worst{};       // where: "row 3 step 7 token 118", empty when equal
  std::string detail{};      // for a person: expected and found
  std::string bound_from{};  // where the bound comes from: "stated for float32: 0.0002", "twin q999 x 2"
};
// The worse of two (by verdict, then by headroom).
const Judgement& Worse(const Judgement& a, const Judgement& b);

}  // namespace assay
