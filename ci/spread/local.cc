#include "ci/spread/local.h"

#include <fmt/core.h>

#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace assay {
namespace {

// What the places share: the list of groups, attempts and what went wrong.
class WorkList {
 public:
  WorkList(const Plan& plan, LeaseBook& book, const std::vector<std::int64_t>& groups)
      : plan_(plan), book_(book), groups_(groups.begin(), groups.end()) {}

  std::optional<Lease> Take(const std::string& held) {
    const std::lock_guard lock(mutex_);
    if (groups_.empty() || broken_) return std::nullopt;
    const auto next = groups_.begin() + static_cast<std::ptrdiff_t>(NextFor(held, plan_.groups, groups_));
    const std::int64_t group = *next;
    groups_.erase(next);
    return book_.Grant({group}).front();
  }
  void GiveBack(const Lease& lease) {
    const std::lock_guard lock(mutex_);
    if (++failed_[lease.group] < kMostAttempts) return groups_.push_back(lease.group);
    problems_.push_back(fmt::format("group {}: given up after {} attempts", lease.group, kMostAttempts));
  }
  // Files cannot be written: whatever else is run would be lost too.
  void Break(const std::string& problem) {
    const std::lock_guard lock(mutex_);
    broken_ = true;
    problems_.push_back(problem);
  }
  std::vector<std::string> Problems() {
    const std::lock_guard lock(mutex_);
    return problems_;
  }

 private:
  const Plan& plan_;
  std::mutex mutex_;
  LeaseBook& book_;
  std::vector<std::int64_t> groups_;
  std::map<std::int64_t, int> failed_;
  std::vector<std::string> problems_;
  bool broken_ = false;
};

void RunPlace(const Plan& plan, const PlaceOptions& options, WorkList& list, RunEvents& events,
              const std::atomic<bool>& stop) {
  try {
    Supervisor supervisor(plan, options, events, stop);
    std::string held;
    while (!stop) {
      const std::optional<Lease> lease = list.Take(held);
      if (!lease) return;
      held = plan.groups[static_cast<std::size_t>(lease->group)].model;
      const Supervisor::Outcome outcome = supervisor.Run(*lease);
      if (outcome == Supervisor::Outcome::kStopped) return;
      if (outcome == Supervisor::Outcome::kNoWorker) list.GiveBack(*lease);
    }
  } catch (const std::exception& error) {
    list.Break(error.what());
  }
}

}  // namespace

std::vector<std::string> RunLocally(const RunFolder& folder, LeaseBook& book, const std::vector<std::int64_t>& groups,
                                    const std::vector<PlaceOptions>& places, RunEvents& events,
                                    const std::atomic<bool>& stop) {
  WorkList list(folder.plan(), book, groups);
  std::vector<std::thread> threads;
  for (const PlaceOptions& place : places)
    threads.emplace_back([&] { RunPlace(folder.plan(), place, list, events, stop); });
  for (std::thread& thread : threads) thread.join();
  return list.Problems();
}

}  // namespace assay
