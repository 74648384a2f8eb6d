// The executor of a Slurm cluster: one element of an array for each bundle of groups. Slurm places, isolates and
// requeues; leases see to it that what a lost node still writes is not taken for the answer.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "ci/spread/run_folder.h"
#include "ci/spread/supervisor.h"

namespace assay {

struct SlurmOptions {
  std::string program;              // that has the command `element`, on every node
  std::vector<std::string> sbatch;  // further options: partition, gres, time limit
  std::int64_t bundles = 0;         // elements of an array; 0: one a group, at most 256
  bool again = false;               // groups that an earlier array has, too
};

// Submits `groups`, follows the jobs until every group has a shard file or was tried often enough, and grants fresh
// leases to what was requeued. Goes on with the jobs of an earlier coordinator of the folder. Throws ReportError when
// sbatch is missing or refuses.
std::vector<std::string> RunOnSlurm(const RunFolder& folder, LeaseBook& book, const std::vector<std::int64_t>& groups,
                                    const SlurmOptions& options, RunEvents& events, const std::atomic<bool>& stop);

// What an element does: waits for the grant of its restart, runs its groups. The exit code.
int RunElement(const RunFolder& folder, std::int64_t generation, PlaceOptions place);

}  // namespace assay
