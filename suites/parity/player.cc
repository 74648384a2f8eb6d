#include "suites/parity/player.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <numbers>
#include <optional>
#include <set>

#include "engine/base/ring.h"
#include "oracles/compare/ranking.h"
#include "oracles/compare/tensors.h"
#include "oracles/probes/contract_ops.h"
#include "oracles/probes/faulty_ops.h"
#include "suites/parity/cache_bytes.h"
#include "suites/parity/streams.h"

namespace assay {
namespace {

constexpr unsigned char kNan = 0xff;

// A row that the system computed: of the token at `position` of what the session holds.
struct Row {
  int position;
  int move;
  std::vector<float> raw;  // empty: only its preference is known
  std::int32_t best;
};

struct Held {
  SessionId id{};
  Tokens tokens{};
  int written = 0;          // positions below this have been written since the session was last empty
  std::vector<Row> rows{};  // not yet compared
};

class Player {
 public:
  Player(CaseState& state, const Schedule& schedule, const Judging& judging)
      : state_(state),
        schedule_(schedule),
        judging_(judging),
        same_(state),
        hard_rows_(state),
        capabilities_(state.bench.provider().CapabilitiesOf(state.target)) {
    OpenSystem();
    limits_ = system_->limits();
    straight_ = state.Open(StraightOptions(state.spec(), 1, limits_.capacity));
    const ModelSpec& spec = state.spec();
    for (int l = 0; l < spec.layer_count(); ++l) {
      if (!spec.OwnsKv(l)) continue;
      const int window = spec.layer(l).window;
      windows_.push_back(
          {l, window, window == 0 ? schedule.capacity : std::min(schedule.capacity, window + schedule.chunk - 1)});
    }
  }

  Played Play() {
    CountCalls();
    try {
      for (move_ = 0; move_ < std::ssize(schedule_.moves); ++move_) Do(schedule_.moves[move_]);
      move_ = static_cast<int>(schedule_.moves.size());
      OneStepMore();
      for (auto& [name, held] : held_) {
        CheckReach(held);
        Settle(held);
      }
    } catch (const InputError& error) {  // a refusal of what must not be refused
      True(false, "refusals", error.what());
    }
    return played_;
  }

 private:
  using Kind = Move::Kind;
  struct Cache {
    int writer, window, slots;
  };

  // The engine of this tree over ops that can be made to fail; of another system there is no inside.
  void OpenSystem() {
    EngineOptions options;
    options.max_sessions = schedule_.sessions;
    options.capacity = schedule_.capacity;
    options.max_chunk = std::min(schedule_.chunk, schedule_.capacity);
    options.max_rows = schedule_.rows;
    if (!capabilities_.Has(Capability::kInternals)) {
      options.max_rows = std::max(schedule_.rows, schedule_.sessions);
      system_ = state_.Open(options);
      return;
    }
    ops_ = WithContract(state_);
    faulty_ = std::make_unique<FaultyOps>(*ops_, Fault::kNone);
    system_ = state_.bench.OpenEngine(state_.target, options, *faulty_);
    inside_ = system_->engine();
  }

  // On a device the rows cannot be looked at while a step is recorded.
  static std::unique_ptr<Ops> WithContract(CaseState& state) {
    std::unique_ptr<Ops> ops = state.bench.MakeOps(state.target);
    if (!state.target.exact()) return ops;
    return std::make_unique<OwningProbe<ContractOps>>(std::move(ops));
  }

  // A step may have as many rows as a recorded step of all sessions, padding counted.
  int MostRows() const {
    if (inside_ == nullptr) return limits_.max_rows;
    for (const int padded : {1, 2, 4, 8, 12, 16, 24})
      if (padded >= schedule_.sessions) return std::max(schedule_.rows, padded);
    Throw("a schedule of {} sessions: expected at most 24", schedule_.sessions);
  }

  Place Here() const { return {{"move", move_}, {"session", session_}}; }
  Tokens MadeUp(int part, int count) { return state_.MadeUp(kScheduleStream + 64 * move_ + part, count); }

  void True(bool ok, const char* metric, const std::string& detail = "") {
    state_.check.True(ok, metric, Here(), detail);
  }

  // Runs `call` and says whether it was refused; a refusal that was not expected, or is missing, is WRONG.
  template <class Call>
  bool Refused(bool expected, const char* what, Call&& call) {
    std::string said;
    try {
      call();
    } catch (const InputError& error) {
      said = error.what();
    }
    True(expected != said.empty(), "refusals",
         fmt::format("{}: {}", what, expected ? "expected a refusal, found none" : "refused: " + said));
    CheckLengths();
    return !said.empty() || expected;
  }

