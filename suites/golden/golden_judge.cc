#include "suites/golden/golden_judge.h"

#include <fmt/core.h>

#include <algorithm>

#include "engine/base/check.h"
#include "oracles/compare/logits.h"
#include "oracles/compare/ranking.h"
#include "oracles/compare/tensors.h"

namespace assay {
namespace {

class GoldenJudge {
 public:
  GoldenJudge(const GoldenTrace& trace, GoldenAnswerer& answerer, const GoldenTolerance& tolerance, Checker& check)
      : trace_(trace),
        answerer_(answerer),
        tolerance_(tolerance),
        check_(check),
        forced_(tolerance.logits, check.tally()),
        greedy_(tolerance.logits, check.tally(), "greedy_") {}

  void Run() {
    const std::vector<GoldenRequest> requests = Requests();
    const std::vector<GoldenAnswer> answers = answerer_.Answer(requests);
    Require(answers.size() == requests.size(), "{}: {} answers to {} requests", answerer_.name(), answers.size(),
            requests.size());
    Expect();
    std::size_t next = 0;
    for (const GoldenSequence& sequence : trace_.sequences) {
      if (!sequence.tokens.empty()) JudgeSequence(sequence, answers[next++]);
      if (!sequence.greedy.empty()) JudgeGreedy(sequence, answers[next++]);
    }
    for (LogitJudge* judge : {&forced_, &greedy_}) {
      if (judge->rows() == 0 && forced_.rows() + greedy_.rows() > 0) continue;
      judge->Finish();
      check_.CountArgmax(judge->argmax_judged(), judge->rows());
    }
  }

 private:
  // What the recording holds will be compared.
  void Expect() {
    for (const GoldenSequence& s : trace_.sequences) {
      if (!s.tokens.empty()) check_.AtLeast("max_abs_logit_capped", s.rows);
      if (s.hidden > 0 && answerer_.has_hidden())
        check_.AtLeast("hidden_relative", std::int64_t{s.hidden_entries} * std::ssize(s.tokens));
      const auto answered = std::min<std::ptrdiff_t>(s.first_position() + 1, std::ssize(s.answer));
      if (const auto answers =
              std::count_if(s.answer.begin() + answered, s.answer.end(), [](auto a) { return a != 0; }))
        check_.AtLeast("answers", answers);
      if (s.greedy.empty()) continue;
      check_.AtLeast("greedy_max_abs_logit_capped", s.greedy_steps);
      check_.AtLeast("greedy_text", 1);
    }
  }

  std::vector<GoldenRequest> Requests() const {
    std::vector<GoldenRequest> requests;
    for (const GoldenSequence& s : trace_.sequences) {
      if (!s.tokens.empty()) requests.push_back({s.tokens, s.first_position(), s.hidden > 0});
      if (!s.greedy.empty())
        requests.push_back({std::span(s.greedy).first(s.greedy.size() - 1), s.prompt_length() - 1, false});
    }
    return requests;
  }

  // The candidate's row in the recording's form: log-probabilities are compared as such.
  std::vector<double> Row(const GoldenAnswer& answer, int row, const Place& where) const {
    const std::size_t vocab = trace_.vocab, begin = row * vocab;
    Require(answer.capped.size() >= begin + vocab,
            "{}: {}: {} logits of {} are too few for row {} of a vocabulary of {}", trace_.file, where.ToString(),
            answer.capped.size(), answerer_.name(), row, vocab);
    const std::span<const double> found = std::span(answer.capped).subspan(begin, vocab);
    std::vector<double> values(found.begin(), found.end());
    if (trace_.log_probabilities) Normalise(values);
    return values;
  }

  Place At(const GoldenSequence& s, const char* axis, int value) const {
    return {"sequence " + s.name, {{axis, value}}};
  }

