#include <algorithm>
#include <memory>

#include "engine/weights/requantised.h"
#include "oracles/golden/trace.h"
#include "suites/parity/parity.h"
#include "suites/support/embedded.h"

namespace assay {
namespace {

// Feeds every recorded text, `n` sessions at a time, ragged: session i starts its decode rows at a different place.
// Each position before an answer must predict it.
void AllRight(CaseState& state, const GoldenTrace& trace, int n) {
  const int texts = static_cast<int>(trace.sequences.size());
  int longest = 0;
  for (const GoldenSequence& sequence : trace.sequences)
    longest = std::max(longest, static_cast<int>(sequence.tokens.size()));
  const auto system = state.Open(SmallOptions(state.spec(), n, longest + 1));
  struct User {
    const GoldenSequence* text;
    SessionId session;
  };
  const auto score = [&](int user, const GoldenSequence& text, int position, std::int32_t best, int step) {
    const int next = position + 1;
    if (next >= std::ssize(text.answer) || text.answer[next] == 0) return;
    state.check.True(best == text.tokens[next], "answers", {{"session", user}, {"position", position}, {"step", step}},
                     fmt::format("text {}: expected token {}, found {}", text.name, text.tokens[next], best));
  };
  for (int i = 0; i < n; ++i) {
    const std::vector<std::int32_t>& answer = (trace.sequences.rbegin() + i % texts)->answer;
    if (!answer.empty())
      state.check.AtLeast("answers", std::count_if(answer.begin() + 1, answer.end(), [](auto a) { return a != 0; }));
  }
  // The last text is the longest: a single user gets that one.
  std::vector<User> users;
  for (int i = 0; i < n; ++i) {
    const GoldenSequence& text = *(trace.sequences.rbegin() + i % texts);
    const int length = static_cast<int>(text.tokens.size());
    // The first user of each text decodes it (nearly) whole, the others its last part, all from different positions.
    const int start = i < texts ? std::min(1 + i, length - 1) : std::max(1, length - 20 - 3 * (i % 7));
    users.push_back({&text, system->Open()});
    const int prompt = std::clamp(start, 1, std::max(1, length - 1));
    const StepResult result = system->Prefill(users.back().session, Slice(text.tokens, 0, prompt), Want::kAll);
    for (int row = 0; row < result.rows(); ++row) score(i, text, result.position[row], result.best[row], -1);
  }
  for (int step = 0;; ++step) {
    std::vector<Feed> feeds;
    std::vector<int> fed;
    for (int i = 0; i < n; ++i) {
      const int length = system->Length(users[i].session);
      if (length >= std::ssize(users[i].text->tokens)) continue;
      feeds.push_back({users[i].session, Slice(users[i].text->tokens, length, 1)});
      fed.push_back(i);
    }
    if (feeds.empty()) break;
    const StepResult result = system->Step(feeds);
    for (int row = 0; row < result.rows(); ++row) {
      const int user = fed[result.feed[row]];
      score(user, *users[user].text, result.position[row], result.best[row], step);
    }
  }
}

}  // namespace

std::vector<Case> KnownAnswerCases(Workbench&, const Target& target) {
  std::vector<Case> cases;
  // The answers follow from the text: they are those of the model in any number of bits that keeps what it learnt.
  const std::string path = GoldensOf(SplitQuantisedName(target.model).base);
  if (path.empty()) return cases;
  const auto trace = std::make_shared<const GoldenTrace>(ReadGolden(path));
  if (std::all_of(trace->sequences.begin(), trace->sequences.end(),
                  [](const GoldenSequence& s) { return s.answer.empty(); }))
    return cases;
  std::vector<int> users{1, 16};
  if (!target.device.on_host()) users.push_back(64);  // on the host a row's arithmetic is the same at every N
  for (const int n : users) {
    cases.push_back(MakeCase("KnownAnswers", "AllRight", target, {{"n", n}}, {Capability::kBatch},
                             [trace, n](CaseState& state) { AllRight(state, *trace, n); }));
    cases.back().tokens = 75.0 * n;
  }
  return cases;
}

}  // namespace assay
