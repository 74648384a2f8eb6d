#include <algorithm>
#include <map>

#include "suites/parity/parity.h"

namespace assay {
namespace {

// What a user who had the session alone would have seen: rows[i] follows token i.
class Solo {
 public:
  Solo(const Subject& subject, int capacity) : stage_(subject, SmallOptions(subject, 1, capacity)) {}
  const StepResult& Rows(const Tokens& tokens) {
    StepResult& rows = rows_[tokens];
    if (rows.best.empty()) rows = AloneRows(stage_, tokens);
    return rows;
  }

 private:
  Stage stage_;
  std::map<Tokens, StepResult> rows_;
};

// Sessions come and go while others decode; prompts of newcomers run as chunks beside decode rows.
void JoinLeave(const Subject& subject, Judge& judge) {
  constexpr int kCapacity = 40, kSteps = 24, kPlaces = 6;
  Stage stage(subject, SmallOptions(subject, kPlaces, kCapacity));
  Engine& engine = stage.engine();
  Solo solo(subject, kCapacity);
  struct Guest {
    SessionId session;
    Tokens tokens;
  };
  std::vector<Guest> guests;
  StreamChecker checker(subject);
  int arrivals = 0;
  for (int step = 0; step < kSteps; ++step) {
    // Grows to five, shrinks to two, grows again; a place is taken over the step after it became free.
    const int target = step < 8 ? 1 + step / 2 : step < 14 ? std::max(2, 5 - (step - 8)) : 2 + (step - 14) / 3;
    while (static_cast<int>(guests.size()) > target) {
      engine.Close(guests.front().session);
      guests.erase(guests.begin());
    }
    std::vector<Feed> feeds;
    while (static_cast<int>(guests.size()) < target) {
      guests.push_back({engine.Open(), MadeUpTokens(subject, 700 + arrivals, 4 + arrivals % 5 + kSteps)});
      ++arrivals;
    }
    for (const Guest& guest : guests) {
      const int length = engine.Length(guest.session);
      const std::size_t count = length == 0 ? 4 + guest.tokens.size() % 5 : 1;
      feeds.push_back(
          {guest.session, std::span(guest.tokens).subspan(static_cast<std::size_t>(length), count), Want::kLast});
    }
    std::rotate(feeds.begin(), feeds.begin() + step % static_cast<int>(feeds.size()), feeds.end());
    const StepResult result = engine.Step(feeds);
    for (int row = 0; row < result.rows(); ++row) {
      const Feed& feed = feeds[static_cast<std::size_t>(result.feed[static_cast<std::size_t>(row)])];
      const auto guest =
          std::find_if(guests.begin(), guests.end(), [&](const Guest& g) { return g.session == feed.session; });
      const int position = result.position[static_cast<std::size_t>(row)];
      const std::string where = fmt::format("guest {} position {} step {}", feed.session.index, position, step);
      SameRows(judge, subject, solo.Rows(guest->tokens).Raw(position), result.Raw(row), false, where);
      checker.Add(result, row, guest->tokens, where);
    }
  }
  checker.Finish(judge);
}

void ForkAndDiverge(const Subject& subject, Judge& judge) {
  const int window = std::clamp(SmallestWindow(StoreOf(subject).spec()), 4, 24);
  const int shared = 2 * window + 1, own = 6;
  Stage stage(subject, SmallOptions(subject, 3, shared + own + 1));
  Engine& engine = stage.engine();
  Solo solo(subject, shared + own + 1);
  const Tokens prefix = MadeUpTokens(subject, 800, shared);
  const SessionId first = stage.Opened(prefix);
  const SessionId second = engine.Fork(first);
  std::vector<Tokens> tokens{prefix, prefix};
  for (std::size_t i = 0; i < 2; ++i) {
    const Tokens tail = MadeUpTokens(subject, 801 + static_cast<int>(i), own);
    tokens[i].insert(tokens[i].end(), tail.begin(), tail.end());
  }
  for (int step = 0; step < own; ++step) {
    const auto at = static_cast<std::size_t>(shared + step);
    const std::vector<Feed> feeds{{first, std::span(tokens[0]).subspan(at, 1)},
                                  {second, std::span(tokens[1]).subspan(at, 1)}};
    const StepResult result = engine.Step(feeds);
    for (int row = 0; row < 2; ++row)
      SameRows(judge, subject, solo.Rows(tokens[static_cast<std::size_t>(row)]).Raw(shared + step), result.Raw(row),
               false, fmt::format("copy {} step {}", row, step));
  }
  // The copy must not depend on its origin.
  engine.Close(first);
  const Tokens last = MadeUpTokens(subject, 810, 1);
  tokens[1].push_back(last[0]);
  const Feed feed{second, last};
  const StepResult result = engine.Step(std::span(&feed, 1));
  SameRows(judge, subject, solo.Rows(tokens[1]).Raw(shared + own), result.Raw(0), false,
           "copy after its origin closed");
}

// Verify some junk, take it back, go on: as if it had never run.
void JunkTruncate(const Subject& subject, Judge& judge) {
  const int window = std::clamp(SmallestWindow(StoreOf(subject).spec()), 4, 24);
  const int length = 2 * window + 1, more = 8;
  Stage stage(subject, SmallOptions(subject, 2, length + more + 8));
  Engine& engine = stage.engine();
  const Tokens tokens = MadeUpTokens(subject, 820, length + more);
  const auto run = [&](bool junk) {
    const SessionId session = stage.Opened(std::span(tokens).first(static_cast<std::size_t>(length)));
    std::vector<float> logits;
    for (int step = 0; step < more; ++step) {
      if (junk) {
        const int rows = 1 + step % std::min(4, engine.options().max_chunk), before = engine.Length(session);
        const Tokens noise = MadeUpTokens(subject, 830 + step, rows);
        const Feed verify{session, noise, Want::kAll};
        engine.Step(std::span(&verify, 1));
        engine.Truncate(session, before);
      }
      const Feed feed{session, std::span(tokens).subspan(static_cast<std::size_t>(length + step), 1)};
      const StepResult result = engine.Step(std::span(&feed, 1));
      logits.insert(logits.end(), result.raw.begin(), result.raw.end());
    }
    engine.Close(session);
    return logits;
  };
  const std::vector<float> never = run(false), taken_back = run(true);
  judge.Bits(never, taken_back, "junk taken back");
}

// A truncate that the rings cannot honour is refused with a reason, and one they can gives the same rows again.
void TruncateReplays(const Subject& subject, Judge& judge) {
  const int window = std::clamp(SmallestWindow(StoreOf(subject).spec()), 4, 24), length = 3 * window;
  Stage stage(subject, SmallOptions(subject, 1, length));
  Engine& engine = stage.engine();
  const Tokens tokens = MadeUpTokens(subject, 840, length);
  const StepResult all = AloneRows(stage, tokens);
  const SessionId session = stage.Opened(tokens);
  int refused = 0;
  for (int back = 1; back <= length; ++back) {
    const Support support = engine.CanTruncate(session, length - back);
    if (!support.ok) {
      ++refused;
      judge.True(!support.reason.empty(), "reason", fmt::format("back {}", back));
      bool threw = false;
      try {
        engine.Truncate(session, length - back);
      } catch (const InputError&) {
        threw = true;
      }
      judge.True(threw && engine.Length(session) == length, "refusal", fmt::format("back {}", back));
      continue;
    }
    engine.Truncate(session, length - back);
    const StepResult again =
        engine.Prefill(session, std::span(tokens).subspan(static_cast<std::size_t>(length - back)), Want::kLast, 1);
    SameRows(judge, subject, all.Raw(length - 1), again.Raw(0), false, fmt::format("back {}", back));
  }
  const bool wraps = std::any_of(engine.kv_plan().caches.begin(), engine.kv_plan().caches.end(),
                                 [&](const KvCacheSpec& cache) { return cache.slots < length; });
  judge.True((refused > 0) == wraps, "gate", "all",
             fmt::format("{} lengths refused, rings {}", refused, wraps ? "wrap" : "do not wrap"));
}

}  // namespace

std::vector<Case> ScheduleCases(const Subject& subject) {
  std::vector<Case> cases;
  const auto add = [&](const char* name, void (*body)(const Subject&, Judge&)) {
    cases.push_back(MakeCase("Schedule", name, subject, "", [subject, body](Judge& judge) { body(subject, judge); }));
  };
  add("JoinLeave", JoinLeave);
  add("ForkAndDiverge", ForkAndDiverge);
  add("JunkTruncate", JunkTruncate);
  add("TruncateReplays", TruncateReplays);
  return cases;
}

}  // namespace assay
