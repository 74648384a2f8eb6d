#include "bench/support/step_timer.h"

#include <algorithm>
#include <utility>

namespace assay {

class TimedGraph final : public StepGraph {
 public:
  TimedGraph(StepTimer& timer, std::unique_ptr<StepGraph> graph) : timer_(timer), graph_(std::move(graph)) {}
  void Launch() override { timer_.Launched(*graph_); }
  std::int64_t nodes() const override { return graph_->nodes(); }
  std::vector<std::string> kernels() const override { return graph_->kernels(); }

 private:
  StepTimer& timer_;
  std::unique_ptr<StepGraph> graph_;
};

std::unique_ptr<StepGraph> StepTimer::Capture(const std::function<void()>& body) {
  return std::make_unique<TimedGraph>(*this, ForwardingOps::Capture(body));
}

void StepTimer::Launched(StepGraph& graph) {
  graph.Launch();
  clock_->Mark();
  counted_.push_back(counters());
  nodes_ = std::max(nodes_, graph.nodes());
}

TimedSteps StepTimer::Take() {
  TimedSteps steps;
  steps.seconds = clock_->Intervals();
  steps.counts["graph_nodes"] = std::exchange(nodes_, 0);
  const auto most = [&](const char* name, std::int64_t OpsCounters::*counter) {
    std::int64_t& count = steps.counts[name];
    for (std::size_t i = 1; i < counted_.size(); ++i)
      count = std::max(count, counted_[i].*counter - counted_[i - 1].*counter);
  };
  most("graph_launches", &OpsCounters::graph_launches);
  most("op_calls", &OpsCounters::calls);  // outside graphs
  most("host_syncs", &OpsCounters::host_syncs);
  counted_.clear();
  return steps;
}

}  // namespace assay
