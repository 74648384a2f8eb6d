#include "engine/runtime/memory_plan.h"

#include <algorithm>
#include <memory>

namespace assay {
namespace {

double Giga(std::size_t bytes) { return static_cast<double>(bytes) * 1e-9; }

// The largest number up to `most` that fits; 0: none.
template <class Fits>
int MostThatFit(int most, Fits&& fits) {
  if (!fits(1)) return 0;
  // `low` fits; doubling finds a `high` that does not, halving the distance between them the largest that does.
  std::int64_t low = 1, high = 2;
  while (high <= most && fits(static_cast<int>(high))) {
    low = high;
    high *= 2;
  }
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (middle <= most && fits(static_cast<int>(middle)) ? low : high) = middle;
  }
  return static_cast<int>(low);
}

std::string WhatWouldFit(const WeightStore& store, const Ops& ops, EngineOptions options, std::size_t room) {
  if (const int sessions = SessionsThatFit(store, ops, options, room); sessions > 0)
    return fmt::format("{} sessions would fit", sessions);
  options.max_sessions = 1;
  if (const int positions = PositionsThatFit(store, ops, options, room); positions > 0)
    return fmt::format("one session of {} positions would fit", positions);
  return "not even one session would fit";
}

}  // namespace

MemoryPlan PlanMemory(const WeightStore& store, const Ops& ops, const EngineOptions& options) {
  const std::unique_ptr<Ops> planning = ops.Planning();
  return Engine::Counted(store, *planning, options).Taken();
}

int SessionsThatFit(const WeightStore& store, const Ops& ops, EngineOptions options, std::size_t free) {
  return MostThatFit(1 << 20, [&](int sessions) {
    options.max_sessions = sessions;
    return PlanMemory(store, ops, options).total() <= free;
  });
}

int PositionsThatFit(const WeightStore& store, const Ops& ops, EngineOptions options, std::size_t free) {
  const int chunk = options.max_chunk;
  return MostThatFit(options.capacity, [&](int positions) {
    options.capacity = positions;
    options.max_chunk = std::min(chunk, positions);
    return PlanMemory(store, ops, options).total() <= free;
  });
}

void RequireFits(const WeightStore& store, Ops& ops, const EngineOptions& options) {
  if (!ops.on_host()) RequireFits(PlanMemory(store, ops, options), store, ops, options);
}

void RequireFits(const MemoryPlan& plan, const WeightStore& store, Ops& ops, const EngineOptions& options) {
  if (ops.on_host()) return;  // a host can page, and counts its file cache as used
  const std::size_t free = ops.memory().FreeBytes(), room = free + ops.own_bytes();
  if (free == 0 || plan.total() <= room) return;
  throw OutOfMemory(
      fmt::format("{}: {} sessions of {} positions need {:.2f} GB of device memory ({}), {:.2f} GB are free; {}",
                  store.spec().name, options.max_sessions, options.capacity, Giga(plan.total()), Describe(plan),
                  Giga(free), WhatWouldFit(store, ops, options, room)),
      plan.total(), free);
}

std::string Describe(const MemoryPlan& plan) {
  return fmt::format(
      "weights {:.2f} GB, caches {} x {:.3f} GB, scratch {:.2f} GB, workspace {:.2f} GB, recorded "
      "steps {:.2f} GB",
      Giga(plan.weights()), plan.sessions, Giga(plan.cache_per_session), Giga(plan.scratch), Giga(plan.workspace),
      Giga(plan.recorded));
}

}  // namespace assay
