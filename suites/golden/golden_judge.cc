#include "suites/golden/golden_judge.h"

#include <fmt/core.h>

#include <optional>

#include "engine/base/check.h"
#include "oracles/compare/ranking.h"
#include "oracles/compare/stream.h"
#include "oracles/compare/tensors.h"

namespace assay {
namespace {

// One judgement for many comparisons: the worst of them.
class Worst {
 public:
  void Add(Judgement j) {
    if (!worst_ || &Worse(*worst_, j) == &j) worst_ = std::move(j);
  }
  void AppendTo(std::vector<Judgement>& all) const {
    if (worst_) all.push_back(*worst_);
  }

 private:
  std::optional<Judgement> worst_;
};

class GoldenJudge {
 public:
  GoldenJudge(const GoldenTrace& trace, const GoldenSubject& subject, const GoldenTolerance& tolerance)
      : trace_(trace),
        subject_(subject),
        tolerance_(tolerance),
        stream_(tolerance.logits),
        greedy_stream_(tolerance.logits) {}

  std::vector<Judgement> Run() {
    const std::vector<GoldenRequest> requests = Requests();
    const std::vector<GoldenAnswer> answers = subject_.answer(requests);
    Require(answers.size() == requests.size(), "{}: {} answers to {} requests", subject_.name, answers.size(),
            requests.size());
    std::size_t next = 0;
    for (const GoldenSequence& sequence : trace_.sequences) {
      if (!sequence.tokens.empty()) JudgeSequence(sequence, answers[next++]);
      if (!sequence.greedy.empty()) JudgeGreedy(sequence, answers[next++]);
    }
    std::vector<Judgement> all;
    if (stream_.rows() > 0 || greedy_stream_.rows() == 0) all = stream_.Finish();
    if (greedy_stream_.rows() > 0) {
      for (Judgement j : greedy_stream_.Finish()) {
        j.metric = "greedy_" + j.metric;
        all.push_back(std::move(j));
      }
    }
    hidden_.AppendTo(all);
    greedy_.AppendTo(all);
    if (answer_positions_ > 0) all.push_back(Answers());
    return all;
  }

 private:
  std::vector<GoldenRequest> Requests() const {
    std::vector<GoldenRequest> requests;
    for (const GoldenSequence& s : trace_.sequences) {
      if (!s.tokens.empty()) requests.push_back({s.tokens, s.first_position(), s.hidden > 0});
      if (!s.greedy.empty())
        requests.push_back({std::span(s.greedy).first(s.greedy.size() - 1), s.prompt_length() - 1, false});
    }
    return requests;
  }

  std::span<const double> Row(const GoldenAnswer& answer, int row, const std::string& where) const {
    const auto vocab = static_cast<std::size_t>(trace_.vocab), begin = static_cast<std::size_t>(row) * vocab;
    Require(answer.capped.size() >= begin + vocab,
            "{}: {}: {} logits of {} are too few for row {} of a vocabulary of {}", trace_.file, where,
            answer.capped.size(), subject_.name, row, vocab);
    return std::span(answer.capped).subspan(begin, vocab);
  }

  void JudgeSequence(const GoldenSequence& s, const GoldenAnswer& answer) {
    for (int row = 0; row < s.rows; ++row) {
      const int position = s.first_position() + row;
      const std::string where = fmt::format("sequence {} position {}", s.name, position);
      const std::span<const double> candidate = Row(answer, row, where);
      const std::vector<double> reference = Widen(s.Logits(row, trace_.vocab));
      stream_.Add({.reference_capped = reference, .candidate_capped = candidate}, where);
      JudgeKnownAnswer(s, position + 1, candidate);
    }
    if (s.hidden > 0 && !answer.hidden.empty()) JudgeHidden(s, answer);
  }

  void JudgeKnownAnswer(const GoldenSequence& s, int position, std::span<const double> logits) {
    const auto t = static_cast<std::size_t>(position);
    if (t >= s.answer.size() || s.answer[t] == 0) return;
    ++answer_positions_;
    const int found = ArgMax(logits);
    if (found == s.tokens[t]) return;
    if (wrong_answers_++ == 0)
      first_wrong_ =
          fmt::format("sequence {} position {}: expected token {}, found {}", s.name, position, s.tokens[t], found);
  }

