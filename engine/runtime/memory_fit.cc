// Whether an engine fits, and how many sessions would.
#include "engine/runtime/memory_plan.h"

namespace assay {
namespace {

double Giga(std::size_t bytes) { return static_cast<double>(bytes) * 1e-9; }

}  // namespace

int SessionsThatFit(const WeightStore& store, const Ops& ops, EngineOptions options, std::size_t free) {
  const auto fits = [&](int sessions) {
    options.max_sessions = sessions;
    return PlanMemory(store, ops, options).total() <= free;
  };
  if (!fits(1)) return 0;
  // `low` sessions fit; doubling finds a `high` that do not, halving the distance between them the largest that do.
  int low = 1, high = 2;
  constexpr int kMost = 1 << 20;
  while (high < kMost && fits(high)) {
    low = high;
    high *= 2;
  }
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

void RequireFits(const WeightStore& store, Ops& ops, const EngineOptions& options) {
  if (!ops.on_host()) RequireFits(PlanMemory(store, ops, options), store, ops, options);
}

void RequireFits(const MemoryPlan& plan, const WeightStore& store, Ops& ops, const EngineOptions& options) {
  if (ops.on_host()) return;  // a host can page, and counts its file cache as used
  const std::size_t free = ops.memory().FreeBytes();
  if (free == 0 || plan.total() <= free) return;
  const int sessions = SessionsThatFit(store, ops, options, free);
  const std::string fitting =
      sessions == 0 ? "not even one session would fit" : fmt::format("{} sessions would fit", sessions);
  throw OutOfMemory(
      fmt::format("{}: {} sessions of {} positions need {:.2f} GB of device memory ({}), {:.2f} GB are free; {}",
                  store.spec().name, options.max_sessions, options.capacity, Giga(plan.total()), Describe(plan),
                  Giga(free), fitting),
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
