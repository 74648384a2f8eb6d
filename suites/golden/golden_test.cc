// What the golden judge must see. The cases themselves run with all other suites'.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/testing/complaint.h"
#include "suites/golden/golden_judge.h"
#include "suites/golden/golden_suite.h"
#include "suites/support/embedded.h"

namespace assay {
namespace {

TEST(EmbeddedGoldens, AreAllThere) {
  Workbench bench;
  std::vector<Target> targets;
  for (const EmbeddedModel& model : EmbeddedModels())
    for (const Precision precision : {Precision::kFp32, Precision::kBf16})
      targets.push_back({.model = model.name, .precision = precision});
  const std::vector<Case> cases = GoldenCases(bench, targets);
  const auto count = [&](const char* prefix) {
    return std::count_if(cases.begin(), cases.end(), [&](const Case& item) {
      return item.name == "ReferenceMatches" && item.target.model.starts_with(prefix);
    });
  };
  EXPECT_EQ(count("hf-tiny/"), 10);
  EXPECT_EQ(count("gguf-tiny/"), 10);
  EXPECT_EQ(count(""), 23) << "once a model, whatever the modes";
  for (const Target& target : targets)
    EXPECT_EQ(std::count_if(cases.begin(), cases.end(),
                            [&](const Case& item) {
                              return item.name == "SystemMatches" && item.target.model == target.model &&
                                     item.target.precision == target.precision;
                            }),
              bench.references().Bounds(target) ? 1 : 0)
        << target.model << " " << Name(target.precision);
}

TEST(GoldenVocabulary, OfAnotherModelIsRefusedNamingBoth) {
  Workbench bench;
  const GoldenTrace trace = ReadGolden(GoldensOf("hf-tiny/llama3"));
  EXPECT_NO_THROW(RequireSameVocabulary(trace, bench.Store("hf-tiny/llama3", 0).spec()));
  ModelSpec other = bench.Store("hf-tiny/llama3", 0).spec();
  other.vocab += 1;
  const std::string complaint = Complaint([&] { RequireSameVocabulary(trace, other); });
  EXPECT_NE(complaint.find(trace.file), std::string::npos) << complaint;
  EXPECT_NE(complaint.find(other.name), std::string::npos) << complaint;
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

// A decoder that answers rightly; `spoil` may change the answers. Its free-running text is `text`, where there is one.
class MadeUpDecoder final : public GoldenAnswerer {
 public:
  using Answers = std::vector<GoldenAnswer>;
  explicit MadeUpDecoder(std::function<void(Answers&)> spoil = {},
                         std::optional<std::vector<std::int32_t>> text = std::nullopt)
      : spoil_(std::move(spoil)), text_(std::move(text)) {}

  std::string name() const override { return "made up"; }
  Answers Answer(std::span<const GoldenRequest> requests) override {
    Answers answers;
    for (const GoldenRequest& request : requests) {
      const std::vector<float> rows = Rows({request.tokens.begin() + request.first_row, request.tokens.end()});
      GoldenAnswer& answer = answers.emplace_back();
      answer.capped.assign(rows.begin(), rows.end());
      if (request.hidden) answer.hidden = {1, 2, 3, 4, 5, 6, 7, 8};
    }
    if (spoil_) spoil_(answers);
    return answers;
  }
  std::optional<std::vector<std::int32_t>> Greedy(std::span<const std::int32_t>, int) override { return text_; }

 private:
  std::function<void(Answers&)> spoil_;
  std::optional<std::vector<std::int32_t>> text_;
};

CaseOutcome Judged(const GoldenTrace& trace, MadeUpDecoder decoder) {
  Checker check;
  JudgeGolden(trace, decoder, GoldenTolerance::Fp32(), check);
  return check.Finish();
}

// The first answer is spoilt.
CaseOutcome JudgedSpoilt(std::function<void(GoldenAnswer&)> spoil, const GoldenTrace& trace = MadeUpTrace()) {
  return Judged(trace, MadeUpDecoder([&](MadeUpDecoder::Answers& answers) { spoil(answers.front()); }));
}

Verdict Of(const CaseOutcome& outcome, const std::string& metric) {
  for (const Judgement& j : outcome.judgements)
    if (j.metric == metric) return j.verdict;
  ADD_FAILURE() << "no judgement " << metric;
  return Verdict::kVoid;
}

TEST(GoldenJudge, PassesARightDecoder) {
  const CaseOutcome outcome = Judged(MadeUpTrace(), MadeUpDecoder());
  EXPECT_EQ(outcome.status, Status::kPass) << outcome.reason;
  for (const Judgement& j : outcome.judgements) EXPECT_EQ(j.verdict, Verdict::kMatch) << j.metric << " " << j.detail;
  EXPECT_EQ(outcome.argmax.rows, 5) << "two of the sequence, three of its greedy text";
  EXPECT_EQ(outcome.argmax.judged, 5);
}

TEST(GoldenJudge, StatesWhatItWillCompare) {
  const CaseOutcome outcome = Judged(MadeUpTrace(), MadeUpDecoder());
  std::map<std::string, std::int64_t> stated;
  for (const Judgement& j : outcome.judgements)
    if (j.metric.ends_with("_comparisons")) stated[j.metric] = j.comparisons;
  EXPECT_EQ(stated["max_abs_logit_capped_comparisons"], 2);
  EXPECT_EQ(stated["greedy_max_abs_logit_capped_comparisons"], 3);
  EXPECT_EQ(stated["greedy_text_comparisons"], 1);
  EXPECT_EQ(stated["answers_comparisons"], 1);
}

TEST(GoldenJudge, ARecordingWithoutRowsIsVoid) {
  const CaseOutcome outcome = Judged({.file = "made up", .vocab = kVocab, .sequences = {}}, MadeUpDecoder());
  ASSERT_FALSE(outcome.judgements.empty());
  for (const Judgement& j : outcome.judgements) EXPECT_EQ(j.verdict, Verdict::kVoid) << j.metric;
}

TEST(GoldenJudge, TheTwinsFigureCountsWhereItIsLarger) {
  const LogitTolerance calm = LogitTolerance::Fixed(5e-5, 1e-3, "a calm twin"),
                       rough = LogitTolerance::Fixed(4e-4, 1e-3, "a rough twin");
  EXPECT_EQ(GoldenTolerance::Fp32().logits.max_abs.soft, 2e-4);
  EXPECT_EQ(GoldenTolerance::Fp32(&calm).logits.max_abs.soft, 2e-4);
  EXPECT_EQ(GoldenTolerance::Fp32(&rough).logits.max_abs.soft, 4e-4);
  EXPECT_EQ(GoldenTolerance::Fp32(&rough).logits.max_abs.hard, 4e-4);
}

TEST(GoldenJudge, SeesEachKindOfError) {
  EXPECT_EQ(Of(JudgedSpoilt([](GoldenAnswer& a) { a.capped[0] += 3e-4; }), "max_abs_logit_capped"), Verdict::kWrong);
  EXPECT_EQ(Of(JudgedSpoilt([](GoldenAnswer& a) { a.capped[1] = std::nan(""); }), "max_abs_logit_capped"),
            Verdict::kWrong);
  EXPECT_EQ(Of(JudgedSpoilt([](GoldenAnswer& a) { a.capped[0] = 9; }), "argmax"), Verdict::kWrong);
  EXPECT_EQ(Of(JudgedSpoilt([](GoldenAnswer& a) { a.hidden[7] += 1e-3; }), "hidden_relative"), Verdict::kWrong);
  EXPECT_EQ(Of(JudgedSpoilt([](GoldenAnswer& a) { a.hidden[7] += 5e-4; }), "hidden_relative"), Verdict::kMatch);
}

TEST(GoldenJudge, CountsWrongAnswers) {
  GoldenTrace trace = MadeUpTrace();
  trace.sequences[0].rows = 4;
  trace.sequences[0].logits = Rows({0, 1, 2, 3});
  EXPECT_EQ(Of(Judged(trace, MadeUpDecoder()), "answers"), Verdict::kMatch);
  const auto forget = [](GoldenAnswer& a) { std::swap(a.capped[2 * 4 + 3], a.capped[2 * 4 + 1]); };
  EXPECT_EQ(Of(JudgedSpoilt(forget, trace), "answers"), Verdict::kWrong);
}

TEST(GoldenJudge, SeesWrongTextAndTextThatEndsEarly) {
  EXPECT_EQ(Of(Judged(MadeUpTrace(), MadeUpDecoder({}, {{2, 3, 0}})), "greedy_text"), Verdict::kMatch);
  EXPECT_EQ(Of(Judged(MadeUpTrace(), MadeUpDecoder({}, {{2, 3, 1}})), "greedy_text"), Verdict::kWrong);
  EXPECT_EQ(Of(Judged(MadeUpTrace(), MadeUpDecoder({}, {{2, 3}})), "greedy_text"), Verdict::kWrong);
}

TEST(GoldenJudge, RefusesAnswersThatDoNotFit) {
  EXPECT_THROW(Judged(MadeUpTrace(), MadeUpDecoder([](auto& answers) { answers.clear(); })), InputError);
  EXPECT_THROW(JudgedSpoilt([](GoldenAnswer& a) { a.capped.resize(5); }), InputError);
  EXPECT_THROW(JudgedSpoilt([](GoldenAnswer& a) { a.hidden.resize(5); }), InputError);
}

TEST(GoldenJudge, JudgesTheLogitsOfGreedySteps) {
  const CaseOutcome outcome = Judged(MadeUpTrace(), MadeUpDecoder([](auto& answers) { answers[1].capped[0] += 3e-4; }));
  EXPECT_EQ(Of(outcome, "greedy_max_abs_logit_capped"), Verdict::kWrong);
  EXPECT_EQ(Of(outcome, "max_abs_logit_capped"), Verdict::kMatch);
}

}  // namespace
}  // namespace assay
