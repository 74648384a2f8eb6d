#include "suites/parity/random_schedule.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <map>

#include "engine/base/random.h"
#include "suites/support/target.h"

namespace assay {
namespace {

using Kind = Move::Kind;

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : key_(Mix64(seed + 0x5eed)) {}
  int Below(int end) { return static_cast<int>(RandomBits(key_, next_++) % static_cast<std::uint64_t>(end)); }
  int Between(int low, int high) { return low + Below(std::max(1, high - low + 1)); }
  bool OneIn(int n) { return Below(n) == 0; }
  int Of(std::initializer_list<int> values) { return *(values.begin() + Below(static_cast<int>(values.size()))); }

 private:
  std::uint64_t key_, next_ = 0;
};

Move Open(int session) { return {Kind::kOpen, {{session}}}; }
Move Close(int session) { return {Kind::kClose, {{session}}}; }
Move Back(int session, int tokens) { return {Kind::kBack, {{session, tokens}}}; }
Move Step(std::vector<Move::Part> parts) { return {Kind::kStep, std::move(parts)}; }
Move Fork(int from, int to) {
  Move move{Kind::kFork, {{from}}};
  move.other = to;
  return move;
}
Move Prefill(int session, int tokens, int chunk) {
  Move move{Kind::kPrefill, {{session, tokens}}};
  move.count = chunk;
  return move;
}
Move Decode(std::vector<Move::Part> parts, int steps) {
  Move move{Kind::kDecode, std::move(parts)};
  move.count = steps;
  return move;
}
Move Failing(Move move, int call) {
  move.fails_at = call;
  return move;
}

// A window and a chunk that make rings short, whatever the model has.
struct Sizes {
  explicit Sizes(const ModelSpec& spec)
      : window(WindowWithin(spec, 3, 16)), chunk(std::min(4, window)), slots(window + chunk - 1) {}
  int window, chunk, slots;
};

Schedule Sized(int sessions, int capacity, int chunk, int rows = 64) { return {sessions, capacity, chunk, rows, {}}; }

// What an engine refuses of a step: a session that is fed twice, no token, more tokens than a chunk.
void IllForm(Dice& dice, int chunk, std::vector<Move::Part>* parts) {
  Move::Part& any = (*parts)[static_cast<std::size_t>(dice.Below(static_cast<int>(parts->size())))];
  const int what = dice.Below(3);
  if (what == 0) parts->push_back(Move::Part(any));
  if (what == 1) any.tokens = 0;
  if (what == 2) any.tokens = chunk + 1;
}

}  // namespace