  void CheckLengths() {
    const int of_move = session_;
    for (const auto& [name, held] : held_) {
      session_ = name;
      const int length = system_->Length(held.id);
      True(length == std::ssize(held.tokens), "length",
           fmt::format("session {}: expected {}, found {}", static_cast<char>('a' + name), held.tokens.size(), length));
    }
    session_ = of_move;
    for (const SessionId id : gone_) {
      bool threw = false;
      try {
        system_->Length(id);
      } catch (const InputError&) {
        threw = true;
      }
      True(threw, "closed handle", fmt::format("session {} of before still answers", id.index));
    }
  }

  // A handle that must answer no more. Of long schedules the newest are asked.
  void Gone(const SessionId& id) {
    constexpr std::size_t kAsked = 8;
    gone_.push_back(id);
    if (judging_.every > 1 && gone_.size() > kAsked) gone_.erase(gone_.begin());
  }

  // The oldest position that the ring of `cache` holds when all below `written` have been written.
  static int Oldest(const Cache& cache, int written) { return std::max(0, written - cache.slots); }
  bool Reaches(int written, int length) const {
    return length == 0 || std::all_of(windows_.begin(), windows_.end(), [&](const Cache& cache) {
             return cache.window == 0 || std::max(0, length - cache.window + 1) >= Oldest(cache, written);
           });
  }

  // The last twentieth of every so many moves, and the end.
  bool IsJudged() const {
    const std::int64_t every = judging_.every;
    return every <= 1 || move_ % every >= every - every / 20 || move_ == std::ssize(schedule_.moves);
  }

  // Every length that a session may go back to, and every one that it may not.
  void CheckReach(const Held& held) {
    if (!IsJudged() || !capabilities_.Has(Capability::kTruncate)) return;
    for (int length = -1; length <= std::ssize(held.tokens) + 1; ++length) {
      const bool inside = length >= 0 && length <= std::ssize(held.tokens);
      if (inside && inside_ == nullptr) continue;  // how far back another system goes is what it says
      const bool can = system_->CanTruncate(held.id, length).ok;
      const bool expected = inside && Reaches(held.written, length);
      True(can == expected, "reach",
           fmt::format("back from {} to {}: expected {}, found {}", held.tokens.size(), length, expected, can));
    }
  }

  // The slots of positions from `first` to `end` read as NaN from now on.
  void Forget(const Held& held, int first, int end) {
    if (inside_ == nullptr) return;
    const auto& caches = inside_->inside().kv_plan().caches;
    for (const KvCacheSpec& cache : caches) {
      const Engine::CacheBytes bytes = inside_->inside().Cache(held.id, cache.writer);
      const CacheLayout layout(cache, state_.target.precision.kv);
      std::set<int> slots;
      for (int p = std::max(first, end - cache.slots); p < end; ++p) slots.insert(RingSlot(p, cache.slots));
      for (const int slot : slots)
        for (int head = 0; head < cache.kv_heads; ++head)
          for (void* half : {bytes.keys, bytes.values})
            inside_->memory().Fill(static_cast<std::byte*>(half) + layout.Offset(head, slot), kNan, layout.row_bytes);
    }
  }
  void ForgetAll(const Held& held) {
    if (inside_ == nullptr) return;
    for (const KvCacheSpec& cache : inside_->inside().kv_plan().caches) {
      const Engine::CacheBytes bytes = inside_->inside().Cache(held.id, cache.writer);
      for (void* half : {bytes.keys, bytes.values}) inside_->memory().Fill(half, kNan, bytes.bytes);
    }
  }

  // What the tokens give in one piece. The straight session stays open for its caches.
  const StepResult& Straight(const Tokens& tokens) {
    if (tokens == straight_tokens_ && straight_session_) return straight_rows_;
    if (straight_session_) straight_->Close(*straight_session_);
    straight_session_ = straight_->Open();
    straight_rows_ = straight_->Prefill(*straight_session_, tokens, Want::kAll);
    straight_tokens_ = tokens;
    return straight_rows_;
  }

