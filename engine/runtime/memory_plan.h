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
  std::string device;        // for which the plan is: sizes follow from its multiprocessors too
  std::size_t matrices = 0;  // as the ops keep them, padding included
  std::size_t vectors = 0;   // norms, biases, routers, rope tables
  std::size_t cache_per_session = 0;
  int sessions = 0;
  std::size_t scratch = 0;         // activations, logits and row descriptions of a step
  std::size_t workspace = 0;       // of the ops, a library's included; 0 on the host
  std::size_t step_workspace = 0;  // the most of it that a call of a step asks for
  std::size_t recorded = 0;        // a bound of what recorded steps take once all are recorded; 0 on the host
  int recorded_steps = 0;
  std::size_t weights() const { return matrices + vectors; }
  std::size_t caches() const { return cache_per_session * sessions; }
  std::size_t allocated() const { return weights() + caches() + scratch + workspace; }
  std::size_t total() const { return allocated() + recorded; }
};

// Of an engine over `store` on ops like these: an engine is made of ops that count (Ops::Planning) and takes every size
// of step. Reads the store's listing only and needs no device. Throws InputError for options that no engine takes.
// Exact but for matrices that a file keeps in parts of different types.
MemoryPlan PlanMemory(const WeightStore& store, const Ops& ops, const EngineOptions& options);

// Most sessions with which the engine fits in `free` bytes; 0: none.
int SessionsThatFit(const WeightStore& store, const Ops& ops, EngineOptions options, std::size_t free);
// Most positions of its sessions, up to the options' capacity, with which it fits; 0: none.
int PositionsThatFit(const WeightStore& store, const Ops& ops, EngineOptions options, std::size_t free);

// Throws OutOfMemory that says what is needed for what, what is free, and how many sessions would fit, or how many
// positions of one. A memory that does not know what is free (0) is not asked.
void RequireFits(const WeightStore& store, Ops& ops, const EngineOptions& options);
void RequireFits(const MemoryPlan& plan, const WeightStore& store, Ops& ops, const EngineOptions& options);

// "weights 9.29 GB, caches 32 x 0.05 GB, scratch 0.31 GB, workspace 0.20 GB, recorded steps 0.02 GB".
std::string Describe(const MemoryPlan& plan);

}  // namespace assay
