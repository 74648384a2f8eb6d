// Plays a schedule and judges all of it. What is right follows from the tokens that each session holds and from a few
// numbers a session, kept here by plain arithmetic that shares nothing with the engine's tables:
//   - every row of logits is what the same tokens give in one piece, in a cache that never wraps;
//   - recorded steps give the tokens that those rows prefer, and leave the caches that they leave;
//   - lengths, and how far each session can go back, follow from what was written;
//   - what must be refused is refused and changes nothing; a step that fails changes no length;
//   - what no session holds (a closed session's place, tokens taken back, slots never written) is filled with NaN
//     first, so that reading it shows.
// A system without an inside is judged by its rows, tokens, lengths and refusals; moves that it lacks are left out.
#pragma once

#include <cstdint>

#include "suites/parity/moves.h"
#include "suites/parity/parity.h"

namespace assay {

// What the caller wants to know about how it went.
struct Played {
  std::int64_t moves = 0, rows = 0;  // moves that were not refused, rows compared
};

// How much of a schedule is judged. Lengths and refusals always are.
struct Judging {
  // 1: all. Else the last twentieth of so many moves: rows, caches, and how far back each session goes.
  std::int64_t every = 1;
};

// Adds to state.check: rows, tokens, lengths, how far back, refusals, caches; `where` is added to each place.
Played PlaySchedule(CaseState& state, const Schedule& schedule, const Judging& judging = {});

}  // namespace assay
