// Runs groups of a plan, one after the other, in worker processes of one place (a GPU, or a share of the host's cores),
// and writes their shard files. A worker that dies costs the case that it ran.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ci/spread/worker_process.h"
#include "ci/spread/worker_protocol.h"
#include "reports/merge/leases.h"
#include "reports/merge/plan.h"
#include "reports/merge/shard.h"

namespace assay {

// What a run shows while it lasts. Called from the threads of several supervisors at once.
class RunEvents {
 public:
  virtual ~RunEvents() = default;
  virtual void Begin(int place, const std::string& id, double seconds) = 0;  // expected
  virtual void End(int place, const ReportCase& result) = 0;                 // of a benchmark what stands for its rows
  virtual void Idle(int) {}                                                  // nothing runs there any more
  virtual void Say(const std::string& line) = 0;  // what a person should know: a worker died, a lease was lost
};

struct PlaceOptions {
  int index = 0;                                 // of the place
  std::string program;                           // that has the command `worker`
  std::string plan_file, shard_folder, log;      // log: of its workers
  std::map<std::string, std::string> variables;  // of the workers' environment: CUDA_VISIBLE_DEVICES, OMP_NUM_THREADS
  std::map<std::string, std::string> scheduler;  // ids to record
  double start_timeout_s = 300;                  // of a worker's first word
  double memory_timeout_s = 30;                  // of a device's memory to come back
};

class Supervisor {
 public:
  // `stop` ends what runs, soon; a group that it ends leaves no shard file.
  Supervisor(const Plan& plan, PlaceOptions options, RunEvents& events, const std::atomic<bool>& stop);
  ~Supervisor();

  enum class Outcome {
    kWritten,  // the shard file is there
    kStopped,
    kNoWorker,  // workers do not start, or die without running a case; said to `events`
  };
  // Throws ReportError when the shard file cannot be written.
  Outcome Run(const Lease& lease);

 private:
  struct Shard;
  bool StartWorker(std::string* why);
  // Until the assignment is done or the worker is gone; false: stop.
  bool Follow(const Assignment& assignment, Shard* shard);
  void Take(const Json& said, const PlanGroup& group, Shard* shard);
  void Bury(const std::string& cause, Shard* shard);
  void Record(ReportCase result, std::optional<TimedRows> timed, Shard* shard);
  void WaitForMemory() const;

  const Plan& plan_;
  const std::string plan_hash_;
  const PlaceOptions options_;
  RunEvents& events_;
  const std::atomic<bool>& stop_;
  std::unique_ptr<WorkerProcess> worker_;
  Environment environment_;                    // of the worker
  std::optional<std::int64_t> free_at_start_;  // bytes of its device
  std::int64_t workers_ = 0, leftovers_ = 0;
};

// The last line of a log, for a message.
std::string LastWords(const std::string& log);

}  // namespace assay