  Judgement Answers() const {
    return {.verdict = wrong_answers_ == 0 ? Verdict::kMatch : Verdict::kWrong,
            .value = static_cast<double>(wrong_answers_),
            .bound = 0,
            .headroom = Headroom(wrong_answers_, 0),
            .metric = "answers",
            .worst = first_wrong_,
            .detail = fmt::format("{} of {} answers wrong", wrong_answers_, answer_positions_),
            .bound_from = "earlier text determines the token"};
  }

  void JudgeHidden(const GoldenSequence& s, const GoldenAnswer& answer) {
    const auto width = static_cast<std::size_t>(s.hidden);
    Require(answer.hidden.size() == s.hidden_states.size(), "{}: sequence {}: expected {} hidden values, {} has {}",
            trace_.file, s.name, s.hidden_states.size(), subject_.name, answer.hidden.size());
    for (int entry = 0; entry < s.hidden_entries; ++entry)
      for (int position = 0; position < static_cast<int>(s.tokens.size()); ++position) {
        const std::size_t row = static_cast<std::size_t>(entry) * s.tokens.size() + static_cast<std::size_t>(position);
        hidden_.Add(JudgeTensor(Widen(s.Hidden(entry, position)), std::span(answer.hidden).subspan(row * width, width),
                                tolerance_.hidden, "hidden_relative",
                                fmt::format("sequence {} entry {} position {}", s.name, entry, position),
                                Measure::kRelative));
      }
  }

  void JudgeGreedy(const GoldenSequence& s, const GoldenAnswer& answer) {
    std::vector<std::int32_t> found;
    std::vector<double> gaps;
    for (int step = 0; step < s.greedy_steps; ++step) {
      const std::string where = fmt::format("greedy {} step {}", s.name, step);
      const std::span<const double> candidate = Row(answer, step, where);
      const std::vector<double> reference = Widen(s.GreedyLogits(step, trace_.vocab));
      greedy_stream_.Add({.reference_capped = reference, .candidate_capped = candidate}, where);
      found.push_back(ArgMax(candidate));
      gaps.push_back(TopGap(reference));
    }
    const std::span<const std::int32_t> all(s.greedy), prompt = all.first(static_cast<std::size_t>(s.prompt_length()));
    if (!tolerance_.logits.decides) return;
    if (subject_.greedy) found = subject_.greedy(prompt, s.greedy_steps);
    Judgement j = JudgeFreeRunning(all.subspan(prompt.size()), found, gaps, tolerance_.logits.tie,
                                   fmt::format("greedy {}", s.name));
    j.metric = "greedy_text";
    greedy_.Add(std::move(j));
  }

  const GoldenTrace& trace_;
  const GoldenSubject& subject_;
  const GoldenTolerance& tolerance_;
  StreamJudge stream_, greedy_stream_;
  Worst hidden_, greedy_;
  int answer_positions_ = 0, wrong_answers_ = 0;
  std::string first_wrong_;
};

GoldenTolerance Stated(double bound, const std::string& from) {
  return {.logits = LogitTolerance::Fixed(bound, 5 * bound, from),
          .hidden = Tolerance::Fixed(1e-4, "stated for float32: 1e-4 relative")};
}

}  // namespace

GoldenTolerance GoldenTolerance::Fp32(const LogitTolerance* twin) {
  constexpr double kStated = 2e-4;
  if (twin != nullptr && twin->max_abs.calibrated > kStated)
    return Stated(twin->max_abs.calibrated, fmt::format("more than the stated {:g}: {}", kStated, twin->max_abs.from));
  return Stated(kStated, fmt::format("stated for float32: {:g}", kStated));
}

GoldenTolerance GoldenTolerance::Fp32Large() { return Stated(5e-3, "stated for float32 at real geometry: 0.005"); }

std::vector<Judgement> JudgeGolden(const GoldenTrace& trace, const GoldenSubject& subject,
                                   const GoldenTolerance& tolerance) {
  return GoldenJudge(trace, subject, tolerance).Run();
}

}  // namespace assay
