#include "suites/parity/shrink.h"

#include <algorithm>

namespace assay {
namespace {

class Shrinker {
 public:
  Shrinker(Schedule schedule, const std::function<bool(const Schedule&)>& fails, int tries)
      : best_(std::move(schedule)), fails_(fails), tries_(tries) {}

  Schedule Run() {
    for (bool smaller = true; smaller && tries_ > 0;) {
      smaller = false;
      for (std::size_t length = std::max<std::size_t>(1, best_.moves.size() / 2); length > 0; length /= 2)
        smaller = LeaveOut(length) || smaller;
      smaller = LeaveOutParts() || smaller;
      smaller = Lower() || smaller;
    }
    return best_;
  }

 private:
  bool Take(Schedule candidate) {
    if (candidate == best_ || tries_-- <= 0 || !fails_(candidate)) return false;
    best_ = std::move(candidate);
    return true;
  }

  // Runs of so many moves, from the end: what comes after a failure is the first to go.
  bool LeaveOut(std::size_t length) {
    bool smaller = false;
    for (std::size_t end = best_.moves.size(); end >= length && end > 0;) {
      Schedule candidate = best_;
      candidate.moves.erase(candidate.moves.begin() + static_cast<std::ptrdiff_t>(end - length),
                            candidate.moves.begin() + static_cast<std::ptrdiff_t>(end));
      smaller = Take(std::move(candidate)) || smaller;
      end = std::min(end - std::min(end, length), best_.moves.size());
    }
    return smaller;
  }

  bool LeaveOutParts() {
    bool smaller = false;
    for (std::size_t m = 0; m < best_.moves.size(); ++m)
      for (std::size_t p = best_.moves[m].parts.size(); p-- > 0 && best_.moves[m].parts.size() > 1;) {
        Schedule candidate = best_;
        candidate.moves[m].parts.erase(candidate.moves[m].parts.begin() + static_cast<std::ptrdiff_t>(p));
        smaller = Take(std::move(candidate)) || smaller;
      }
    return smaller;
  }

  // The least value of a number for which it still fails, by halves and then by ones.
  template <class Field>
  bool LowerOne(const Field& field, int least) {
    bool smaller = false;
    for (const bool halve : {true, false})
      for (;;) {
        Schedule candidate = best_;
        int& value = field(candidate);
        const int to = halve ? (value + least) / 2 : value - 1;
        if (value <= least || to == value) break;
        value = std::max(to, least);
        if (!Take(std::move(candidate))) break;
        smaller = true;
      }
    return smaller;
  }

  bool Lower() {
    bool smaller = false;
    for (std::size_t m = 0; m < best_.moves.size(); ++m) {
      for (const auto& plain : {+[](Move& move) { move.fails_at = -1; }, +[](Move& move) { move.bad_token = false; }}) {
        Schedule candidate = best_;
        plain(candidate.moves[m]);
        smaller = Take(std::move(candidate)) || smaller;
      }
      for (std::size_t p = 0; p < best_.moves[m].parts.size(); ++p)
        smaller = LowerOne([=](Schedule& s) -> int& { return s.moves[m].parts[p].tokens; }, 1) || smaller;
      if (best_.moves[m].count > 0)
        smaller = LowerOne([=](Schedule& s) -> int& { return s.moves[m].count; }, 1) || smaller;
    }
    for (int Schedule::*size : {&Schedule::sessions, &Schedule::capacity})
      smaller = LowerOne([=](Schedule& s) -> int& { return s.*size; }, 1) || smaller;
    return smaller;
  }

  Schedule best_;
  const std::function<bool(const Schedule&)>& fails_;
  int tries_;
};

}  // namespace

Schedule Shrunk(Schedule schedule, const std::function<bool(const Schedule&)>& fails, int tries) {
  return Shrinker(std::move(schedule), fails, tries).Run();
}

}  // namespace assay
