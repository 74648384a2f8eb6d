// Records the residual stream after the embedding and after each layer: what hidden-state oracles compare.
#pragma once

#include <vector>

#include "oracles/probes/forwarding_ops.h"

namespace assay {

class TracingOps final : public ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;

  // One tap: the residual of every row of a step, float32 [rows, width], after the last Residual call of `layer` (-1:
  // after the embedding).
  struct Tap {
    int layer;
    int rows;
    int width;
    std::vector<float> x;
    std::vector<float>
        normed;  // what the norm behind it made of x; empty after the embedding and where that is rounded to 16 bits
  };
  const std::vector<Tap>& taps() const { return taps_; }
  void Clear() { taps_.clear(); }

  void Embed(const EmbedArgs& args) override;
  void Residual(const ResidualArgs& args) override;

 private:
  void Record(int layer, const float* x, const void* normed, int rows, std::int64_t width);
  std::vector<Tap> taps_;
};

}  // namespace assay
