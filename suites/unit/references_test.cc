// Rows of the kept reference are those of a decoder that was asked nothing else.
#include "suites/support/references.h"

#include <gtest/gtest.h>

#include "engine/base/random.h"
#include "engine/model/presets.h"
#include "oracles/compare/tensors.h"
#include "suites/support/workbench.h"
#include "suites/testing/hard_rows.h"

namespace assay {
namespace {

class References : public testing::Test {
 protected:
  Tokens MadeUp(int stream, int length) {
    return RandomTokens(target_.seed, stream, length, bench_.Spec(target_).vocab);
  }
  void ExpectFresh(const Tokens& tokens, int first);

  Workbench bench_;
  const Target target_{.model = "tiny-gemma4-ple", .seed = 3};
};

void References::ExpectFresh(const Tokens& tokens, int first) {
  const auto fresh = MakeReference(bench_.Store(target_));
  const ReferenceSession& kept = bench_.references().Rows(target_, tokens, first);
  for (int position = 0; position < static_cast<int>(tokens.size()); ++position) {
    const std::vector<double> expected = fresh->Step(tokens[static_cast<std::size_t>(position)]).raw;
    if (position < first) continue;
    EXPECT_EQ(kept.Raw(position), expected) << "position " << position << " from " << first;
  }
}

TEST_F(References, RowsDoNotDependOnWhatWasAskedBefore) {
  const Tokens whole = MadeUp(1, 30), other = MadeUp(2, 30);
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

TEST_F(References, PreparedOnesNeedNoDecoder) {
  const Tokens tokens = MadeUp(4, 12);
  bench_.references().Prepare(target_, {{tokens, 8}});
  const ReferenceSession& first = bench_.references().Rows(target_, tokens, 8);
  EXPECT_EQ(first.rows.size(), 4u);
  EXPECT_EQ(&first, &bench_.references().Rows(target_, tokens, 10)) << "asked again, computed again";
}

// The tolerance is kappa times a 0.999 quantile of the twin's errors, so one row in a thousand is further off. The
// first after 11 tokens of this session is, by 1.8 times.
TEST_F(References, TwinErrorRatioIsOfTheRow) {
  const Target target{.model = "hf-tiny/gemma4-31b@q4_0", .precision = Precision::kBf16};
  const WeightStore& store = bench_.Store(target);
  const Tokens tokens = RandomTokens(0, 106, 14, store.spec().vocab);
  const auto exact = MakeReference(store), twin = MakeReference(store, {.keep_hidden = false, .twin = DType::kBF16});
  double error = 0;
  for (int i = 0; i <= 11; ++i) {
    const std::int32_t token = tokens[i];
    error = Compare(exact->Step(token).raw, twin->Step(token).raw).max_abs;
  }
  const LogitTolerance& tolerance = bench_.references().Tolerance(target);
  const double ratio = bench_.references().TwinErrorRatio(target, tolerance, tokens, 11);
  EXPECT_GT(ratio, 1.2);
  EXPECT_EQ(ratio, kKappa * error / tolerance.max_abs.soft);
  EXPECT_EQ(bench_.references().TwinErrorRatio(target, tolerance, tokens, 10), 1);
}

TEST_F(References, OtherOrdersOfSumsShowWhereRoundingDecides) {
  const std::optional<HiddenHardRow> row = FindHiddenHardRow(bench_);
  ASSERT_TRUE(row);
  const LogitTolerance& tolerance = bench_.references().Tolerance(row->target);
  const auto ratio = [&](int position) {
    return bench_.references().WorstTwinErrorRatio(row->target, tolerance, row->tokens, position);
  };
  EXPECT_EQ(ratio(row->position), row->worst) << "asked again";
  int plain = 0;
  for (int position = 0; position < 16; ++position) plain += ratio(position) == 1;
  EXPECT_GT(plain, 8) << "rounding decides in few rows";
}

TEST_F(References, RowsThatWereForgottenAreComputedAgain) {
  const Tokens tokens = MadeUp(5, 9);
  const std::vector<double> row = bench_.references().Rows(target_, tokens).Raw(8);
  EXPECT_EQ(bench_.references().Rows(target_, tokens, 8).rows.size(), 9u) << "those that are kept";
  bench_.references().ForgetRows();
  const ReferenceSession& anew = bench_.references().Rows(target_, tokens, 8);
  EXPECT_EQ(anew.rows.size(), 1u);
  EXPECT_EQ(anew.Raw(8), row);
  ExpectFresh(MadeUp(6, 9), 4);
}

TEST_F(References, ATargetsToleranceIsOfItsModeAndKept) {
  Target bf16 = target_;
  bf16.precision = Precision::kBf16;
  const LogitTolerance& fp32 = bench_.references().Tolerance(target_);
  EXPECT_EQ(&fp32, &bench_.references().Tolerance(target_));
  EXPECT_GT(bench_.references().Tolerance(bf16).max_abs.soft, 100 * fp32.max_abs.soft);
  EXPECT_TRUE(fp32.max_abs.from.str().starts_with("twin q999 x 2: fp32 twin of tiny-gemma4-ple"))
      << fp32.max_abs.from.str();
}

TEST_F(References, BoundsNothingForExpertsInSixteenBits) {
  EXPECT_TRUE(bench_.references().Bounds({.model = "tiny-gemma4-moe"}));
  EXPECT_FALSE(bench_.references().Bounds({.model = "tiny-gemma4-moe", .precision = Precision::kBf16}));
  EXPECT_TRUE(bench_.references().Bounds({.model = "tiny-llama", .precision = Precision::kFp16}));
}

TEST(Targets, LargeMeansOutOfTheHostsReach) {
  EXPECT_FALSE(IsLarge(Preset("tiny-gemma4-moe")));
  EXPECT_TRUE(IsLarge(Preset("gemma4-e2b")));
  EXPECT_NEAR(static_cast<double>(WeightCount(Preset("gemma4-31b"))), 30.7e9, 0.1e9);
}

}  // namespace
}  // namespace assay
