// How small schedules become on which a fault of the catalogue fails.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "suites/faults/catalogue.h"
#include "suites/parity/player.h"
#include "suites/parity/random_schedule.h"
#include "suites/parity/shrink.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

// What a schedule fails of: what its reason says before the place; empty: it passes.
std::string FailsOf(Workbench& bench, const Target& target, const Schedule& schedule) {
  const Case item =
      MakeCase("Fuzz", "Schedule", target, {}, {}, [&](CaseState& state) { PlaySchedule(state, schedule); });
  const CaseOutcome outcome = CaseRunner(bench).Run(item);
  if (outcome.status != Status::kFail && outcome.status != Status::kError) return "";
  return outcome.reason.substr(0, outcome.reason.find(" is "));
}

int Sessions(const Schedule& schedule) {
  std::set<int> names;
  for (const Move& move : schedule.moves) {
    if (move.kind == Move::Kind::kOpen) names.insert(move.parts[0].session);
    if (move.kind == Move::Kind::kFork) names.insert(move.other);
  }
  return static_cast<int>(names.size());
}

template <class T>
T Median(std::vector<T> values) {
  std::nth_element(values.begin(), values.begin() + std::ssize(values) / 2, values.end());
  return values[values.size() / 2];
}

TEST(Shrinking, MedianOverInjectedFaults) {
  constexpr int kFaults = 30, kSchedules = 6, kMoves = 40;
  std::vector<int> sessions;
  std::vector<std::size_t> moves;
  for (const FaultRow& row : Catalogue()) {
    if (row.seam == Seam::kReport || row.seam == Seam::kLoader || std::ssize(moves) == kFaults) continue;
    Workbench bench(row.plant(std::make_shared<bool>(false)));
    const Target target{.model = row.model};
    for (int seed = 0; seed < kSchedules; ++seed) {
      const Schedule schedule = RandomSchedule(bench.Spec(target), 400 + seed, kMoves);
      const std::string of = FailsOf(bench, target, schedule);
      if (of.empty()) continue;
      const auto same = [&](const Schedule& candidate) { return FailsOf(bench, target, candidate) == of; };
      const Schedule least = Shrunk(schedule, same, 400);
      sessions.push_back(Sessions(least));
      moves.push_back(least.moves.size());
      break;
    }
  }
  ASSERT_EQ(std::ssize(moves), kFaults);
  EXPECT_LE(Median(sessions), 3);
  EXPECT_LE(Median(moves), 8u);
  std::printf("%d faults: median %d sessions and %zu moves, at most %d and %zu\n", kFaults, Median(sessions),
              Median(moves), *std::max_element(sessions.begin(), sessions.end()),
              *std::max_element(moves.begin(), moves.end()));
}

}  // namespace
}  // namespace assay
