#include "bench/support/omitting_ops.h"

#include <algorithm>
#include <utility>

namespace assay {

// Recorded again when what is omitted has changed.
class OmittingGraph final : public StepGraph {
 public:
  OmittingGraph(OmittingOps& ops, std::function<void()> body) : ops_(ops), body_(std::move(body)) { Record(); }

  void Launch() override {
    if (setting_ != ops_.setting_) Record();
    graph_->Launch();
  }
  std::int64_t nodes() const override { return graph_->nodes(); }
  std::vector<std::string> kernels() const override { return graph_->kernels(); }

 private:
  void Record() {
    graph_.reset();  // first: its memory is counted on
    graph_ = ops_.ForwardingOps::Capture([this] {
      struct Recording {
        explicit Recording(bool& on) : on_(on) { on_ = true; }
        ~Recording() { on_ = false; }
        bool& on_;
      };
      const Recording recording(ops_.recording_);
      ops_.calls_.clear();
      body_();
    });
    setting_ = ops_.setting_;
  }

  OmittingOps& ops_;
  std::function<void()> body_;
  std::unique_ptr<StepGraph> graph_;
  int setting_ = 0;
};

std::unique_ptr<StepGraph> OmittingOps::Capture(const std::function<void()>& body) {
  return std::make_unique<OmittingGraph>(*this, body);
}

void OmittingOps::Omit(const std::string& calls) {
  omitted_ = calls;
  ++setting_;
}

void OmittingOps::LetOverlap(bool on) {
  ForwardingOps::LetOverlap(on);
  ++setting_;
}

bool OmittingOps::Before(const char* op) {
  if (!recording_) return true;
  std::string call = std::string(op) + "@" + site().step;
  std::replace(call.begin(), call.end(), ' ', '-');
  ++calls_[call];
  return call != omitted_;
}

}  // namespace assay
