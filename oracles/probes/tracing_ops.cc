#include "oracles/probes/tracing_ops.h"

namespace assay {

void TracingOps::Embed(const EmbedArgs& args) {
  inner_.Embed(args);
  Record(-1, args.x, nullptr, args.rows->count, args.table->cols);
}

void TracingOps::Residual(const ResidualArgs& args) {
  inner_.Residual(args);
  Record(site().layer, args.x, args.operand, args.rows, args.width);
}

// A layer's later residual replaces its earlier one, so that what stays is the layer's output.
void TracingOps::Record(int layer, const float* x, const void* normed, int rows, std::int64_t width) {
  if (layer == -1) taps_.clear();
  if (taps_.empty() || taps_.back().layer != layer) taps_.push_back({layer, 0, 0, {}, {}});
  Tap& tap = taps_.back();
  tap.rows = rows;
  tap.width = static_cast<int>(width);
  const auto copy = [&](std::vector<float>& to, const void* from) {
    to.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(width));
    inner_.memory().CopyOut(to.data(), from, to.size() * sizeof(float));
  };
  copy(tap.x, x);
  if (normed != nullptr && precision().operands == DType::kF32) copy(tap.normed, normed);
}

}  // namespace assay
