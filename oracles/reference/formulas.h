// The formulas both reference programs are written in, each as published. Real is the type of activations and
// accumulation.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "engine/base/activation.h"
#include "engine/base/half.h"
#include "engine/base/parallel.h"
#include "engine/model/spec.h"
#include "oracles/reference/history.h"
#include "oracles/reference/linear.h"

namespace assay {

// rms(x) = x * (mean(x^2) + eps)^-1/2 over each run of `width` values, times `weight` [width] when there is one.
template <class Real>
std::vector<Real> Rms(std::vector<Real> x, const std::vector<float>& weight, std::size_t width, float eps) {
  for (auto run = x.begin(); run != x.end(); run += static_cast<std::ptrdiff_t>(width)) {
    Real sum = 0;
    for (std::size_t i = 0; i < width; ++i) sum += run[i] * run[i];
    const Real scale = 1 / std::sqrt(sum / static_cast<Real>(width) + static_cast<Real>(eps));
    for (std::size_t i = 0; i < width; ++i) run[i] *= weight.empty() ? scale : scale * static_cast<Real>(weight[i]);
  }
  return x;
}

template <class Real>
std::vector<Real> Rms(std::vector<Real> x, const std::vector<float>& weight, float eps) {
  const std::size_t width = x.size();
  return Rms(std::move(x), weight, width, eps);
}

template <class Real>
std::vector<Real> Scaled(std::vector<Real> x, Real factor) {
  for (Real& value : x) value *= factor;
  return x;
}

template <class Real>
std::vector<Real> Sum(std::vector<Real> a, const std::vector<Real>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

template <class Real>
std::vector<Real> Widened(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

// x + bias, or x where there is none.
template <class Real>
std::vector<Real> Biased(std::vector<Real> x, const std::vector<float>& bias) {
  return bias.empty() ? std::move(x) : Sum(std::move(x), Widened<Real>(bias));
}

// silu(x) = x / (1 + e^-x); gelu(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
template <class Real>
Real Activate(Activation activation, Real x) {
  if (activation == Activation::kSilu) return x / (1 + std::exp(-x));
  const Real inner = static_cast<Real>(0.79788456080286535588) * (x + static_cast<Real>(0.044715) * x * x * x);
  return x / 2 * (1 + std::tanh(inner));
}

// gelu(x) by a table of 16-bit floats over 16-bit floats, as ggml does on a host: 0 below -10, x above 10.
template <class Real>
Real GeluByTable(Real x) {
  if (x <= -10) return 0;
  if (x >= 10) return x;
  const float half = ToFloat(ToF16(static_cast<float>(x)));
  return static_cast<Real>(ToFloat(ToF16(Activate(Activation::kGeluTanh, half))));
}

// act(gate) * up; `table`: gelu by one.
template <class Real>
std::vector<Real> Gated(Activation activation, std::vector<Real> gate, const std::vector<Real>& up,
                        bool table = false) {
  const bool by_table = table && activation != Activation::kSilu;
  for (std::size_t i = 0; i < gate.size(); ++i)
    gate[i] = (by_table ? GeluByTable(gate[i]) : Activate(activation, gate[i])) * up[i];
  return gate;
}

// Half-split pairs (d, d + head_dim/2) of every head turned by position * inv_freq[d]. The angle is the float32
// product, which is what transformers trained and evaluates with: it belongs to the model, not to the arithmetic.
// Cosine and sine have the rope's gain, as YaRN is published.
template <class Real>
std::vector<Real> Rope(std::vector<Real> x, const RopeSpec& rope, int position) {
  const std::size_t half = rope.inv_freq.size();
  for (std::size_t d = 0; d < half; ++d) {
    const Real angle = static_cast<float>(position) * rope.inv_freq[d];
    const Real gain = rope.gain, cosine = std::cos(angle) * gain, sine = std::sin(angle) * gain;
    for (std::size_t head = 0; head < x.size(); head += 2 * half) {
      const Real a = x[head + d], b = x[head + d + half];
      x[head + d] = a * cosine - b * sine;
      x[head + d + half] = b * cosine + a * sine;
    }
  }
  return x;
}

// In place: e^(s - max) / sum. Masked entries are -infinity.
template <class Real>
void Softmax(std::vector<Real>& s) {
  const Real largest = *std::max_element(s.begin(), s.end());
  Real sum = 0;
  for (Real& value : s) sum += value = std::exp(value - largest);
  for (Real& value : s) value /= sum;
}

// The mask: causal, and on sliding layers the last `window` positions, the query's own included.
inline bool Visible(int query, int key, int window) { return key <= query && (window == 0 || query - key < window); }

struct AsIs {
  template <class Values>
  Values operator()(Values values) const {
    return values;
  }
};

// o_h = sum_j softmax_j(scale * q_h . k_j) v_j over the visible positions, query head h reading kv head h / (heads /
// kv_heads). `round` is what happens to the weights of a softmax before they are multiplied.
template <class Real, class Round = AsIs>
std::vector<Real> Attend(const std::vector<Real>& q, const History<Real>& history, int position, const LayerSpec& layer,
                         float scale, const Round& round = {}) {
  const std::int64_t dim = layer.head_dim;
  std::vector<Real> out(q.size());
  const auto head_range = [&](std::int64_t begin, std::int64_t end) {
    std::vector<Real> s(static_cast<std::size_t>(position) + 1);
    for (std::int64_t head = begin; head < end; ++head) {
      const std::int64_t kv = head / (layer.heads / layer.kv_heads) * dim;
      for (int j = 0; j <= position; ++j)
        s[j] = Visible(position, j, layer.window)
                   ? static_cast<Real>(scale) * Dot(history.Key(j) + kv, q.data() + head * dim, dim)
                   : -std::numeric_limits<Real>::infinity();
      Softmax(s);
      s = round(std::move(s));
      for (int j = 0; j <= position; ++j) {
        const Real p = s[j];
        if (!Visible(position, j, layer.window)) continue;
        const Real* v = history.Value(j) + kv;
        for (std::int64_t d = 0; d < dim; ++d) out[head * dim + d] += p * v[d];
      }
    }
  };
  const std::int64_t work = (std::int64_t{position} + 1) * dim;
  ParallelFor(layer.heads, std::max<std::int64_t>(1, (1 << 18) / work), head_range);
  return out;
}

// cap * tanh(z / cap), or z when there is no cap.
template <class Real>
Real Softcap(Real z, float cap) {
  return cap > 0 ? static_cast<Real>(cap) * std::tanh(z / static_cast<Real>(cap)) : z;
}

}  // namespace assay