Schedule RandomSchedule(const ModelSpec& spec, std::uint64_t seed, int moves) {
  Dice dice(seed);
  const int window = WindowWithin(spec, 3, 16);
  Schedule schedule = Sized(dice.Of({1, 2, 3, 4, 5, 7, 9, 17}), dice.Between(window + 2, 5 * window + 24), 0);
  schedule.chunk = std::min(schedule.capacity, dice.Of({1, 2, 3, window, window + 3, 12, 20}));
  schedule.rows = schedule.sessions > 16 ? 64 : dice.Of({4, 16, 64});
  std::map<int, int> length;  // roughly, of open sessions: what the engine refuses is not known here
  const auto any = [&] { return std::next(length.begin(), dice.Below(static_cast<int>(length.size())))->first; };
  const auto free_name = [&] {
    int name = 0;
    while (length.contains(name)) ++name;
    return name;
  };
  const auto room = [&](int session) { return schedule.capacity - length[session]; };
  while (std::ssize(schedule.moves) < moves) {
    Move move;
    const int what = length.empty() ? 0 : dice.Below(20);
    const bool full = std::ssize(length) >= schedule.sessions;
    if (what < 3 || length.empty()) {
      if (full && !dice.OneIn(4)) continue;
      move = Open(free_name());
      if (!full) length[move.parts[0].session] = 0;
    } else if (what < 5) {
      if (full && !dice.OneIn(4)) continue;
      const int from = any();
      move = Fork(from, free_name());
      if (!full) length[move.other] = length[from];
    } else if (what < 6) {
      move = Close(any());
      length.erase(move.parts[0].session);
    } else if (what < 9) {
      const int session = any();
      const int back = std::min(length[session], dice.OneIn(5) ? length[session] : dice.Between(0, schedule.chunk + 1));
      move = Back(session, back);
      // Whether it is refused is not known here; lengths are rough from now on.
      if (back <= schedule.chunk || back == length[session]) length[session] -= back;
    } else if (what < 12) {
      const int session = any();
      int count = dice.OneIn(3) ? dice.Between(1, 2 * window + schedule.chunk) : dice.Between(1, window + 1);
      if (!dice.OneIn(12)) count = std::min(count, room(session));
      if (count < 1) continue;
      move = Prefill(session, count, dice.OneIn(2) ? 0 : dice.Between(1, schedule.chunk));
      if (count <= room(session)) length[session] += count;
    } else if (what < 17) {
      move.kind = Kind::kStep;
      int rows = 0;
      for (auto& [session, has] : length) {
        if (!dice.OneIn(3) && !move.parts.empty()) continue;
        const int count = dice.OneIn(3) ? dice.Between(1, schedule.chunk) : 1;
        if (count > room(session) && !dice.OneIn(12)) continue;
        if (rows + count > schedule.rows) break;
        rows += count;
        move.parts.push_back({session, count, dice.OneIn(4) ? Want::kAll : dice.OneIn(5) ? Want::kNone : Want::kLast});
      }
      if (move.parts.empty()) continue;
      if (dice.OneIn(2)) std::reverse(move.parts.begin(), move.parts.end());
      const bool ill_formed = dice.OneIn(12);
      if (ill_formed) IllForm(dice, schedule.chunk, &move.parts);
      const bool fits = !ill_formed && std::all_of(move.parts.begin(), move.parts.end(), [&](const Move::Part& part) {
        return part.tokens <= room(part.session);
      });
      for (const Move::Part& part : move.parts)
        if (fits) length[part.session] += part.tokens;
    } else {
      move.kind = Kind::kDecode;
      move.count = dice.Between(1, 9);
      for (auto& [session, has] : length)
        if (room(session) >= move.count && (move.parts.empty() || dice.OneIn(2))) move.parts.push_back({session});
      if (move.parts.empty()) continue;
      const bool twice = dice.OneIn(12);
      if (twice)
        move.parts.push_back(move.parts[static_cast<std::size_t>(dice.Below(static_cast<int>(move.parts.size())))]);
      for (const Move::Part& part : move.parts)
        if (!twice) length[part.session] += move.count;
    }
    const bool feeds = move.kind == Kind::kStep || move.kind == Kind::kPrefill || move.kind == Kind::kDecode;
    if (feeds && dice.OneIn(6)) {
      if (dice.OneIn(3))
        move.bad_token = true;
      else
        move.fails_at = dice.Below(8 * spec.layer_count());
    }
    schedule.moves.push_back(std::move(move));
  }
  return schedule;
}

std::vector<Schedule> ForksAroundTheRing(const ModelSpec& spec) {
  const Sizes sizes(spec);
  std::vector<Schedule> schedules;
  const int slots = sizes.slots;
  Schedule schedule = Sized(3, 2 * slots + sizes.chunk + 8, sizes.chunk);
  for (const int length : {1, sizes.window, slots - 1, slots, slots + 1, 2 * slots, 2 * slots + 2}) {
    for (const int back : {0, 1, sizes.chunk}) {
      if (back > length) continue;
      schedule.moves.insert(
          schedule.moves.end(),
          {Open(0), Prefill(0, length, 0), Back(0, back), Fork(0, 1), Step({{0, 1}, {1, 2, Want::kAll}}), Fork(1, 2),
           Back(1, 2), Step({{2, 1}, {1, 1}, {0, 1}}), Decode({{1}, {0}}, 2), Close(0), Step({{1, 1}, {2, 2}}),
           Close(2), Back(1, 1), Fork(1, 0), Step({{1, 1}, {0, 1}}), Close(1), Close(0)});
    }
  }
  schedules.push_back(std::move(schedule));
  return schedules;
}

