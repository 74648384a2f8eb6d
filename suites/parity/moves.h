// A schedule as data: what is done with the sessions of one engine, in order, with a form of one line that can be
// typed, kept and shrunk. Nothing in it is an error: a move that the engine must refuse is one whose refusal is
// checked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/runtime/engine.h"

namespace assay {

// One move. Sessions have names of one letter, here numbers from 0.
struct Move {
  enum class Kind { kOpen, kClose, kFork, kStep, kPrefill, kDecode, kBack };
  struct Part {
    int session = 0;
    int tokens = 1;  // fed, or taken back
    Want want = Want::kLast;
    friend bool operator==(const Part&, const Part&) = default;
  };

  Kind kind = Kind::kOpen;
  std::vector<Part> parts;  // of a step and a decode several, of the others one
  int other = 0;            // fork: the copy's name
  int count = 0;            // prefill: the chunk; decode: steps
  int fails_at = -1;        // the op call, counted from the move's first, that throws; -1: none does
  bool bad_token = false;   // the last token fed is outside the vocabulary
  friend bool operator==(const Move&, const Move&) = default;
};

struct Schedule {
  int sessions = 1, capacity = 16, chunk = 16, rows = 64;  // of the engine
  std::vector<Move> moves;
  friend bool operator==(const Schedule&, const Schedule&) = default;
};

// "sessions=3 capacity=40 chunk=5 rows=64; open a; prefill a17/5; fork a b; step a1 b3+; decode a b*9; back a4;
// step a2!7; step b1?; close a". Of a step's part + is every row's logits wanted and - none; !7 the op call that
// throws; ? a token that does not exist.
std::string ToText(const Schedule& schedule);
// Throws InputError naming the move.
Schedule ScheduleFromText(std::string_view text);

}  // namespace assay
