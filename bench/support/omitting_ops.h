// Ops whose recorded steps can be made anew without one of their ops: what a step loses when an op goes is what the op
// costs it, which its time alone does not say where kernels overlap.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "oracles/probes/forwarding_ops.h"

namespace assay {

// Forwards to `inner`, which must outlive it, as the ops must outlive what is recorded with them. Only recorded steps
// miss an op; what they compute without it means nothing.
class OmittingOps final : public ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;

  // The calls of a step that was recorded, by op and place in the model: "Residual@feed-forward".
  const std::map<std::string, int>& calls() const { return calls_; }
  // Recorded steps miss these calls from their next launch on; empty: none.
  void Omit(const std::string& calls);
  // And let no kernel start before its predecessor has ended, or do again.
  void LetOverlap(bool on) override;

  std::unique_ptr<StepGraph> Capture(const std::function<void()>& body) override;

 private:
  friend class OmittingGraph;
  bool Before(const char* op) override;

  bool recording_ = false;
  int setting_ = 0;  // counts changes
  std::string omitted_;
  std::map<std::string, int> calls_;
};

}  // namespace assay
