#include "suites/parity/crowd.h"

#include <algorithm>
#include <numeric>

#include "engine/runtime/memory_plan.h"
#include "oracles/compare/ranking.h"

namespace assay {
namespace {

constexpr int kJudged = 3;                         // the first so many sessions are held against the reference
constexpr int kAskedInOrder[kJudged] = {1, 0, 2};  // neighbours share a prefix
constexpr int kTail = 4;                           // rows before the end of a prompt that the reference is asked for
constexpr int kPrefilled = 11;                     // sessions of the Prefill case: two of each long kind
constexpr int kNoWindow = 256;                     // lengths of models without one are made as if they had this
constexpr int kMaxRows = 512;                      // of a step
constexpr int kStream = 3000;                      // of made-up tokens

std::vector<int> FirstMembers(int n) {
  std::vector<int> members(static_cast<std::size_t>(n));
  std::iota(members.begin(), members.end(), 0);
  return members;
}

}  // namespace

Crowd::Crowd(const Subject& subject, const Options& options)
    : subject_(subject),
      steps_(options.steps),
      own_ops_(options.ops == nullptr ? MakeOpsOf(subject) : nullptr),
      ops_(options.ops == nullptr ? *own_ops_ : *options.ops) {
  const int window = SmallestWindow(StoreOf(subject).spec());
  window_ = window > 0 ? window : kNoWindow;
  // A chunk is the slack of a ring, and how far a session can go back.
  chunk_ = std::clamp(window_ / 4, steps_ + 8, 128);
  Populate();
  ReleaseReferences();
  FindPlaces(options.most);
  if (options.ask_reference) PrepareReference(subject, Requests());
  stage_ = std::make_unique<Stage>(subject_, OptionsFor(places_), ops_);
}

// Sessions 0, 8, 16, ... pass the window while they decode; 2, 10, 18, ... are longer than the ring.
int Crowd::PromptLength(int member) const {
  if (member % 8 == 0) return std::max(1, window_ - steps_ / 2);
  if (member % 8 == 2) return window_ + chunk_ + 4 + member / 8;
  return 1 + member * 37 % 97;
}

void Crowd::Populate() {
  for (int i = 0; i < *std::max_element(std::begin(kBatches), std::end(kBatches)); ++i) {
    Member member;
    member.prompt = PromptLength(i);
    member.tokens = MadeUpTokens(subject_, kStream + i, member.prompt + steps_);
    members_.push_back(std::move(member));
  }
  std::copy_n(At(0).tokens.begin(), At(0).prompt, At(2).tokens.begin());
}

int Crowd::Member::first_asked() const { return std::max(0, prompt - kTail); }

std::vector<ReferenceRequest> Crowd::Requests() const {
  std::vector<ReferenceRequest> requests;
  for (int i = 0; i < kJudged; ++i) {
    const Member& member = members_[static_cast<std::size_t>(kAskedInOrder[i])];
    requests.push_back({member.tokens, member.first_asked()});
  }
  return requests;
}

EngineOptions Crowd::OptionsFor(int sessions) const {
  EngineOptions options;
  options.max_sessions = sessions;
  options.capacity = 0;
  for (const Member& member : members_)
    options.capacity = std::max(options.capacity, static_cast<int>(member.tokens.size()));
  options.max_chunk = chunk_;
  options.max_rows = kMaxRows;
  return options;
}

void Crowd::FindPlaces(int most) {
  for (auto n = std::rbegin(kBatches); n != std::rend(kBatches); ++n) {
    if (*n > most) continue;
    try {
      RequireFits(StoreOf(subject_), ops_, OptionsFor(*n));
      places_ = *n;
      return;
    } catch (const OutOfMemory& error) {
      refused_.emplace(*n, error);
    }
  }
  throw refused_.begin()->second;
}

void Crowd::RequirePlaces(int n) const {
  if (n > places_) throw refused_.lower_bound(n)->second;
}

void Crowd::CloseAll() {
  for (Member& member : members_) {
    if (member.session) engine().Close(*member.session);
    member.session.reset();
    member.alone.clear();  // over another prefill's caches
  }
}

void Crowd::Rewind(int n) {
  for (int i = 0; i < n; ++i) engine().Truncate(*At(i).session, At(i).prompt);
}

void Crowd::Open(int n) {
  for (;;) {
    std::vector<Feed> feeds;
    std::vector<int> fed;
    int rows = 0;
    for (int i = 0; i < n; ++i) {
      Member& member = At(i);
      if (!member.session) member.session = engine().Open();
      const int length = engine().Length(*member.session), count = std::min(chunk_, member.prompt - length);
      if (count <= 0 || rows + count > kMaxRows) continue;
      rows += count;
      feeds.push_back(
          {*member.session, member.From(length, count), length + count == member.prompt ? Want::kLast : Want::kNone});
      fed.push_back(i);
    }
    if (feeds.empty()) return;
    const StepResult result = engine().Step(feeds);
    for (int row = 0; row < result.rows(); ++row) {
      const std::span<const float> raw = result.Raw(row);
      At(fed[static_cast<std::size_t>(result.feed[static_cast<std::size_t>(row)])])
          .last_of_prompt.assign(raw.begin(), raw.end());
    }
  }
}

template <class Visit>
void Crowd::Steps(const std::vector<int>& members, Visit&& visit) {
  for (int step = 0; step < steps_; ++step) {
    std::vector<Feed> feeds;
    for (const int i : members) feeds.push_back({*At(i).session, At(i).From(At(i).prompt + step, 1)});
    visit(step, engine().Step(feeds));
  }
}

const std::vector<std::vector<float>>& Crowd::Alone(int member) {
  std::vector<std::vector<float>>& alone = At(member).alone;
  if (!alone.empty()) return alone;
  Open(member + 1);
  Rewind(member + 1);
  std::vector<std::vector<float>> rows;
  Steps({member}, [&](int, const StepResult& result) { rows.push_back(result.raw); });
  return alone = std::move(rows);
}

std::vector<Tokens> Crowd::Text(const std::vector<int>& members) {
  std::vector<SessionId> sessions;
  Tokens first;
  for (const int i : members) {
    sessions.push_back(*At(i).session);
    first.push_back(At(i).From(At(i).prompt, 1)[0]);
  }
  return engine().Decode(sessions, first, steps_);
}

StepResult Crowd::Pieces(const Member& member, int chunk, Want want) {
  const SessionId session = engine().Open();
  StepResult last;
  for (int at = 0; at < member.prompt; at += chunk) {
    const int count = std::min(chunk, member.prompt - at);
    const Feed feed{session, member.From(at, count), at + count == member.prompt ? want : Want::kNone};
    last = engine().Step(std::span(&feed, 1));
  }
  engine().Close(session);
  return last;
}

void Crowd::Prefill(Judge& judge) {
  CloseAll();
  StreamChecker checker(subject_);
  const int count = std::min(places_, kPrefilled);
  std::vector<StepResult> whole;
  for (int i = 0; i < count; ++i) {
    const Member& member = At(i);
    whole.push_back(Pieces(member, chunk_, Want::kLast));
    if (i >= kJudged) continue;
    checker.Add(whole.back(), 0, member.tokens, fmt::format("prompt {} of {}, last", i, member.prompt),
                member.first_asked());
    for (const int chunk : {chunk_, chunk_ / 4 + 5}) {
      const StepResult tail = Pieces(member, chunk, Want::kAll);
      for (int row = 0; row < tail.rows(); ++row) {
        const int position = tail.position[static_cast<std::size_t>(row)];
        if (position < member.first_asked()) continue;
        const std::string where =
            fmt::format("prompt {} of {} in chunks of {}, position {}", i, member.prompt, chunk, position);
        checker.Add(tail, row, member.tokens, where, member.first_asked());
        if (position == member.prompt - 1) SameRows(judge, subject_, whole.back().Raw(0), tail.Raw(row), false, where);
      }
    }
  }
  checker.Finish(judge);
  Open(count);
  for (int i = 0; i < count; ++i)
    SameRows(judge, subject_, whole[static_cast<std::size_t>(i)].Raw(0), At(i).last_of_prompt, false,
             fmt::format("prompt {} packed", i));
}

void Crowd::Decode(int n, Judge& judge) {
  Open(n);
  for (int i = 0; i < n; ++i) Alone(i);
  Rewind(n);
  StreamChecker checker(subject_);
  Steps(FirstMembers(n), [&](int step, const StepResult& result) {
    for (int i = 0; i < n; ++i) {
      const Member& member = At(i);
      const std::string where = fmt::format("session {} of {} step {}", i, n, step);
      if (i < kJudged) checker.Add(result, i, member.tokens, where, member.first_asked());
      SameRows(judge, subject_, member.alone[static_cast<std::size_t>(step)], result.Raw(i), true, where);
      const int best = result.best[static_cast<std::size_t>(i)], expected = ArgMax(result.Capped(i));
      judge.True(best == expected, "best", where, fmt::format("expected token {}, found {}", expected, best));
    }
  });
  checker.Finish(judge);
}

void Crowd::Greedy(int n, Judge& judge) {
  Open(n);
  Rewind(n);
  const std::vector<int> members = FirstMembers(n);
  const std::vector<Tokens> texts = Text(members);
  Rewind(n);
  // Both sides may be off by one eps for each of the two tokens.
  const double allowed = subject_.exact() ? 0 : 4 * ToleranceOf(subject_).tie;
  // Logits of all rows come back: of large batches some sessions do.
  for (int i = 0; i<n; i += n> 8 ? 7 : 1) {
    const Tokens& text = texts[static_cast<std::size_t>(i)];
    Tokens fed = text;
    fed.insert(fed.begin(), At(i).From(At(i).prompt, 1)[0]);
    fed.pop_back();
    const Feed feed{*At(i).session, fed, Want::kAll};
    const StepResult result = engine().Step(std::span(&feed, 1));
    for (int row = 0; row < result.rows(); ++row) {
      const auto logits = result.Capped(row);
      const int chosen = text[static_cast<std::size_t>(row)], best = ArgMax(logits);
      const double gap =
          static_cast<double>(logits[static_cast<std::size_t>(best)]) - logits[static_cast<std::size_t>(chosen)];
      judge.Add({.verdict = chosen == best   ? Verdict::kMatch
                            : gap <= allowed ? Verdict::kTieFlip
                                             : Verdict::kWrong,
                 .value = gap,
                 .bound = allowed,
                 .headroom = Headroom(gap, allowed),
                 .metric = "greedy_text",
                 .worst = fmt::format("session {} of {} step {}", i, n, row),
                 .detail = fmt::format("expected token {}, found {}", best, chosen),
                 .bound_from = "two computations, two logits, one eps each"});
    }
  }
}

void Crowd::Invariant(Judge& judge) {
  Open(places_);
  std::vector<Tokens> alone_texts;
  for (int i = 0; i < places_; ++i) Alone(i);
  for (int i = 0; i < places_; ++i) {
    Rewind(places_);
    alone_texts.push_back(Text({i}).front());
  }
  for (const int n : kBatches) {
    if (n > places_) break;
    std::vector<int> members = FirstMembers(n);
    std::reverse(members.begin(), members.end());
    Rewind(places_);
    Steps(members, [&](int step, const StepResult& result) {
      for (int row = 0; row < n; ++row) {
        const int i = members[static_cast<std::size_t>(row)];
        judge.Bits(At(i).alone[static_cast<std::size_t>(step)], result.Raw(row),
                   fmt::format("session {} of {} step {}", i, n, step));
      }
    });
    Rewind(places_);
    const std::vector<Tokens> texts = Text(members);
    for (int row = 0; row < n; ++row) {
      const int i = members[static_cast<std::size_t>(row)];
      judge.True(texts[static_cast<std::size_t>(row)] == alone_texts[static_cast<std::size_t>(i)], "greedy_text",
                 fmt::format("session {} of {}", i, n), "expected the text of the session alone");
    }
  }
}

}  // namespace assay
