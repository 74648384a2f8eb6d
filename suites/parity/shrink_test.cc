// Schedules as text, and the least of one that fails.
#include "suites/parity/shrink.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/model/presets.h"
#include "suites/parity/random_schedule.h"

namespace assay {
namespace {

TEST(Schedule, TextComesBack) {
  const ModelSpec spec = Preset("tiny-gemma4-ple");
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Schedule schedule = RandomSchedule(spec, seed, 30);
    EXPECT_EQ(schedule, ScheduleFromText(ToText(schedule))) << ToText(schedule);
  }
  EXPECT_EQ(ToText(ScheduleFromText("sessions=2 capacity=9; open a;step a3+ b1-!4; fork a b; decode a*2; step a1?")),
            "sessions=2 capacity=9 chunk=16 rows=64; open a; step a3+ b1-!4; fork a b; decode a*2; step a1?");
}

TEST(Schedule, TextThatIsWrongIsRefusedByItsMove) {
  for (const char* text : {"", "sessions=0; open a", "rooms=2", "sessions=2; jump a", "sessions=2; open",
                           "sessions=2; fork a", "sessions=2; step 3", "sessions=2; step aa"})
    EXPECT_THROW(ScheduleFromText(text), InputError) << text;
}

TEST(Schedule, ShrinksToWhatFails) {
  const Schedule schedule = RandomSchedule(Preset("tiny-gemma4-ple"), 5, 60);
  // Fails with a fork before a truncate of three tokens or more.
  const auto fails = [](const Schedule& s) {
    bool forked = false;
    for (const Move& move : s.moves) {
      forked = forked || move.kind == Move::Kind::kFork;
      if (forked && move.kind == Move::Kind::kBack && move.parts[0].tokens >= 3) return true;
    }
    return false;
  };
  ASSERT_TRUE(fails(schedule));
  const Schedule least = Shrunk(schedule, fails);
  EXPECT_TRUE(fails(least));
  ASSERT_EQ(least.moves.size(), 2u) << ToText(least);
  EXPECT_EQ(least.moves[1].parts[0].tokens, 3);
  EXPECT_EQ(least.sessions, 1);
}

}  // namespace
}  // namespace assay