  // Compares what was found since the session's tokens were last taken back, and its caches.
  void Settle(Held& held) {
    if (!IsJudged()) held.rows.clear();
    if (held.tokens.empty() || !IsJudged()) return;
    const StepResult& expected = Straight(held.tokens);
    for (const Row& row : held.rows) {
      const Place where{{"move", row.move}, {"position", row.position}};
      if (!row.raw.empty()) same_.Check(expected.Raw(row.position), row.raw, where, held.tokens, row.position);
      if (state_.target.exact())
        state_.check.True(row.best == expected.best[row.position], "best", where,
                          fmt::format("expected token {}, found {}", expected.best[row.position], row.best));
      else
        CheckPreferred(expected, row, where, held.tokens);
      ++played_.rows;
    }
    held.rows.clear();
    if (state_.target.exact() && inside_ != nullptr) CheckCaches(held);
  }

  // Where arithmetic may differ: a token that the same tokens in one piece prefer, or one within a tie of it.
  void CheckPreferred(const StepResult& expected, const Row& row, const Place& where, const Tokens& tokens) {
    const bool inside = row.best >= 0 && row.best < expected.vocab;
    state_.check.True(inside, "token in the vocabulary", where, fmt::format("found {}", row.best));
    if (!inside) return;
    const LogitTolerance& tolerance = state_.references().Tolerance(state_.target);
    const std::vector<double> logits = Widen(expected.Capped(row.position));
    const auto judged = [&](const LogitTolerance& allowed) {
      return Judged("best", logits[expected.best[row.position]] - logits[row.best],
                    {0, allowed.TieBetween(), "two computations, two logits, one eps each"}, where,
                    fmt::format("expected token {}, found {}", expected.best[row.position], row.best),
                    Verdict::kTieFlip);
    };
    Judgement judgement = judged(tolerance);
    if (judgement.verdict == Verdict::kWrong)
      judgement =
          judged(tolerance.At(hard_rows_.Ratio(tolerance, judgement.value, judgement.bound, tokens, row.position)));
    judgement.soft_probability = FlipProbability(TopGap(logits), std::numbers::sqrt2 * tolerance.sigma);
    if (judgement.verdict == Verdict::kWrong && RoutesByRounding(state_))
      if (std::optional<Judgement> tie = RoutingJudge(state_).Tie(expected.Raw(row.position), "best", where))
        judgement = std::move(*tie);
    state_.check.Add(judgement);
  }

  void CheckCaches(const Held& held) {
    EngineSystem& straight = *straight_->engine();
    for (const Cache& cache : windows_) {
      const std::vector<std::byte> found = CopyOf(*inside_, inside_->inside().Cache(held.id, cache.writer)),
                                   expected =
                                       CopyOf(straight, straight.inside().Cache(*straight_session_, cache.writer));
      const LayerSpec& layer = state_.spec().layer(cache.writer);
      const CacheLayout ring(cache.slots, layer.head_dim, state_.target.precision.kv),
          whole(schedule_.capacity, layer.head_dim, state_.target.precision.kv);
      bool equal = true;
      int at = 0;
      const int length = static_cast<int>(held.tokens.size());
      for (int p = Oldest(cache, held.written); p < length && equal; at = p++)
        for (int half = 0; half < 2 && equal; ++half)
          for (int head = 0; head < layer.kv_heads && equal; ++head)
            equal =
                std::memcmp(found.data() + half * found.size() / 2 + ring.Offset(head, p % cache.slots),
                            expected.data() + half * expected.size() / 2 + whole.Offset(head, p), ring.row_bytes) == 0;
      state_.check.True(equal, "caches", {{"move", move_}, {"layer", cache.writer}, {"position", at}},
                        "keys or values differ from those of the same tokens in one piece");
    }
  }

  Held* Find(int name) {
    const auto found = held_.find(name);
    return found == held_.end() ? nullptr : &found->second;
  }

  bool Can(Kind kind) const {
    return kind == Kind::kFork     ? capabilities_.Has(Capability::kFork).ok
           : kind == Kind::kBack   ? capabilities_.Has(Capability::kTruncate).ok
           : kind == Kind::kDecode ? capabilities_.Has(Capability::kDecode).ok
                                   : true;
  }

  void Do(const Move& move) {
    const int name = session_ = move.parts[0].session;
    Held* const held = Find(name);
    if (move.kind == Kind::kOpen ? held != nullptr : held == nullptr) return;  // means nothing
    if (!Can(move.kind)) return;
    switch (move.kind) {
      case Kind::kOpen:
        return Open(name);
      case Kind::kClose:
        return Close(name);
      case Kind::kFork:
        return Fork(name, move.other);
      case Kind::kBack:
        return Back(*held, static_cast<int>(held->tokens.size()) - move.parts[0].tokens);
      case Kind::kStep:
        return Step(move);
      case Kind::kPrefill:
        return Prefill(move, *held);
      case Kind::kDecode:
        return Decode(move);
    }
  }