  void JudgeSequence(const GoldenSequence& s, const GoldenAnswer& answer) {
    for (int row = 0; row < s.rows; ++row) {
      const int position = s.first_position() + row;
      const Place where = At(s, "position", position);
      const std::vector<double> candidate = Row(answer, row, where);
      const std::vector<double> reference = Widen(s.Logits(row, trace_.vocab));
      forced_.Add({.reference_capped = reference, .candidate_capped = candidate}, where);
      JudgeKnownAnswer(s, position + 1, candidate);
    }
    if (s.hidden > 0 && !answer.hidden.empty()) JudgeHidden(s, answer);
  }

  void JudgeKnownAnswer(const GoldenSequence& s, int position, std::span<const double> logits) {
    if (position >= std::ssize(s.answer) || s.answer[position] == 0) return;
    const int found = ArgMax(logits);
    check_.True(found == s.tokens[position], "answers", At(s, "position", position),
                fmt::format("expected token {}, found {}", s.tokens[position], found));
  }

  void JudgeHidden(const GoldenSequence& s, const GoldenAnswer& answer) {
    const std::size_t width = s.hidden;
    Require(answer.hidden.size() == s.hidden_states.size(), "{}: sequence {}: expected {} hidden values, {} has {}",
            trace_.file, s.name, s.hidden_states.size(), answerer_.name(), answer.hidden.size());
    for (int entry = 0; entry < s.hidden_entries; ++entry)
      for (int position = 0; position < std::ssize(s.tokens); ++position) {
        const std::size_t row = entry * s.tokens.size() + position;
        check_.Add(JudgeTensor(Widen(s.Hidden(entry, position)), std::span(answer.hidden).subspan(row * width, width),
                               tolerance_.hidden, "hidden_relative",
                               At(s, "position", position).With("layer", entry - 1), Measure::kRelative));
      }
  }

  void JudgeGreedy(const GoldenSequence& s, const GoldenAnswer& answer) {
    std::vector<std::int32_t> found;
    std::vector<double> gaps;
    for (int step = 0; step < s.greedy_steps; ++step) {
      const Place where = At(s, "step", step);
      const std::vector<double> candidate = Row(answer, step, where);
      const std::vector<double> reference = Widen(s.GreedyLogits(step, trace_.vocab));
      greedy_.Add({.reference_capped = reference, .candidate_capped = candidate}, where);
      found.push_back(ArgMax(candidate));
      gaps.push_back(TopGap(reference));
    }
    const std::span<const std::int32_t> all(s.greedy), prompt = all.first(s.prompt_length());
    if (const auto text = answerer_.Greedy(prompt, s.greedy_steps)) found = *text;
    check_.Add(JudgeFreeRunning(all.subspan(prompt.size()), found, gaps, tolerance_.logits.tie, tolerance_.logits.sigma,
                                Place("sequence " + s.name, std::vector<Place::Coordinate>{})));
  }

  const GoldenTrace& trace_;
  GoldenAnswerer& answerer_;
  const GoldenTolerance& tolerance_;
  Checker& check_;
  LogitJudge forced_, greedy_;
};

GoldenTolerance Stated(double bound, const std::string& from) {
  return {.logits = LogitTolerance::Fixed(bound, 5 * bound, from),
          .hidden = Bound::Fixed(1e-4, "stated for float32: 1e-4 relative")};
}

}  // namespace

GoldenTolerance GoldenTolerance::Fp32(const LogitTolerance* twin) {
  constexpr double kStated = 2e-4;
  if (twin != nullptr && twin->max_abs.soft > kStated)
    return Stated(twin->max_abs.soft, fmt::format("more than the stated {:g}: {}", kStated, twin->max_abs.from.str()));
  return Stated(kStated, fmt::format("stated for float32: {:g}", kStated));
}

GoldenTolerance GoldenTolerance::Fp32Large() { return Stated(5e-3, "stated for float32 at real geometry: 0.005"); }

void JudgeGolden(const GoldenTrace& trace, GoldenAnswerer& answerer, const GoldenTolerance& tolerance, Checker& check) {
  GoldenJudge(trace, answerer, tolerance, check).Run();
}

}  // namespace assay
