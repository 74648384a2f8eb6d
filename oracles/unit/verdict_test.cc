// The one rule that turns a value and its bounds into a verdict, and what is worse than what.
#include "oracles/verdict/verdict.h"

#include <gtest/gtest.h>

#include <cmath>

#include "oracles/unit/not_finite.h"

namespace assay {
namespace {

TEST(Verdicts, AreOrderedBySeverity) {
  EXPECT_EQ(Worse(Verdict::kTieFlip, Verdict::kDrift), Verdict::kTieFlip);
  EXPECT_EQ(Worse(Verdict::kVoid, Verdict::kWrong), Verdict::kWrong);
  EXPECT_EQ(Worse(Verdict::kVoid, Verdict::kTieFlip), Verdict::kVoid) << "nothing compared is worse than a tie";
  EXPECT_EQ(Worse(Verdict::kMatch, Verdict::kDrift), Verdict::kDrift);
}

TEST(Verdicts, OnlyVoidAndWrongFailACase) {
  for (const Verdict verdict : kVerdicts)
    EXPECT_EQ(Passes(verdict), verdict != Verdict::kVoid && verdict != Verdict::kWrong) << Name(verdict);
  for (const Verdict verdict : kVerdicts)
    EXPECT_EQ(IsSoft(verdict), verdict == Verdict::kDrift || verdict == Verdict::kTieFlip) << Name(verdict);
}

TEST(Verdicts, NamesAreReadBack) {
  EXPECT_EQ(Name(Verdict::kTieFlip), "TIE_FLIP");
  for (const Verdict verdict : kVerdicts) EXPECT_EQ(VerdictFromName(Name(verdict)), verdict);
  for (const char* other : {"", "match", "TIE FLIP", "WRONG "}) EXPECT_FALSE(VerdictFromName(other)) << other;
}

TEST(VerdictOf, LiesBetweenSoftAndHardAndNanIsWrong) {
  const Bound bound{1, 2, "test"};
  EXPECT_EQ(VerdictOf(1, bound), Verdict::kMatch);
  EXPECT_EQ(VerdictOf(1.1, bound), Verdict::kDrift);
  EXPECT_EQ(VerdictOf(2, bound), Verdict::kDrift);
  EXPECT_EQ(VerdictOf(2, bound, Verdict::kTieFlip), Verdict::kTieFlip);
  EXPECT_EQ(VerdictOf(2.1, bound), Verdict::kWrong);
  EXPECT_EQ(VerdictOf(kNan, bound), Verdict::kWrong);
  EXPECT_EQ(VerdictOf(kInf, bound), Verdict::kWrong);
  EXPECT_EQ(VerdictOf(1e-300, Bound::Exact()), Verdict::kWrong);
  EXPECT_EQ(VerdictOf(0, Bound::Exact()), Verdict::kMatch);
  EXPECT_EQ(VerdictOf(0.5, Bound::Fixed(0.5, "")), Verdict::kMatch);
  EXPECT_EQ(VerdictOf(0.6, Bound::Fixed(0.5, "")), Verdict::kWrong) << "a fixed figure has no drift";
}

TEST(Judged, NamesItsPlaceOnlyWhereSomethingDiffers) {
  const Judgement equal = Judged("m", 0, Bound::Fixed(1, "stated"), {{"row", 1}}, "detail");
  EXPECT_TRUE(equal.worst.empty());
  EXPECT_EQ(equal.detail, "");
  const Judgement off = Judged("m", 0.5, Bound::Fixed(1, "stated"), {{"row", 1}}, "detail");
  EXPECT_EQ(off.worst, (Place{{"row", 1}}));
  EXPECT_EQ(off.detail, "detail");
  EXPECT_EQ(off.bound.from.str(), "stated");
  EXPECT_EQ(off.comparisons, 1);
}

TEST(Void, ComparedNothingAndSaysWhy) {
  const Judgement none = Void("m", Bound::Exact(), "no text");
  EXPECT_EQ(none.verdict, Verdict::kVoid);
  EXPECT_EQ(none.comparisons, 0);
  EXPECT_EQ(none.fault, "no text");
  EXPECT_EQ(Judgement().verdict, Verdict::kVoid) << "a judgement that nobody filled in proves nothing";
}

TEST(Headroom, IsErrorUsedOverErrorAllowed) {
  EXPECT_EQ(Headroom(0, 0), 0);
  EXPECT_TRUE(std::isinf(Headroom(1e-9, 0)));
  EXPECT_EQ(Headroom(1, 4), 0.25);
  EXPECT_EQ(Headroom(Judged("m", 1, {2, 4, ""}, {})), 0.5) << "of the soft bound";
  EXPECT_EQ(Headroom(Judged("m", 1, {0, 4, ""}, {})), 0.25) << "nothing is allowed softly: of the hard bound";
}

TEST(IsWorse, IsByVerdictThenHeadroom) {
  const Bound bound{1, 2, ""};
  const Judgement close = Judged("m", 0.9, bound, {}), far = Judged("m", 0.1, bound, {}),
                  drift = Judged("m", 1.1, bound, {});
  EXPECT_TRUE(IsWorse(close, far));
  EXPECT_FALSE(IsWorse(far, close));
  EXPECT_FALSE(IsWorse(close, close));
  EXPECT_TRUE(IsWorse(drift, close));
  // By headroom, not by value: 0.5 of 10 is less than 0.1 of 1.
  EXPECT_TRUE(IsWorse(far, Judged("m", 0.5, Bound::Fixed(10, ""), {})));
  EXPECT_TRUE(IsWorse(Judged("m", kNan, bound, {}), Judged("m", 1e9, bound, {})));
}

}  // namespace
}  // namespace assay