  bool Full() const { return std::ssize(held_) >= limits_.max_sessions; }

  void Open(int name) {
    SessionId id;
    if (Refused(Full(), "open", [&] { id = system_->Open(); })) return;
    held_[name].id = id;
    ForgetAll(held_[name]);
    ++played_.moves;
  }

  void Close(int name) {
    Held& held = held_.at(name);
    CheckReach(held);
    Settle(held);
    ForgetAll(held);
    const SessionId id = held.id;
    system_->Close(id);
    held_.erase(name);
    Gone(id);
    CheckGone(id);
    CheckLengths();
    ++played_.moves;
  }

  // Nothing can be done with a session that was closed, nor with one that never was.
  void CheckGone(SessionId closed) {
    const Tokens one = MadeUp(0, 1);
    for (const SessionId id : {closed, SessionId{}, SessionId{limits_.max_sessions, 1}}) {
      const Feed feed{id, one};
      const std::function<void()> calls[] = {
          [&] { system_->Step(feed); },      [&] { system_->Prefill(id, one); },
          [&] { system_->Truncate(id, 0); }, [&] { system_->Decode(std::span(&id, 1), one, 1); },
          [&] { system_->Fork(id); },        [&] { system_->Close(id); }};
      int number = 0;
      for (const auto& call : calls) {
        bool refused = false;
        try {
          call();
        } catch (const InputError&) {
          refused = true;
        }
        True(refused, "closed handle", fmt::format("call {} on session {} is not refused", number++, id.index));
      }
      True(!system_->CanTruncate(id, 0).ok, "closed handle", "can go back");
    }
  }

  void Fork(int from, int to) {
    if (Find(to) != nullptr) return;
    SessionId id;
    // The place that the copy will take is one that was used before.
    if (!Full()) {
      const SessionId place = system_->Open();
      ForgetAll({.id = place});
      system_->Close(place);
      Gone(place);
    }
    if (Refused(Full(), "fork", [&] { id = system_->Fork(held_.at(from).id); })) return;
    Held copy = held_.at(from);
    copy.id = id;
    copy.rows.clear();
    held_[to] = std::move(copy);
    CheckLengths();
    CheckReach(held_[to]);
    ++played_.moves;
  }

  void Back(Held& held, int length) {
    CheckReach(held);
    const bool possible = length >= 0 && system_->CanTruncate(held.id, length).ok;  // as CheckReach has judged
    if (possible) Settle(held);
    if (Refused(!possible, "truncate", [&] {
          system_->Truncate(held.id, length);
          held.tokens.resize(std::max(0, length));
        }))
      return;
    Forget(held, length, held.written);
    if (length == 0) held.written = 0;
    CheckReach(held);
    ++played_.moves;
  }

  // Arms the failure of a move, runs it, and says whether it came to pass.
  template <class Call>
  bool Fails(const Move& move, Call&& call) {
    if (move.fails_at < 0 || inside_ == nullptr) return call(), false;
    faulty_->Arm(move.fails_at);
    bool failed = false;
    told_.clear();
    try {
      call();
    } catch (const InputError&) {
      faulty_->Arm(-1);
      throw;
    } catch (const Error& error) {
      failed = true;
      told_ = error.what();
    }
    faulty_->Arm(-1);
    return failed;
  }

  // A session that could not go back was emptied, and the failure says so.
  void CheckTold(bool emptied) {
    True((told_.find("was emptied") != std::string::npos) == emptied, "failure told",
         fmt::format("{} session was emptied, and the failure says: {}", emptied ? "a" : "no", told_));
  }

  // A call that failed when it had written up to `written`: the length stands, or, in calls of several steps, the
  // session was emptied because its ring cannot give back what stood there: true.
  bool TakenBack(Held& held, int written, bool steps) {
    held.written = std::max(held.written, written);
    const int length = static_cast<int>(held.tokens.size());
    if (steps && length > 0 && !Reaches(held.written, length)) {
      held.rows.clear();
      held.tokens.clear();
      held.written = 0;
      return true;
    }
    Forget(held, length, held.written);
    if (length == 0 && steps) held.written = 0;  // it was truncated to nothing
    return false;
  }

