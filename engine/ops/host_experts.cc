// The mixture of experts on the host.
#include <algorithm>
#include <cmath>

#include "engine/base/parallel.h"
#include "engine/ops/host_math.h"
#include "engine/ops/host_ops.h"
#include "engine/ops/host_weight.h"

namespace assay {

using host::Activate;
using host::Dot;
using host::Floats;
using host::Grain;
using host::InverseRms;
using host::Loaded;
using host::Scratch;
using host::StoreOperand;

void HostOps::Route(const RouteArgs& args) {
  ++counters_.calls;
  const float root = 1.0f / std::sqrt(static_cast<float>(args.hidden));
  ParallelFor(args.rows, Grain(std::int64_t{args.experts} * args.hidden), [&](std::int64_t begin, std::int64_t end) {
    Scratch input = Floats(args.hidden), p = Floats(args.experts);
    for (std::int64_t r = begin; r < end; ++r) {
      const float* x = args.x + r * args.hidden;
      const float inverse = InverseRms(x, args.hidden, args.eps);
      for (int i = 0; i < args.hidden; ++i) input[i] = x[i] * inverse * args.router_scale[i] * root;
      for (int e = 0; e < args.experts; ++e)
        p[e] = Dot(args.router + std::int64_t{e} * args.hidden, input.data(), args.hidden);
      const float largest = *std::max_element(p.begin(), p.end());
      float sum = 0.0f;
      for (float& value : p) sum += value = std::exp(value - largest);
      for (float& value : p) value /= sum;
      float chosen = 0.0f;
      for (int k = 0; k < args.top_k; ++k) {
        const auto best = std::max_element(p.begin(), p.end());  // the first of equals
        args.expert[r * args.top_k + k] = static_cast<std::int32_t>(best - p.begin());
        args.weight[r * args.top_k + k] = *best;
        chosen += *best;
        *best = -1.0f;
      }
      for (int k = 0; k < args.top_k; ++k) {
        const std::int64_t at = r * args.top_k + k;
        args.weight[at] =
            args.weight[at] / chosen * (args.expert_scale != nullptr ? args.expert_scale[args.expert[at]] : 1.0f);
      }
    }
  });
}

void HostOps::ExpertGated(const ExpertGatedArgs& args) {
  ++counters_.calls;
  const HostWeight& w = AsHost(*args.w);
  const std::int64_t width = w.rows / 2;
  const Scratch inputs = Loaded(precision_.operands, args.x, w.cols * args.rows);
  ParallelFor(std::int64_t{args.rows} * args.top_k, Grain(w.rows * w.cols), [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch = Floats(w.cols), out = Floats(width);
    for (std::int64_t a = begin; a < end; ++a) {
      const float* x = inputs.data() + a / args.top_k * w.cols;
      for (std::int64_t o = 0; o < width; ++o) {
        const float gate = Dot(w.Row(args.expert[a], o, scratch.data()), x, w.cols);
        out[o] = Activate(args.activation, gate) * Dot(w.Row(args.expert[a], width + o, scratch.data()), x, w.cols);
      }
      StoreOperand(args.operand, precision_.operands, a * width, out.data(), width);
    }
  });
}

void HostOps::ExpertDown(const ExpertDownArgs& args) {
  ++counters_.calls;
  const HostWeight& w = AsHost(*args.w);
  const Scratch inputs = Loaded(precision_.operands, args.x, w.cols * args.rows * args.top_k);
  ParallelFor(args.rows, Grain(w.rows * w.cols * args.top_k), [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch = Floats(w.cols);
    for (std::int64_t r = begin; r < end; ++r) {
      for (std::int64_t o = 0; o < w.rows; ++o) {
        float sum = 0.0f;
        for (std::int64_t a = r * args.top_k; a < (r + 1) * args.top_k; ++a)
          sum += args.weight[a] * Dot(w.Row(args.expert[a], o, scratch.data()), inputs.data() + a * w.cols, w.cols);
        args.out[r * w.rows + o] = sum;
      }
    }
  });
}

}  // namespace assay
