// Ops whose recorded steps are timed one by one, on the device's own clock, while they are replayed back to back.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "oracles/probes/forwarding_ops.h"

namespace assay {

// What the replays since the last question took.
struct TimedSteps {
  std::vector<double> seconds;                 // of each but the first: from the end of the one before to its own end
  std::map<std::string, std::int64_t> counts;  // of one step, the most seen: see ReportBenchmark::counts
};

// Forwards to `inner`, which must outlive it, as the timer must outlive what is recorded with it. A step's time holds
// everything from the end of its predecessor on, what the host does in between too. The first of a series waits for the
// host and is left out.
class StepTimer final : public ForwardingOps {
 public:
  explicit StepTimer(Ops& inner) : ForwardingOps(inner), clock_(inner.MakeClock()) {}

  std::unique_ptr<StepGraph> Capture(const std::function<void()>& body) override;
  // Waits for the last replay.
  TimedSteps Take();

 private:
  friend class TimedGraph;
  void Launched(StepGraph& graph);

  std::unique_ptr<OpsClock> clock_;
  std::vector<OpsCounters> counted_;  // after each launch
  std::int64_t nodes_ = 0;
};

}  // namespace assay