  // How many op calls a step of a call of several steps makes: by a session that comes and goes.
  void CountCalls() {
    if (inside_ == nullptr) return;
    const Tokens tokens = state_.MadeUp(kScheduleStream - 1, 1);
    const auto count = [&](auto&& call) {
      const SessionId session = system_->Open();
      faulty_->Arm(-1);
      call(session);
      const std::int64_t calls = faulty_->calls();
      system_->Close(session);
      return calls;
    };
    calls_of_prefill_ = count([&](SessionId session) { system_->Prefill(session, tokens, Want::kAll); });
    calls_of_decode_ = count([&](SessionId session) { system_->Decode(std::span(&session, 1), tokens, 1); });
  }

  void Step(const Move& move) {
    std::vector<Feed> feeds;
    std::vector<Tokens> tokens;
    std::vector<Held*> fed;
    std::vector<Move::Part> parts;
    int rows = 0;
    bool refused = false;
    std::set<int> seen;
    for (const Move::Part& part : move.parts) {
      Held* const held = Find(part.session);
      if (held == nullptr) continue;
      tokens.push_back(MadeUp(static_cast<int>(tokens.size()), part.tokens));
      fed.push_back(held);
      parts.push_back(part);
      rows += part.tokens;
      refused = refused || part.tokens < 1 || part.tokens > limits_.max_chunk ||
                std::ssize(held->tokens) + part.tokens > limits_.capacity || !seen.insert(part.session).second;
    }
    if (inside_ == nullptr && rows > MostRows()) return;  // another system may take more than it was asked for
    refused = refused || rows > MostRows();
    if (move.bad_token && !tokens.back().empty()) {
      tokens.back().back() = move_ % 2 == 0 ? state_.spec().vocab : -1;
      refused = true;
    }
    for (std::size_t i = 0; i < fed.size(); ++i) feeds.push_back({fed[i]->id, tokens[i], parts[i].want});
    StepResult result;
    bool failed = false;
    if (!refused) failed = Fails(move, [&] { result = system_->Step(feeds); });
    if (refused && Refused(true, "step", [&] { result = system_->Step(feeds); })) return;
    for (std::size_t i = 0; i < fed.size(); ++i) {
      const int length = static_cast<int>(fed[i]->tokens.size()), most = length + parts[i].tokens;
      if (failed) {
        TakenBack(*fed[i], most, false);
        CheckReach(*fed[i]);
        continue;
      }
      fed[i]->tokens.insert(fed[i]->tokens.end(), tokens[i].begin(), tokens[i].end());
      Written(*fed[i]);
    }
    if (!failed) Collect(result, feeds, fed, parts);
    CheckLengths();
    ++played_.moves;
  }

  void Written(Held& held) {
    const int length = static_cast<int>(held.tokens.size());
    held.written = std::max(held.written, length);
  }

  // The rows of a step, each where the wants say.
  void Collect(const StepResult& result, const std::vector<Feed>& feeds, const std::vector<Held*>& fed,
               const std::vector<Move::Part>& parts) {
    int row = 0;
    for (std::size_t f = 0; f < fed.size(); ++f) {
      const int count = static_cast<int>(feeds[f].tokens.size()), end = static_cast<int>(fed[f]->tokens.size());
      const int wanted = parts[f].want == Want::kAll ? count : parts[f].want == Want::kLast ? 1 : 0;
      for (int i = wanted; i > 0; --i, ++row) {
        const bool there =
            row < result.rows() && result.feed[row] == static_cast<int>(f) && result.position[row] == end - i;
        True(there, "row's place", fmt::format("row {} should be that of position {} of feed {}", row, end - i, f));
        if (!there) continue;
        const int preferred = ArgMax(result.Capped(row));
        True(result.best[row] == preferred, "best of its own row",
             fmt::format("expected token {}, found {}", preferred, result.best[row]));
        fed[f]->rows.push_back({end - i, move_, {result.Raw(row).begin(), result.Raw(row).end()}, result.best[row]});
      }
    }
    True(row == result.rows(), "rows", fmt::format("expected {}, found {}", row, result.rows()));
  }

