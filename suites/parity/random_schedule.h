// Schedules by rule: random ones of a seed, and the directed ones that every model is put through.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/model/spec.h"
#include "suites/parity/moves.h"

namespace assay {

// So many moves over an engine whose sizes come from the seed too: lengths straddle window, ring, chunk and capacity;
// some moves must be refused, some fail.
Schedule RandomSchedule(const ModelSpec& spec, std::uint64_t seed, int moves);

// Copies made at every length around the ring's slots, into places that were used, of sessions that went back.
std::vector<Schedule> ForksAroundTheRing(const ModelSpec& spec);
// Back twice without a step between, back as far as the ring reaches, after copies and after failures.
Schedule BackTwice(const ModelSpec& spec);
// Every kind of call fails at one of its ops, is taken back, and the session goes back further.
Schedule FailuresTakenBack(const ModelSpec& spec);
// Recorded steps of several batches over contexts that cross the bounds that steps are recorded for.
Schedule LongDecode();

}  // namespace assay
