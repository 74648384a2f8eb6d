#include "suites/parity/batch_scenario.h"
#include "suites/parity/streams.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "engine/base/random.h"
#include "engine/runtime/memory_plan.h"
#include "oracles/compare/ranking.h"

namespace assay {
namespace {

constexpr int kReferenced = 3;                         // the first so many sessions are held against the reference
constexpr int kAskedInOrder[kReferenced] = {1, 0, 2};  // neighbours share a prefix
constexpr int kTail = 4;        // rows before the end of a prompt that the reference is asked for
constexpr int kPrefilled = 11;  // sessions of the Prefill case: two of each long kind
constexpr int kNoWindow = 256;  // lengths of models without one are made as if they had this
constexpr int kMaxRows = 512;   // of a step

std::vector<int> First(int n) {
  std::vector<int> members(n);
  std::iota(members.begin(), members.end(), 0);
  return members;
}

}  // namespace

Target InBatchInvariantMode(const Target& target) {
  Target invariant = target;
  invariant.batch_invariant = true;
  return invariant;
}

BatchScenario::BatchScenario(Workbench& bench, const Target& target, const Options& options)
    : target_(target), steps_(options.steps) {
  const int window = SmallestWindow(bench.Spec(target));
  window_ = window > 0 ? window : kNoWindow;
  // A chunk is the slack of a ring, and how far a session can go back.
  chunk_ = std::clamp(window_ / 4, steps_ + 8, 128);
  Populate(bench.Spec(target), target.seed);
  ops_ = bench.MakeOps(target);
  FindLargestBatch(bench, options.most);
  if (options.ask_reference) bench.references().Prepare(target, Requests());
  system_ = bench.OpenEngine(target, OptionsFor(largest_batch_), *ops_);
}

// Sessions 0, 8, 16, ... pass the window while they decode; 2, 10, 18, ... are longer than the ring.
int BatchScenario::PromptLength(int session) const {
  if (session % 8 == 0) return std::max(1, window_ - steps_ / 2);
  if (session % 8 == 2) return window_ + chunk_ + 4 + session / 8;
  return 1 + session * 37 % 97;
}

void BatchScenario::Populate(const ModelSpec& spec, std::uint64_t seed) {
  for (int i = 0; i < *std::max_element(std::begin(kBatches), std::end(kBatches)); ++i) {
    Session session;
    session.prompt = PromptLength(i);
    session.tokens = RandomTokens(seed, kBatchStream + i, session.prompt + steps_, spec.vocab);
    sessions_.push_back(std::move(session));
  }
  std::copy_n(sessions_[0].tokens.begin(), sessions_[0].prompt, sessions_[2].tokens.begin());
}

int BatchScenario::Session::first_asked() const { return std::max(0, prompt - kTail); }

std::vector<ReferenceRequest> BatchScenario::Requests() const {
  std::vector<ReferenceRequest> requests;
  for (const int i : kAskedInOrder) requests.push_back({sessions_[i].tokens, sessions_[i].first_asked()});
  return requests;
}

EngineOptions BatchScenario::OptionsFor(int sessions) const {
  EngineOptions options;
  options.max_sessions = sessions;
  options.capacity = 0;
  for (const Session& session : sessions_)
    options.capacity = std::max(options.capacity, static_cast<int>(session.tokens.size()));
  options.max_chunk = chunk_;
  options.max_rows = kMaxRows;
  return options;
}

void BatchScenario::FindLargestBatch(Workbench& bench, int most) {
  for (auto n = std::rbegin(kBatches); n != std::rend(kBatches); ++n) {
    if (*n > most) continue;
    try {
      RequireFits(bench.Store(target_), *ops_, OptionsFor(*n));
      largest_batch_ = *n;
      return;
    } catch (const OutOfMemory& error) {
      refused_.emplace(*n, error);
    }
  }
  throw refused_.begin()->second;
}

void BatchScenario::RequireBatch(int n) const {
  if (n > largest_batch_) throw refused_.lower_bound(n)->second;
}

void BatchScenario::CloseAll() {
  for (Session& session : sessions_) {
    if (session.id) system_->Close(*session.id);
    session.id.reset();
    session.alone.clear();  // over another prefill's caches
  }
}

void BatchScenario::Rewind(int n) {
  for (int i = 0; i < n; ++i) system_->Truncate(*sessions_[i].id, sessions_[i].prompt);
}

void BatchScenario::Open(int n) {
  for (;;) {
    std::vector<Feed> feeds;
    std::vector<int> fed;
    int rows = 0;
    for (int i = 0; i < n; ++i) {
      Session& session = sessions_[i];
      if (!session.id) session.id = system_->Open();
      const int length = system_->Length(*session.id), count = std::min(chunk_, session.prompt - length);
      if (count <= 0 || rows + count > kMaxRows) continue;
      rows += count;
      feeds.push_back(
          {*session.id, session.From(length, count), length + count == session.prompt ? Want::kLast : Want::kNone});
      fed.push_back(i);
    }
    if (feeds.empty()) return;
    const StepResult result = system_->Step(feeds);
    for (int row = 0; row < result.rows(); ++row)
      sessions_[fed[result.feed[row]]].last_of_prompt.assign(result.Raw(row).begin(), result.Raw(row).end());
  }
}

template <class Visit>
void BatchScenario::Steps(const std::vector<int>& members, Visit&& visit) {
  for (int step = 0; step < steps_; ++step) {
    std::vector<Feed> feeds;
    for (const int i : members) feeds.push_back({*sessions_[i].id, sessions_[i].From(sessions_[i].prompt + step, 1)});
    visit(step, system_->Step(feeds));
  }
}

const std::vector<std::vector<float>>& BatchScenario::Alone(int session) {
  std::vector<std::vector<float>>& alone = sessions_[session].alone;
  if (!alone.empty()) return alone;
  Open(session + 1);
  Rewind(session + 1);
  std::vector<std::vector<float>> rows;
  Steps({session}, [&](int, const StepResult& result) { rows.push_back(result.raw); });
  return alone = std::move(rows);
}

std::pair<std::vector<SessionId>, Tokens> BatchScenario::Next(const std::vector<int>& members) const {
  std::vector<SessionId> ids;
  Tokens first;
  for (const int i : members) {
    ids.push_back(*sessions_[i].id);
    first.push_back(sessions_[i].From(sessions_[i].prompt, 1)[0]);
  }
  return {std::move(ids), std::move(first)};
}

std::vector<Tokens> BatchScenario::Text(const std::vector<int>& members) {
  const auto [ids, first] = Next(members);
  return system_->Decode(ids, first, steps_);
}

StepResult BatchScenario::Pieces(const Session& session, int chunk, Want want) {
  const SessionId id = system_->Open();
  StepResult last;
  for (int at = 0; at < session.prompt; at += chunk) {
    const int count = std::min(chunk, session.prompt - at);
    last = system_->Step(Feed{id, session.From(at, count), at + count == session.prompt ? want : Want::kNone});
  }
  system_->Close(id);
  return last;
}

void BatchScenario::Prefill(CaseState& state) {
  CloseAll();
  LogitChecker checker(state);
  RowAgreement same(state);
  const int count = std::min(largest_batch_, kPrefilled);
  same.AtLeast(count + 2 * std::min(count, kReferenced));
  checker.AtLeast(3 * std::min(count, kReferenced));
  std::vector<StepResult> whole;
  for (int i = 0; i < count; ++i) {
    const Session& session = sessions_[i];
    whole.push_back(Pieces(session, chunk_, Want::kLast));
    if (i >= kReferenced) continue;
    checker.Add(whole.back(), 0, session.tokens, {"last", {{"prompt", i}}}, session.first_asked());
    for (const int chunk : {chunk_, chunk_ / 4 + 5}) {
      const StepResult tail = Pieces(session, chunk, Want::kAll);
      for (int row = 0; row < tail.rows(); ++row) {
        const int position = tail.position[row];
        if (position < session.first_asked()) continue;
        const Place where{{"prompt", i}, {"chunk", chunk}, {"position", position}};
        checker.Add(tail, row, session.tokens, where, session.first_asked());
        if (position == session.prompt - 1)
          same.Check(whole.back().Raw(0), tail.Raw(row), where, session.tokens, position);
      }
    }
  }
  checker.Finish();
  Open(count);
  for (int i = 0; i < count; ++i)
    same.Check(whole[i].Raw(0), sessions_[i].last_of_prompt, {"packed", {{"prompt", i}}}, sessions_[i].tokens,
               sessions_[i].prompt - 1);
}

void BatchScenario::Decode(CaseState& state, int n) {
  LogitChecker checker(state);
  RowAgreement same(state);
  Open(n);
  for (int i = 0; i < n; ++i) Alone(i);
  Rewind(n);
  same.AtLeast(std::int64_t{n} * steps_);
  checker.AtLeast(std::int64_t{std::min(n, kReferenced)} * steps_);
  state.check.AtLeast("best", std::int64_t{n} * steps_);
  Steps(First(n), [&](int step, const StepResult& result) {
    for (int i = 0; i < n; ++i) {
      const Session& session = sessions_[i];
      const Place where{{"session", i}, {"step", step}};
      if (i < kReferenced) checker.Add(result, i, session.tokens, where, session.first_asked());
      same.Check(session.alone[step], result.Raw(i), where, session.tokens, result.position[i]);
      const int best = result.best[i], expected = ArgMax(result.Capped(i));
      state.check.True(best == expected, "best", where, fmt::format("expected token {}, found {}", expected, best));
    }
  });
  checker.Finish();
}

void BatchScenario::Greedy(CaseState& state, int n) {
  Open(n);
  Rewind(n);
  const auto [ids, first] = Next(First(n));
  const std::vector<Tokens> texts = system_->Decode(ids, first, steps_);
  Rewind(n);
  state.check.AtLeast("greedy_text", (n > 8 ? (n + 6) / 7 : n) * steps_);
  CheckGreedy(state, *system_, ids, first, texts);
}

void BatchScenario::Invariant(Checker& check) {
  check.KeepDigest();
  Open(largest_batch_);
  std::vector<Tokens> alone_texts;
  for (int i = 0; i < largest_batch_; ++i) Alone(i);
  for (int i = 0; i < largest_batch_; ++i) {
    Rewind(largest_batch_);
    alone_texts.push_back(Text({i}).front());
  }
  for (const int n : kBatches) {
    if (n > largest_batch_) break;
    check.AtLeast("ulp", std::int64_t{n} * steps_);
    check.AtLeast("greedy_text", n);
    std::vector<int> members = First(n);
    std::reverse(members.begin(), members.end());
    Rewind(largest_batch_);
    Steps(members, [&](int step, const StepResult& result) {
      for (int row = 0; row < n; ++row)
        check.Bits(sessions_[members[row]].alone[step], result.Raw(row),
                   {{"n", n}, {"session", members[row]}, {"step", step}});
    });
    Rewind(largest_batch_);
    const std::vector<Tokens> texts = Text(members);
    for (int row = 0; row < n; ++row)
      check.True(texts[row] == alone_texts[members[row]], "greedy_text", {{"n", n}, {"session", members[row]}},
                 "expected the text of the session alone");
  }
}

void CheckGreedy(Checker& check, SystemUnderTest& system, std::span<const SessionId> sessions,
                 std::span<const std::int32_t> first, const std::vector<Tokens>& texts, double tie, double sigma,
                 int every, const GreedyExcuse& excuse) {
  // Both sides may be off by one eps for each of the two tokens, and both have noise.
  const Bound allowed{0, tie, "two computations, two logits, one eps each"};
  for (int i = 0; i < std::ssize(sessions); i += every) {
    Tokens fed = texts[i];
    fed.insert(fed.begin(), first[i]);
    fed.pop_back();
    for (int at = 0; at < std::ssize(fed); at += system.limits().max_chunk) {
      const int count = std::min(system.limits().max_chunk, static_cast<int>(fed.size()) - at);
      const StepResult result = system.Step(Feed{sessions[i], Slice(fed, at, count), Want::kAll});
      for (int row = 0; row < result.rows(); ++row) {
        const std::vector<double> logits = Widen(result.Capped(row));
        const int step = at + row, chosen = texts[i][step], best = ArgMax(logits);
        const Place where{{"session", i}, {"step", step}};
        if (chosen < 0 || chosen >= result.vocab) {
          check.True(false, "token in the vocabulary", where, fmt::format("found {}", chosen));
          continue;
        }
        Judgement judgement = Judged("greedy_text", logits[best] - logits[chosen], allowed, where,
                                     fmt::format("expected token {}, found {}", best, chosen), Verdict::kTieFlip);
        judgement.soft_probability = FlipProbability(TopGap(logits), std::numbers::sqrt2 * sigma);
        if (excuse && judgement.verdict == Verdict::kWrong)
          if (std::optional<Judgement> excused = excuse(result.Raw(row), where)) judgement = std::move(*excused);
        check.Add(judgement);
      }
    }
  }
}

void CheckGreedy(CaseState& state, SystemUnderTest& system, std::span<const SessionId> sessions,
                 std::span<const std::int32_t> first, const std::vector<Tokens>& texts) {
  double tie = 0, sigma = 0;
  if (!state.target.exact()) {
    const LogitTolerance& tolerance = state.references().Tolerance(state.target);
    tie = tolerance.TieBetween();
    sigma = tolerance.sigma;
  }
  GreedyExcuse excuse;
  if (RoutesByRounding(state))
    excuse = [&state](std::span<const float> row, const Place& where) {
      return RoutingJudge(state).Tie(row, "greedy_text", where);
    };
  // Logits of all rows come back: of large batches some sessions do.
  CheckGreedy(state.check, system, sessions, first, texts, tie, sigma, sessions.size() > 8 ? 7 : 1, excuse);
}

}  // namespace assay
