// Rows of the kept reference are those of a decoder that was asked nothing else.
#include "suites/support/references.h"

#include <gtest/gtest.h>

#include "engine/model/presets.h"
#include "oracles/compare/tensors.h"

namespace assay {
namespace {

const Subject kSubject{"tiny-gemma4-ple", "host", Precision::kFp32, 3};

void ExpectFresh(const Tokens& tokens, int first) {
  const auto fresh = MakeReference(StoreOf(kSubject));
  const ReferenceSession& kept = ReferenceRows(kSubject, tokens, first);
  for (int position = 0; position < static_cast<int>(tokens.size()); ++position) {
    const std::vector<double> expected = fresh->Step(tokens[static_cast<std::size_t>(position)]).raw;
    if (position < first) continue;
    EXPECT_EQ(kept.Raw(position), expected) << "position " << position << " from " << first;
  }
}

TEST(References, RowsDoNotDependOnWhatWasAskedBefore) {
  const Tokens whole = MadeUpTokens(kSubject, 1, 30), other = MadeUpTokens(kSubject, 2, 30);
  Tokens branch(whole.begin(), whole.begin() + 12);
  branch.insert(branch.end(), other.begin(), other.begin() + 10);
  ExpectFresh(Tokens(whole.begin(), whole.begin() + 20), 15);
  ExpectFresh(branch, 14);
  ExpectFresh(whole, 25);
  ExpectFresh(whole, 3);  // before rows that were skipped
  ExpectFresh(branch, 0);
  ExpectFresh(other, 0);
  ExpectFresh(Tokens(whole.begin(), whole.begin() + 9), 3);
}

TEST(References, PreparedOnesNeedNoDecoder) {
  const Tokens tokens = MadeUpTokens(kSubject, 4, 12);
  PrepareReference(kSubject, {{tokens, 8}});
  const ReferenceSession& first = ReferenceRows(kSubject, tokens, 8);
  EXPECT_EQ(first.rows.size(), 4u);
  EXPECT_EQ(&first, &ReferenceRows(kSubject, tokens, 10)) << "asked again, computed again";
}

// The tolerance is kappa times a 0.999 quantile of the twin's errors, so one row in a thousand is further off. The
// first after 11 tokens of this session is, by 1.8 times.
TEST(References, TwinErrorRatioIsOfTheRow) {
  const Subject subject{"hf-tiny/gemma4-31b@q4_0", "host", Precision::kBf16, 0};
  const Tokens tokens = MadeUpTokens(subject, 106, 14);
  const auto exact = MakeReference(StoreOf(subject)),
             twin = MakeReference(StoreOf(subject), {.keep_hidden = false, .twin = DType::kBF16});
  double error = 0;
  for (int i = 0; i <= 11; ++i) {
    const std::int32_t token = tokens[static_cast<std::size_t>(i)];
    error = Compare(exact->Step(token).raw, twin->Step(token).raw).max_abs;
  }
  const double allowed = ToleranceOf(subject).max_abs.calibrated;
  EXPECT_GT(kKappa * error, 1.2 * allowed);
  EXPECT_EQ(TwinErrorRatio(subject, tokens, 11), kKappa * error / allowed);
  EXPECT_EQ(TwinErrorRatio(subject, tokens, 10), 1);
}

TEST(References, LargeMeansOutOfTheHostsReach) {
  EXPECT_FALSE(IsLarge(Preset("tiny-gemma4-moe")));
  EXPECT_TRUE(IsLarge(Preset("gemma4-e2b")));
  EXPECT_NEAR(static_cast<double>(WeightCount(Preset("gemma4-31b"))), 30.7e9, 0.1e9);
}

}  // namespace
}  // namespace assay
