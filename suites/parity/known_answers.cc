#include <algorithm>
#include <filesystem>

#include "engine/weights/requantised.h"
#include "oracles/golden/trace.h"
#include "suites/parity/parity.h"
#include "suites/support/embedded.h"

namespace assay {
namespace {

// Feeds every recorded text, `n` sessions at a time, ragged: session i starts its decode rows at a different place.
// Each position before an answer must predict it.
void Answers(const Subject& subject, const GoldenTrace& trace, int n, Judge& judge) {
  int longest = 0;
  for (const GoldenSequence& sequence : trace.sequences)
    longest = std::max(longest, static_cast<int>(sequence.tokens.size()));
  EngineOptions options = SmallOptions(subject, n, longest + 1);
  Stage stage(subject, options);
  Engine& engine = stage.engine();
  struct User {
    const GoldenSequence* text;
    SessionId session;
    int start;  // rows before it are prefilled as a prompt
  };
  int asked = 0, right = 0;
  std::string wrong;
  const auto score = [&](const User& user, int position, std::int32_t best, int step) {
    const auto next = static_cast<std::size_t>(position) + 1;
    if (next >= user.text->tokens.size() || user.text->answer[next] == 0) return;
    ++asked;
    if (best == user.text->tokens[next])
      ++right;
    else if (wrong.empty())
      wrong = fmt::format("text {} position {} step {}: expected {}, found {}", user.text->name, position, step,
                          user.text->tokens[next], best);
  };
  // The last text is the longest: a single user gets that one.
  std::vector<User> users;
  for (int i = 0; i < n; ++i) {
    const GoldenSequence& text = *(trace.sequences.rbegin() + i % static_cast<std::ptrdiff_t>(trace.sequences.size()));
    const int length = static_cast<int>(text.tokens.size());
    // The first user of each text decodes it (nearly) whole, the others its last part, all from different positions.
    const int start = i < static_cast<int>(trace.sequences.size()) ? std::min(1 + i, length - 1)
                                                                   : std::max(1, length - 20 - 3 * (i % 7));
    users.push_back({&text, engine.Open(), std::clamp(start, 1, std::max(1, length - 1))});
    User& user = users.back();
    const StepResult prompt =
        engine.Prefill(user.session, std::span(text.tokens).first(static_cast<std::size_t>(user.start)), Want::kAll);
    for (int row = 0; row < prompt.rows(); ++row)
      score(user, prompt.position[static_cast<std::size_t>(row)], prompt.best[static_cast<std::size_t>(row)], -1);
  }
  for (int step = 0;; ++step) {
    std::vector<Feed> feeds;
    std::vector<const User*> fed;
    for (const User& user : users) {
      const auto length = static_cast<std::size_t>(engine.Length(user.session));
      if (length >= user.text->tokens.size()) continue;
      feeds.push_back({user.session, std::span(user.text->tokens).subspan(length, 1)});
      fed.push_back(&user);
    }
    if (feeds.empty()) break;
    const StepResult result = engine.Step(feeds);
    for (int row = 0; row < result.rows(); ++row) {
      const auto i = static_cast<std::size_t>(row);
      score(*fed[static_cast<std::size_t>(result.feed[i])], result.position[i], result.best[i], step);
    }
  }
  judge.True(asked > 0 && right == asked, "answers", wrong.empty() ? "none asked" : wrong,
             fmt::format("{} of {} right", right, asked));
}

}  // namespace

std::vector<Case> KnownAnswerCases(const Subject& subject) {
  std::vector<Case> cases;
  // The answers follow from the text: they are those of the model in any number of bits that keeps what it learnt.
  const std::string path = GoldensOf(SplitQuantisedName(subject.model).base);
  if (path.empty()) return cases;
  const GoldenTrace trace = ReadGolden(path);
  const bool any = std::any_of(trace.sequences.begin(), trace.sequences.end(),
                               [](const GoldenSequence& s) { return !s.answer.empty(); });
  if (!any) return cases;
  std::vector<int> users{1, 16};
  if (!subject.exact()) users.push_back(64);  // on the host a row's arithmetic is the same at every N
  for (const int n : users)
    cases.push_back(MakeCase("KnownAnswers", "AllRight", subject, fmt::format("n{}", n),
                             [subject, trace, n](Judge& judge) { Answers(subject, trace, n, judge); }));
  return cases;
}

}  // namespace assay
