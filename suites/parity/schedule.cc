#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "suites/parity/parity.h"
#include "suites/parity/player.h"
#include "suites/parity/random_schedule.h"

namespace assay {
namespace {

// What a user who had the session alone would have seen: row i follows token i.
class SingleUser {
 public:
  SingleUser(CaseState& state, int capacity) : system_(state.Open(SmallOptions(state.spec(), 1, capacity))) {}
  const StepResult& Rows(const Tokens& tokens) {
    StepResult& rows = rows_[tokens];
    if (rows.best.empty()) rows = AloneRows(*system_, tokens);
    return rows;
  }

 private:
  std::unique_ptr<SystemUnderTest> system_;
  std::map<Tokens, StepResult> rows_;
};

// Sessions come and go while others decode; prompts of newcomers run as chunks beside decode rows.
void JoinLeave(CaseState& state) {
  constexpr int kCapacity = 40, kSteps = 24, kMost = 6, kPrompt = 4;
  LogitChecker checker(state);
  RowAgreement same(state);
  EngineOptions options = SmallOptions(state.spec(), kMost, kCapacity);
  options.max_chunk = std::max(options.max_chunk, kPrompt + 4);
  const auto system = state.Open(options);
  SingleUser single(state, kCapacity);
  struct Active {
    SessionId session;
    Tokens tokens;
  };
  std::vector<Active> sessions;
  int arrivals = 0;
  // Grows to five, shrinks to two, grows again; a session index is taken over the step after it became free.
  constexpr int kSessions[kSteps] = {1, 1, 2, 2, 3, 3, 4, 4, 5, 4, 3, 2, 2, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5};
  const int rows = std::accumulate(std::begin(kSessions), std::end(kSessions), 0);
  same.AtLeast(rows);
  checker.AtLeast(rows);
  for (int step = 0; step < kSteps; ++step) {
    const int target = kSessions[step];
    while (std::ssize(sessions) > target) {
      system->Close(sessions.front().session);
      sessions.erase(sessions.begin());
    }
    while (std::ssize(sessions) < target) {
      sessions.push_back({system->Open(), state.MadeUp(700 + arrivals, kPrompt + arrivals % 5 + kSteps)});
      ++arrivals;
    }
    std::vector<Feed> feeds;
    for (const Active& active : sessions) {
      const int length = system->Length(active.session);
      const int count = length == 0 ? kPrompt + static_cast<int>(active.tokens.size()) % 5 : 1;
      feeds.push_back({active.session, Slice(active.tokens, length, count), Want::kLast});
    }
    std::rotate(feeds.begin(), feeds.begin() + step % std::ssize(feeds), feeds.end());
    const StepResult result = system->Step(feeds);
    for (int row = 0; row < result.rows(); ++row) {
      const Feed& feed = feeds[result.feed[row]];
      const auto active =
          std::find_if(sessions.begin(), sessions.end(), [&](const Active& a) { return a.session == feed.session; });
      const int position = result.position[row];
      const Place where{{"session", feed.session.index}, {"position", position}, {"step", step}};
      same.Check(single.Rows(active->tokens).Raw(position), result.Raw(row), where, active->tokens, position);
      checker.Add(result, row, active->tokens, where);
    }
  }
  checker.Finish();
}

void ForkAndDiverge(CaseState& state) {
  const int shared = 2 * WindowWithin(state.spec(), 4, 24) + 1, own = 6;
  RowAgreement same(state);
  same.AtLeast(2 * own + 1);
  const auto system = state.Open(SmallOptions(state.spec(), 3, shared + own + 1));
  SingleUser single(state, shared + own + 1);
  const Tokens prefix = state.MadeUp(800, shared);
  const SessionId first = system->OpenWith(prefix), second = system->Fork(first);
  std::vector<Tokens> tokens{prefix, prefix};
  for (int i = 0; i < 2; ++i) {
    const Tokens tail = state.MadeUp(801 + i, own);
    tokens[i].insert(tokens[i].end(), tail.begin(), tail.end());
  }
  for (int step = 0; step < own; ++step) {
    const std::vector<Feed> feeds{{first, Slice(tokens[0], shared + step, 1)},
                                  {second, Slice(tokens[1], shared + step, 1)}};
    const StepResult result = system->Step(feeds);
    for (int row = 0; row < 2; ++row)
      same.Check(single.Rows(tokens[row]).Raw(shared + step), result.Raw(row), {{"copy", row}, {"step", step}},
                 tokens[row], shared + step);
  }
  // The copy must not depend on its origin.
  system->Close(first);
  const Tokens last = state.MadeUp(810, 1);
  tokens[1].push_back(last[0]);
  const StepResult result = system->Step(Feed{second, last});
  same.Check(single.Rows(tokens[1]).Raw(shared + own), result.Raw(0), "copy after its origin closed", tokens[1],
             shared + own);
}

// How far back the engine of this tree goes is known; another system may refuse, and then cannot be asked.
void GoBack(SystemUnderTest& system, SessionId session, int length) {
  const Support can = system.CanTruncate(session, length);
  Require<Unsupported>(can.ok || system.engine() != nullptr, "{}", can.reason);
  system.Truncate(session, length);
}

// Verify some speculative tokens, take them back, go on: as if they had never run.
void RollbackSpeculative(CaseState& state) {
  const int length = 2 * WindowWithin(state.spec(), 4, 24) + 1, more = 8;
  SameBits same(state);
  const auto system = state.Open(SmallOptions(state.spec(), 2, length + more + 8));
  const Tokens tokens = state.MadeUp(820, length + more);
  const auto run = [&](bool speculate) {
    const SessionId session = system->OpenWith(Slice(tokens, 0, length));
    std::vector<float> logits;
    for (int step = 0; step < more; ++step) {
      if (speculate) {
        const int rows = 1 + step % std::min(4, system->limits().max_chunk), before = system->Length(session);
        system->Step(Feed{session, state.MadeUp(830 + step, rows), Want::kAll});
        GoBack(*system, session, before);
      }
      const StepResult result = system->Step(Feed{session, Slice(tokens, length + step, 1)});
      logits.insert(logits.end(), result.raw.begin(), result.raw.end());
    }
    system->Close(session);
    return logits;
  };
  same.AtLeast(1);
  const std::vector<float> never = run(false), taken_back = run(true);
  state.check.True(std::ssize(never) == std::int64_t{more} * system->vocab(), "rows", "speculation taken back");
  same.Check(never, taken_back, "speculation taken back");
}

// A truncate that the rings cannot honour is refused with a reason, and one they can gives the same rows again.
void TruncateReplays(CaseState& state) {
  const int length = 3 * WindowWithin(state.spec(), 4, 24);
  RowAgreement same(state);
  const auto system = state.Open(SmallOptions(state.spec(), 1, length));
  const Tokens tokens = state.MadeUp(840, length);
  if (system->engine() != nullptr) same.AtLeast(std::min(length, system->limits().max_chunk));
  const StepResult all = AloneRows(*system, tokens);
  const SessionId session = system->OpenWith(tokens);
  int refused = 0, replayed = 0;
  std::string why;
  for (int back = 1; back <= length; ++back) {
    const Support can = system->CanTruncate(session, length - back);
    if (!can.ok) {
      ++refused;
      why = can.reason;
      state.check.True(!can.reason.empty(), "reason", {{"back", back}});
      bool threw = false;
      try {
        system->Truncate(session, length - back);
      } catch (const InputError&) {
        threw = true;
      }
      state.check.True(threw && system->Length(session) == length, "refusal", {{"back", back}});
      continue;
    }
    system->Truncate(session, length - back);
    const StepResult again = system->Prefill(session, Slice(tokens, length - back, back), Want::kLast, 1);
    same.Check(all.Raw(length - 1), again.Raw(0), {{"back", back}}, tokens, length - 1);
    ++replayed;
  }
  Require<Unsupported>(replayed > 0 || system->engine() != nullptr, "{}", why);
  state.check.True(refused + replayed == length, "lengths tried", {},
                   fmt::format("{} of {}", refused + replayed, length));
  if (EngineSystem* engine = system->engine()) {
    const auto& caches = engine->inside().kv_plan().caches;
    const bool wraps =
        std::any_of(caches.begin(), caches.end(), [&](const KvCacheSpec& cache) { return cache.slots < length; });
    state.check.True((refused > 0) == wraps, "refusals", {},
                     fmt::format("{} lengths refused, rings {}", refused, wraps ? "wrap" : "do not wrap"));
  }
}

constexpr std::int64_t kMostDirected = 2'000'000;  // weights of a model that is put through long schedules

void Play(CaseState& state, const std::vector<Schedule>& schedules) {
  for (const Schedule& schedule : schedules) {
    // Of moves that mean something most are not refused, and most feed.
    const auto moves = std::ssize(schedule.moves);
    state.check.AtLeast("length", moves / 2);
    state.check.AtLeast("reach", moves / 2);
    RowAgreement(state).AtLeast(moves / 8);
    PlaySchedule(state, schedule);
  }
}

// Random moves; the case's seed is part of the target's.
void RandomMoves(CaseState& state, int number) {
  constexpr int kMoves = 40;
  Play(state, {RandomSchedule(state.spec(), 1000 * state.target.seed + number, kMoves)});
}

}  // namespace

std::vector<Case> ScheduleCases(Workbench& bench, const Target& target) {
  using enum Capability;
  constexpr int kSmallRandom = 6, kRandom = 2;
  std::vector<Case> cases;
  const auto add = [&](const char* name, std::vector<Capability> needs, void (*body)(CaseState&),
                       double tokens = Case().tokens) {
    cases.push_back(MakeCase("Schedule", name, target, {}, std::move(needs), body));
    cases.back().tokens = tokens;
  };
  add("JoinLeave", {kLogits, kBatch, kMixed}, JoinLeave, 1400);
  add("ForkAndDiverge", {kLogits, kBatch, kFork}, ForkAndDiverge);
  add("RollbackSpeculative", {kLogits, kChunk, kTruncate}, RollbackSpeculative);
  add("TruncateReplays", {kLogits, kTruncate}, TruncateReplays, 2000);
  if (IsLarge(bench.Spec(target))) return cases;
  const std::vector<Capability> all{kInternals, kRawLogits, kBatch, kMixed, kFork, kTruncate, kDecode};
  const bool small = WeightCount(bench.Spec(target)) < kMostDirected;
  for (int number = 0; number < (small ? kSmallRandom : kRandom); ++number)
    cases.push_back(MakeCase("Schedule", "RandomMoves", target, {{"number", number}}, all,
                             [number](CaseState& state) { RandomMoves(state, number); }));
  if (!small) return cases;
  add("ForksAroundTheRing", all, [](CaseState& state) { Play(state, ForksAroundTheRing(state.spec())); });
  add("BackTwice", all, [](CaseState& state) { Play(state, {BackTwice(state.spec())}); });
  add("FailuresTakenBack", all, [](CaseState& state) { Play(state, {FailuresTakenBack(state.spec())}); });
  add("LongDecode", all, [](CaseState& state) { Play(state, {LongDecode()}); });
  return cases;
}

std::vector<Case> GeometryCases(Workbench&, const std::vector<Target>& targets) {
  using enum Capability;
  constexpr int kGeometries = 24, kSchedules = 2, kMoves = 40;
  std::vector<Case> cases;
  for (const Target& any : OncePerDevice(targets))
    for (int number = 0; number < kGeometries; ++number) {
      Target target = any;
      target.model = target.label = fmt::format("random-{}", number);
      cases.push_back(
          MakeCase("Geometries", "RandomMoves", target, {},
                   {kRawLogits, kBatch, kMixed, kFork, kTruncate, kDecode, kInternals}, [](CaseState& state) {
                     std::vector<Schedule> schedules;
                     for (int i = 0; i < kSchedules; ++i)
                       schedules.push_back(RandomSchedule(state.spec(), 50 + 1000 * state.target.seed + i, kMoves));
                     Play(state, schedules);
                   }));
      cases.back().seconds = 0.1;
    }
  return cases;
}

}  // namespace assay
