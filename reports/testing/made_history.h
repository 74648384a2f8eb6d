// Made-up nights of a history, with fixed seeds, for tests: reports that hold, whose speeds do what is asked of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "reports/format/report.h"

namespace assay {

struct MadeHistory {
  int cells = 200, nights = 365;
  int samples = 9;       // of a row
  double noise = 0.007;  // of a night
  std::uint64_t seed = 1;
  bool hostile = false;  // names and messages with markup, quotes, marks of direction and a megabyte
};

// What the speed of a cell does over the nights, by its place.
enum class Course { kSteady, kStep, kFaster, kCreep, kCameAndWent, kPaused };
Course CourseOf(int cell);
// The first night of the new level of a step, of 3 %.
int StepNight(const MadeHistory& made);

// The benchmarks of a night, one a day at 02:00, the last on 27 November 2026; each night has a commit of its own.
Report MadeBench(const MadeHistory& made, int night);
// The suites of that night, on five models.
Report MadeParity(const MadeHistory& made, int night);
// A machine of another model, whose runs ended ten nights before.
Report MadeElsewhere(const MadeHistory& made, int night);

}  // namespace assay
