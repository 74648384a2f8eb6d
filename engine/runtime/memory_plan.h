// What an engine will need, said before anything is allocated.
#pragma once

#include <cstddef>
#include <string>

#include "engine/base/check.h"
#include "engine/ops/ops.h"
#include "engine/runtime/engine.h"
#include "engine/weights/store.h"

namespace assay {

// Bytes, for all sessions together.
struct MemoryPlan {
  std::size_t matrices = 0;  // as the ops keep them, padding included
  std::size_t vectors = 0;   // norms, biases, routers, rope tables
  std::size_t cache_per_session = 0;
  int sessions = 0;
  std::size_t scratch = 0;    // activations, logits and row descriptions of a step
  std::size_t workspace = 0;  // of the ops: an estimate from above, 0 on the host
  std::size_t weights() const { return matrices + vectors; }
  std::size_t caches() const { return cache_per_session * sessions; }
  std::size_t total() const { return weights() + caches() + scratch + workspace; }
};

// For an engine over `store` on the host or on a device. Reads the store's listing only. Throws InputError for options
// that no engine takes. Exact but for `workspace`, and for matrices that a file keeps in parts of different types.
MemoryPlan PlanMemory(const WeightStore& store, Precision precision, const EngineOptions& options, bool on_host);

// Most sessions with which the engine fits in `free` bytes; 0: none. Scratch grows with sessions, so each number is
// planned.
int SessionsThatFit(const WeightStore& store, Precision precision, EngineOptions options, bool on_host,
                    std::size_t free);

// Throws OutOfMemory that says what is needed for what, what is free, and how many sessions would fit. A memory that
// does not know what is free (0) is not asked.
void RequireFits(const WeightStore& store, Ops& ops, const EngineOptions& options);

// "weights 9.29 GB, caches 32 x 0.05 GB, scratch 0.31 GB, workspace 0.20 GB".
std::string Describe(const MemoryPlan& plan);

}  // namespace assay
