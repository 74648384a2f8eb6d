// What the golden judge must see. The cases themselves run with all other suites'.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/base/check.h"
#include "suites/golden/golden_cases.h"
#include "suites/golden/golden_judge.h"

namespace assay {
namespace {

TEST(EmbeddedGoldens, AreAllThere) {
  const std::vector<Case> cases = GoldenReferenceCases();
  const auto count = [&](const char* prefix) {
    return std::count_if(cases.begin(), cases.end(), [&](const Case& c) { return c.model.starts_with(prefix); });
  };
  EXPECT_EQ(count("hf-tiny/"), 10);
  EXPECT_EQ(count("gguf-tiny/"), 10);
  EXPECT_EQ(cases.size(), 22u);
}

// --- the judge, on a made-up trace: vocabulary 4, next token = (token + 1) mod 4 ---

constexpr int kVocab = 4;

std::vector<float> Logits(std::int32_t token) {
  std::vector<float> row(kVocab, -1.0f);
  row[static_cast<std::size_t>((token + 1) % kVocab)] = 3.0f;
  return row;
}

std::vector<float> Rows(const std::vector<std::int32_t>& tokens) {
  std::vector<float> rows;
  for (const std::int32_t token : tokens)
    for (const float logit : Logits(token)) rows.push_back(logit);
  return rows;
}

GoldenTrace MadeUpTrace() {
  GoldenSequence s{.name = "0", .tokens = {0, 1, 2, 3}};
  s.rows = 2;  // of positions 2 and 3
  s.logits = Rows({2, 3});
  s.answer = {0, 0, 0, 1};
  s.hidden_entries = 2;
  s.hidden = 1;
  s.hidden_states = {1, 2, 3, 4, 5, 6, 7, 8};
  s.greedy = {1, 2, 3, 0};
  s.greedy_steps = 3;
  s.greedy_logits = Rows({1, 2, 3});
  return {.file = "made up", .vocab = kVocab, .sequences = {s}};
}

// A decoder that answers rightly; `spoil` may change the first answer.
GoldenSubject Subject(const std::function<void(GoldenAnswer&)>& spoil = {}) {
  return {
      .name = "made up",
      .answer =
          [spoil](std::span<const GoldenRequest> requests) {
            std::vector<GoldenAnswer> answers;
            for (const GoldenRequest& request : requests) {
              const std::vector<float> rows = Rows({request.tokens.begin() + request.first_row, request.tokens.end()});
              GoldenAnswer& answer = answers.emplace_back();
              answer.capped.assign(rows.begin(), rows.end());
              if (request.hidden) answer.hidden = {1, 2, 3, 4, 5, 6, 7, 8};
            }
            if (spoil) spoil(answers.front());
            return answers;
          },
      .greedy = {}};
}

Verdict Of(const std::vector<Judgement>& all, const std::string& metric) {
  for (const Judgement& j : all)
    if (j.metric == metric) return j.verdict;
  ADD_FAILURE() << "no judgement " << metric;
  return Verdict::kVoid;
}

TEST(GoldenJudge, PassesARightDecoder) {
  for (const Judgement& j : JudgeGolden(MadeUpTrace(), Subject(), GoldenTolerance::Fp32()))
    EXPECT_EQ(j.verdict, Verdict::kMatch) << j.metric << " " << j.detail;
}

TEST(GoldenJudge, TheTwinsFigureCountsWhereItIsLarger) {
  const LogitTolerance calm = LogitTolerance::Fixed(5e-5, 1e-3, "a calm twin"),
                       rough = LogitTolerance::Fixed(4e-4, 1e-3, "a rough twin");
  EXPECT_EQ(GoldenTolerance::Fp32().logits.max_abs.calibrated, 2e-4);
  EXPECT_EQ(GoldenTolerance::Fp32(&calm).logits.max_abs.calibrated, 2e-4);
  EXPECT_EQ(GoldenTolerance::Fp32(&rough).logits.max_abs.calibrated, 4e-4);
  EXPECT_EQ(GoldenTolerance::Fp32(&rough).logits.max_abs.hard, 4e-4);
}

TEST(GoldenJudge, SeesEachKindOfError) {
  const auto judge = [](const std::function<void(GoldenAnswer&)>& spoil) {
    return JudgeGolden(MadeUpTrace(), Subject(spoil), GoldenTolerance::Fp32());
  };
  EXPECT_EQ(Of(judge([](GoldenAnswer& a) { a.capped[0] += 3e-4; }), "max_abs_logit_capped"), Verdict::kWrong);
  EXPECT_EQ(Of(judge([](GoldenAnswer& a) { a.capped[1] = std::nan(""); }), "max_abs_logit_capped"), Verdict::kWrong);
  EXPECT_EQ(Of(judge([](GoldenAnswer& a) { a.capped[0] = 9; }), "argmax"), Verdict::kWrong);
  EXPECT_EQ(Of(judge([](GoldenAnswer& a) { a.hidden[7] += 1e-3; }), "hidden_relative"), Verdict::kWrong);
  EXPECT_EQ(Of(judge([](GoldenAnswer& a) { a.hidden[7] += 5e-4; }), "hidden_relative"), Verdict::kMatch);
}

TEST(GoldenJudge, CountsWrongAnswersAndWrongText) {
  GoldenTrace trace = MadeUpTrace();
  GoldenSubject subject = Subject();
  trace.sequences[0].rows = 4;
  trace.sequences[0].logits = Rows({0, 1, 2, 3});
  EXPECT_EQ(Of(JudgeGolden(trace, subject, GoldenTolerance::Fp32()), "answers"), Verdict::kMatch);
  const GoldenSubject forgetful = Subject([](GoldenAnswer& a) { std::swap(a.capped[2 * 4 + 3], a.capped[2 * 4 + 1]); });
  EXPECT_EQ(Of(JudgeGolden(trace, forgetful, GoldenTolerance::Fp32()), "answers"), Verdict::kWrong);
  subject.greedy = [](std::span<const std::int32_t>, int) { return std::vector<std::int32_t>{2, 3, 1}; };
  EXPECT_EQ(Of(JudgeGolden(trace, subject, GoldenTolerance::Fp32()), "greedy_text"), Verdict::kWrong);
  subject.greedy = [](std::span<const std::int32_t>, int) { return std::vector<std::int32_t>{2, 3}; };
  EXPECT_EQ(Of(JudgeGolden(trace, subject, GoldenTolerance::Fp32()), "greedy_text"), Verdict::kWrong);
}

TEST(GoldenJudge, RefusesAnswersThatDoNotFit) {
  const GoldenSubject silent{
      .name = "silent", .answer = [](auto) { return std::vector<GoldenAnswer>{}; }, .greedy = {}};
  EXPECT_THROW(JudgeGolden(MadeUpTrace(), silent, GoldenTolerance::Fp32()), InputError);
  EXPECT_THROW(
      JudgeGolden(MadeUpTrace(), Subject([](GoldenAnswer& a) { a.capped.resize(5); }), GoldenTolerance::Fp32()),
      InputError);
  EXPECT_THROW(
      JudgeGolden(MadeUpTrace(), Subject([](GoldenAnswer& a) { a.hidden.resize(5); }), GoldenTolerance::Fp32()),
      InputError);
}

TEST(GoldenJudge, JudgesTheLogitsOfGreedySteps) {
  GoldenSubject subject = Subject();
  const auto right = subject.answer;
  subject.answer = [right](std::span<const GoldenRequest> requests) {
    auto answers = right(requests);
    answers[1].capped[0] += 3e-4;
    return answers;
  };
  EXPECT_EQ(Of(JudgeGolden(MadeUpTrace(), subject, GoldenTolerance::Fp32()), "greedy_max_abs_logit_capped"),
            Verdict::kWrong);
}

}  // namespace
}  // namespace assay
