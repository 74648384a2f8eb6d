#include "oracles/compare/verdict.h"

namespace assay {

std::string_view Name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kMatch:
      return "MATCH";
    case Verdict::kDrift:
      return "DRIFT";
    case Verdict::kTieFlip:
      return "TIE_FLIP";
    case Verdict::kVoid:
      return "VOID";
    case Verdict::kWrong:
      return "WRONG";
  }
  return "VOID";
}

const Judgement& Worse(const Judgement& a, const Judgement& b) {
  if (a.verdict != b.verdict) return a.verdict < b.verdict ? b : a;
  return a.headroom < b.headroom ? b : a;
}

}  // namespace assay
