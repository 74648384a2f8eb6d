// The executor of one host: a thread and a worker process for each place, which take groups off one list.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "ci/spread/run_folder.h"
#include "ci/spread/supervisor.h"

namespace assay {

// How often a group may be tried.
inline constexpr int kMostAttempts = 3;

// Runs `groups` under fresh leases. Returns when each has a shard file or was tried often enough; problems are why
// something was left. `stop` ends it early.
std::vector<std::string> RunLocally(const RunFolder& folder, LeaseBook& book, const std::vector<std::int64_t>& groups,
                                    const std::vector<PlaceOptions>& places, RunEvents& events,
                                    const std::atomic<bool>& stop);

}  // namespace assay