  void Prefill(const Move& move, Held& held) {
    const int length = static_cast<int>(held.tokens.size()), count = move.parts[0].tokens;
    Tokens tokens = MadeUp(0, count);
    bool refused = count < 1 || length + count > limits_.capacity || move.count > limits_.max_chunk ||
                   std::min(move.count, count) > MostRows();
    if (move.bad_token && count > 0) tokens[count / 2] = state_.spec().vocab, refused = true;
    // Another system is fed in steps: what is refused may be so behind the first of them.
    if (refused && inside_ == nullptr) return;
    const int chunk_of_steps = std::min(limits_.max_chunk, MostRows());
    const int asked = move.count == 0 && inside_ == nullptr ? chunk_of_steps : move.count;
    StepResult result;
    const auto call = [&] { result = system_->Prefill(held.id, tokens, Want::kAll, asked); };
    if (refused) {
      Refused(true, "prefill", call);
      return;
    }
    if (Fails(move, call)) {
      const int chunk = move.count > 0 ? move.count : chunk_of_steps;
      const auto begun = static_cast<int>(move.fails_at / calls_of_prefill_) + 1;
      CheckTold(TakenBack(held, length + std::min(count, begun * chunk), true));
      CheckLengths();
      CheckReach(held);
      return;
    }
    held.tokens.insert(held.tokens.end(), tokens.begin(), tokens.end());
    Written(held);
    Feed feed{held.id, tokens, Want::kAll};
    for (std::size_t row = 0; row < result.feed.size(); ++row) result.feed[row] = 0;
    Collect(result, {feed}, {&held}, {{move.parts[0].session, count, Want::kAll}});
    CheckLengths();
    ++played_.moves;
  }

  void Decode(const Move& move) {
    std::vector<SessionId> ids;
    std::vector<Held*> fed;
    std::set<int> seen;
    bool refused = move.count < 1;
    for (const Move::Part& part : move.parts) {
      Held* const held = Find(part.session);
      if (held == nullptr) continue;
      refused =
          refused || !seen.insert(part.session).second || std::ssize(held->tokens) + move.count > limits_.capacity;
      ids.push_back(held->id);
      fed.push_back(held);
    }
    Tokens first = MadeUp(0, static_cast<int>(ids.size()));
    if (move.bad_token) first.back() = state_.spec().vocab, refused = true;
    std::vector<Tokens> texts;
    const auto call = [&] { texts = system_->Decode(ids, first, move.count); };
    if (refused) {
      Refused(true, "decode", call);
      return;
    }
    // On a device a recorded step is one launch: no op of it can be made to throw.
    Move armed = move;
    if (!state_.target.exact()) armed.fails_at = -1;
    if (Fails(armed, call)) {
      const auto begun = static_cast<int>(move.fails_at / calls_of_decode_) + 1;
      bool emptied = false;
      for (Held* held : fed) {
        emptied = TakenBack(*held, static_cast<int>(held->tokens.size()) + begun, true) || emptied;
        CheckReach(*held);
      }
      CheckTold(emptied);
      CheckLengths();
      return;
    }
    for (std::size_t i = 0; i < fed.size(); ++i) {
      True(std::ssize(texts[i]) == move.count, "decoded", fmt::format("expected {} tokens", move.count));
      if (std::ssize(texts[i]) != move.count) return;
      fed[i]->tokens.push_back(first[i]);
      for (int s = 0; s < move.count; ++s) {
        fed[i]->rows.push_back({static_cast<int>(fed[i]->tokens.size()) - 1, move_, {}, texts[i][s]});
        if (s + 1 < move.count) fed[i]->tokens.push_back(texts[i][s]);
      }
      Written(*fed[i]);
    }
    CheckLengths();
    ++played_.moves;
  }

  // One token more of every session that has room, in one step: what recorded steps left behind is read.
  void OneStepMore() {
    Move move{Kind::kStep, {}};
    for (const auto& [name, held] : held_)
      if (std::ssize(held.tokens) < limits_.capacity) move.parts.push_back({name, 1, Want::kLast});
    if (!move.parts.empty()) Step(move);
  }

  CaseState& state_;
  const Schedule& schedule_;
  const Judging judging_;
  RowAgreement same_;
  HardRows hard_rows_;
  const Capabilities capabilities_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<FaultyOps> faulty_;
  std::unique_ptr<SystemUnderTest> system_, straight_;
  EngineSystem* inside_ = nullptr;  // of system_; null: it is another process
  EngineOptions limits_;
  std::vector<Cache> windows_;
  std::map<int, Held> held_;
  std::vector<SessionId> gone_;
  std::optional<SessionId> straight_session_;
  Tokens straight_tokens_;
  StepResult straight_rows_;
  Played played_;
  std::int64_t calls_of_prefill_ = 1, calls_of_decode_ = 1;
  std::string told_;            // by the last failure
  int move_ = 0, session_ = 0;  // what is judged
};

}  // namespace

Played PlaySchedule(CaseState& state, const Schedule& schedule, const Judging& judging) {
  return Player(state, schedule, judging).Play();
}

}  // namespace assay