Schedule BackTwice(const ModelSpec& spec) {
  const Sizes sizes(spec);
  const int slots = sizes.slots, chunk = sizes.chunk;
  Schedule schedule = Sized(4, 3 * slots + 3 * chunk, chunk);
  for (const int length : {slots - 1, slots + chunk, 2 * slots + 1})
    for (const int first : {1, chunk - 1, chunk})
      for (const int second : {1, chunk}) {
        if (first < 1) continue;
        schedule.moves.insert(schedule.moves.end(), {Open(0),
                                                     Prefill(0, length, 0),
                                                     Back(0, first),
                                                     Back(0, second),
                                                     Step({{0, 1}}),
                                                     Back(0, 1),
                                                     Fork(0, 1),
                                                     Back(1, second),
                                                     Step({{0, std::min(2, chunk), Want::kAll}, {1, 1}}),
                                                     Back(0, chunk + 1),
                                                     Back(0, chunk),
                                                     Step({{0, 1}, {1, 1}}),
                                                     Decode({{0}, {1}}, 3),
                                                     Back(0, 3),
                                                     Back(0, 1),
                                                     Back(1, 2),
                                                     Step({{1, 1}, {0, 1}}),
                                                     Back(0, length),
                                                     Back(1, 4 * slots),
                                                     Close(1),
                                                     Open(2),
                                                     Step({{2, 1}, {0, 1}}),
                                                     Close(0),
                                                     Close(2)});
      }
  return schedule;
}

Schedule FailuresTakenBack(const ModelSpec& spec) {
  const Sizes sizes(spec);
  const int slots = sizes.slots, chunk = sizes.chunk, late = 5 * spec.layer_count();
  const int outrun = (chunk + 1) * (12 * spec.layer_count() + 8);  // a call of so many steps that rings cannot go back
  Schedule schedule = Sized(3, 3 * slots + 2 * chunk, chunk);
  Move too_far = Step({{0, 1}, {1, chunk + 1}}), no_token = Step({{1, 1}, {0, 1}}),
       no_such = Prefill(1, std::min(3, chunk), 1), twice = Step({{0, 1}, {1, 1}, {0, 1}}),
       at_once = Step({{1, 1}, {1, 1}});
  no_token.bad_token = no_such.bad_token = true;
  for (const int length : {2, slots + 1}) {
    for (const int call : {1, late}) {
      schedule.moves.insert(schedule.moves.end(), {Open(0),
                                                   Open(1),
                                                   Prefill(0, length, 0),
                                                   Prefill(1, length + 1, 0),
                                                   Failing(Step({{0, chunk}, {1, 1}}), call),
                                                   Back(0, 1),
                                                   Back(1, chunk),
                                                   Step({{0, 1}, {1, 1}}),
                                                   too_far,
                                                   no_token,
                                                   no_such,
                                                   twice,
                                                   at_once,
                                                   Failing(Prefill(0, 2 * chunk, 1), call),
                                                   Step({{1, 1}, {0, 1}}),
                                                   Failing(Decode({{0}, {1}}, chunk), call),
                                                   Back(0, 1),
                                                   Fork(0, 2),
                                                   Failing(Decode({{2}, {1}}, 2), call + late),
                                                   Step({{2, 1}, {0, 1}, {1, 1}}),
                                                   Failing(Decode({{1}, {0}, {2}}, 3 * chunk), 2 * late),
                                                   Failing(Decode({{2}, {0}}, 3 * chunk), outrun),
                                                   Failing(Prefill(1, slots + chunk, 0), 3 * late),
                                                   Open(1),
                                                   Step({{1, 1}, {0, 1}, {2, 1}}),
                                                   Decode({{0}, {1}, {2}}, 3 * slots + 2 * chunk),
                                                   Close(0),
                                                   Close(1),
                                                   Close(2)});
    }
  }
  return schedule;
}

Schedule LongDecode() {
  Schedule schedule = Sized(9, 560, 40);
  schedule.moves = {Open(0),           Prefill(0, 230, 40),       Open(1),
                    Prefill(1, 3, 0),  Decode({{0}, {1}}, 30),    Fork(0, 2),
                    Decode({{0}}, 20), Decode({{2}, {1}, {0}}, 5)};
  for (int session = 3; session < 9; ++session) {
    schedule.moves.push_back(Open(session));
    schedule.moves.push_back(Prefill(session, 2 + session, 0));
  }
  schedule.moves.push_back(Decode({{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}}, 3));
  schedule.moves.push_back(Decode({{8}, {3}}, 262));  // more than the tokens that are read back at once
  schedule.moves.push_back(Step({{8, 1}, {3, 17, Want::kAll}, {0, 33, Want::kAll}}));
  schedule.moves.push_back(Decode({{4}, {0}, {8}}, 4));
  schedule.moves.push_back(Prefill(0, 240, 40));
  return schedule;
}

}  // namespace assay
