#include "engine/ops/host_ops.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "engine/base/check.h"
#include "engine/base/parallel.h"
#include "engine/memory/counting_memory.h"
#include "engine/ops/host_math.h"
#include "engine/ops/host_weight.h"
#include "engine/ops/split_keys.h"

namespace assay {

using host::Activate;
using host::Axpy;
using host::Dots;
using host::Floats;
using host::Grain;
using host::InverseRms;
using host::kTranscendental;
using host::Loaded;
using host::LoadOperand;
using host::Scratch;
using host::StoreOperand;

namespace {

// Rotates one head in place; half-split pairs.
void Rotate(float* head, int head_dim, int position, const float* inv_freq) {
  const int half = head_dim / 2;
  for (int d = 0; d < half; ++d) {
    const float angle = static_cast<float>(position) * inv_freq[d];
    const float c = std::cos(angle), s = std::sin(angle), a = head[d], b = head[d + half];
    head[d] = a * c - b * s;
    head[d + half] = b * c + a * s;
  }
}

void NormHead(float* head, const float* weight, int head_dim, float eps) {
  const float scale = InverseRms(head, head_dim, eps);
  for (int d = 0; d < head_dim; ++d) head[d] = head[d] * scale * (weight != nullptr ? weight[d] : 1.0f);
}

class HostGraph final : public StepGraph {
 public:
  HostGraph(std::function<void()> body, OpsCounters& counters) : body_(std::move(body)), counters_(counters) {}
  void Launch() override {
    ++counters_.graph_launches;
    body_();
  }
  std::int64_t nodes() const override { return 0; }
  std::vector<std::string> kernels() const override { return {}; }

 private:
  std::function<void()> body_;
  OpsCounters& counters_;
};

// Host ops have done their work when they return.
class HostClock final : public OpsClock {
 public:
  void Mark() override { marks_.push_back(std::chrono::steady_clock::now()); }
  std::vector<double> Intervals() override {
    std::vector<double> seconds;
    for (std::size_t i = 1; i < marks_.size(); ++i)
      seconds.push_back(std::chrono::duration<double>(marks_[i] - marks_[i - 1]).count());
    marks_.clear();
    return seconds;
  }

 private:
  std::vector<std::chrono::steady_clock::time_point> marks_;
};

}  // namespace

HostOps::HostOps(Precision precision, bool planning) : planning_(planning), precision_(precision) {
  if (planning)
    memory_ = std::make_unique<CountingMemory>();
  else
    memory_ = std::make_unique<HostMemory>();
}

std::unique_ptr<Weight> HostOps::Prepare(const std::vector<HostTensor>& parts, WeightUse use) {
  for (const HostTensor& part : parts)
    Require(planning_ || part.data != nullptr, "{}: host ops need the values, found a recipe only", part.where);
  return std::make_unique<HostWeight>(parts, precision_, use);
}

void HostOps::Embed(const EmbedArgs& args) {
  ++counters_.calls;
  const HostWeight& table = AsHost(*args.table);
  const std::int64_t width = table.cols;
  ParallelFor(args.rows->count, Grain(width), [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch = Floats(width);
    for (std::int64_t r = begin; r < end; ++r) {
      const float* row = table.Row(0, args.rows->token[r], scratch.data());
      float* x = args.x + r * width;
      for (std::int64_t i = 0; i < width; ++i) x[i] = row[i] * args.scale;
      if (args.operand != nullptr) StoreOperand(args.operand, precision_.operands, r * width, x, width);
    }
  });
}

void HostOps::PleInput(const PleInputArgs& args) {
  ++counters_.calls;
  const HostWeight& table = AsHost(*args.table);
  const std::int64_t all = std::int64_t{args.layers} * args.width;
  const float root_half = std::sqrt(0.5f);
  ParallelFor(args.rows->count, Grain(3 * all), [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch = Floats(all), context = Floats(args.width);
    for (std::int64_t r = begin; r < end; ++r) {
      const float* token = table.Row(0, args.rows->token[r], scratch.data());
      for (int l = 0; l < args.layers; ++l) {
        const std::int64_t at = r * all + std::int64_t{l} * args.width;
        for (int i = 0; i < args.width; ++i) context[i] = args.context[at + i] * args.context_scale;
        const float inverse = InverseRms(context.data(), args.width, args.eps);
        for (int i = 0; i < args.width; ++i)
          args.ple[at + i] =
              (context[i] * inverse * args.norm[i] + token[std::int64_t{l} * args.width + i] * args.token_scale) *
              root_half;
      }
    }
  });
}

void HostOps::Norm(const NormArgs& args) {
  ++counters_.calls;
  ParallelFor(args.rows, Grain(4 * args.width), [&](std::int64_t begin, std::int64_t end) {
    Scratch out = Floats(args.width);
    for (std::int64_t r = begin; r < end; ++r) {
      const float* x = args.x + r * args.width;
      const float inverse = InverseRms(x, args.width, args.eps);
      for (int i = 0; i < args.width; ++i) out[i] = x[i] * inverse * args.weight[i];
      StoreOperand(args.operand, precision_.operands, r * args.width, out.data(), args.width);
    }
  });
}

void HostOps::Residual(const ResidualArgs& args) {
  ++counters_.calls;
  ParallelFor(args.rows, Grain(4 * args.width), [&](std::int64_t begin, std::int64_t end) {
    Scratch out = Floats(args.width);
    for (std::int64_t r = begin; r < end; ++r) {
      float* x = args.x + r * args.width;
      const float* delta = args.delta + r * args.width;
      const float inverse = args.post_norm != nullptr ? InverseRms(delta, args.width, args.eps) : 1.0f;
      for (int i = 0; i < args.width; ++i) {
        const float joined = args.post_norm != nullptr ? delta[i] * inverse * args.post_norm[i] : delta[i];
        x[i] = (x[i] + joined) * args.scale;
      }
      if (args.operand == nullptr) continue;
      const float next = args.next_norm != nullptr ? InverseRms(x, args.width, args.eps) : 1.0f;
      for (int i = 0; i < args.width; ++i) out[i] = args.next_norm != nullptr ? x[i] * next * args.next_norm[i] : x[i];
      StoreOperand(args.operand, precision_.operands, r * args.width, out.data(), args.width);
    }
  });
}

void HostOps::AddBias(float* x, const float* bias, int rows, int width) {
  for (std::int64_t row = 0; row < rows; ++row)
    for (int i = 0; i < width; ++i) x[row * width + i] += bias[i];
}

void HostOps::Join(const JoinArgs& args) {
  ++counters_.calls;
  ParallelFor(args.rows, Grain(4 * args.width), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const float *a = args.a + r * args.width, *b = args.b + r * args.width;
      const float of_a = InverseRms(a, args.width, args.eps), of_b = InverseRms(b, args.width, args.eps);
      for (int i = 0; i < args.width; ++i)
        args.sum[r * args.width + i] = a[i] * of_a * args.norm_a[i] + b[i] * of_b * args.norm_b[i];
    }
  });
}

void HostOps::MatMul(float* out, const Weight& weight, const void* x, int rows) {
  ++counters_.calls;
  const HostWeight& w = AsHost(weight);
  const Scratch inputs = Loaded(precision_.operands, x, w.cols * rows);
  ParallelFor(w.rows, Grain(w.cols * rows), [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch = Floats(w.cols);
    for (std::int64_t o = begin; o < end; ++o)
      Dots(out + o, w.rows, w.Row(0, o, scratch.data()), inputs.data(), rows, w.cols);
  });
}

void HostOps::GatedMatMul(void* operand, const Weight& weight, const void* x, int rows, Activation activation) {
  ++counters_.calls;
  const HostWeight& w = AsHost(weight);
  const std::int64_t width = w.rows / 2;
  const Scratch inputs = Loaded(precision_.operands, x, w.cols * rows);
  ParallelFor(width, Grain(2 * w.cols * rows), [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch = Floats(w.cols), gate = Floats(rows), up = Floats(rows);
    for (std::int64_t o = begin; o < end; ++o) {
      Dots(gate.data(), 1, w.Row(0, o, scratch.data()), inputs.data(), rows, w.cols);
      Dots(up.data(), 1, w.Row(0, width + o, scratch.data()), inputs.data(), rows, w.cols);
      for (int r = 0; r < rows; ++r) {
        const int i = r;
        const float value = Activate(activation, gate[i]) * up[i];
        StoreOperand(operand, precision_.operands, r * width + o, &value, 1);
      }
    }
  });
}

void HostOps::PleGate(const PleGateArgs& args) {
  ++counters_.calls;
  const HostWeight& w = AsHost(*args.w);
  const Scratch inputs = Loaded(precision_.operands, args.x, w.cols * args.rows);
  ParallelFor(w.rows, Grain(w.cols * args.rows), [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch = Floats(w.cols), gate = Floats(args.rows);
    for (std::int64_t o = begin; o < end; ++o) {
      Dots(gate.data(), 1, w.Row(0, o, scratch.data()), inputs.data(), args.rows, w.cols);
      for (int r = 0; r < args.rows; ++r) {
        const float value = Activate(args.activation, gate[r]) * args.ple[r * args.ple_stride + o];
        StoreOperand(args.operand, precision_.operands, r * w.rows + o, &value, 1);
      }
    }
  });
}

void HostOps::Qkv(const QkvArgs& args) {
  ++counters_.calls;
  const int head_dim = args.head_dim;
  const int value_heads = args.kv == nullptr || args.value_is_key ? 0 : args.kv_heads;
  const int key_heads = args.kv == nullptr ? 0 : args.kv_heads;
  const std::int64_t width = std::int64_t{args.heads + key_heads + value_heads} * head_dim;
  ParallelFor(args.rows->count, Grain(kTranscendental * width), [&](std::int64_t begin, std::int64_t end) {
    Scratch row = Floats(width), value = Floats(head_dim);
    for (std::int64_t r = begin; r < end; ++r) {
      for (std::int64_t i = 0; i < width; ++i)
        row[i] = args.qkv[r * width + i] + (args.bias != nullptr ? args.bias[i] : 0.0f);
      const int position = args.rows->position[r];
      for (int h = 0; h < args.heads; ++h) {
        float* q = row.data() + std::int64_t{h} * head_dim;
        if (args.q_norm != nullptr) NormHead(q, args.q_norm, head_dim, args.eps);
        Rotate(q, head_dim, position, args.inv_freq);
        StoreOperand(args.q, precision_.operands, (r * args.heads + h) * head_dim, q, head_dim);
      }
      for (int h = 0; h < key_heads; ++h) {
        float* k = row.data() + std::int64_t{args.heads + h} * head_dim;
        const float* v = args.value_is_key ? k : k + std::int64_t{key_heads} * head_dim;
        std::copy(v, v + head_dim, value.begin());
        if (args.rows->session[r] < 0) continue;
        if (args.v_norm) NormHead(value.data(), nullptr, head_dim, args.eps);
        if (args.k_norm != nullptr) NormHead(k, args.k_norm, head_dim, args.eps);
        Rotate(k, head_dim, position, args.inv_freq);
        const std::int64_t at = args.kv->Offset(args.rows->session[r], h, position);
        StoreOperand(args.kv->keys, precision_.kv, at, k, head_dim);
        StoreOperand(args.kv->values, precision_.kv, at, value.data(), head_dim);
      }
    }
  });
}

void HostOps::Attention(const AttentionArgs& args) {
  ++counters_.calls;
  if (args.rows->host_segment != nullptr) {
    const int packed = MostPackedSegments(args.rows->host_segment, args.rows->segments);
    counters_.packed_segments = std::max<std::int64_t>(counters_.packed_segments, packed);
  }
  const KvView& kv = *args.kv;
  const int group = args.heads / kv.kv_heads, head_dim = kv.head_dim;
  const std::int64_t most_keys =
      args.window > 0 ? std::min(args.window, args.rows->context_bound) : args.rows->context_bound;
  ParallelFor(
      std::int64_t{args.rows->count} * kv.kv_heads, Grain(most_keys * group * (2 * head_dim + kTranscendental)),
      [&](std::int64_t begin, std::int64_t end) {
        Scratch q = Floats(std::int64_t{group} * head_dim), out = q, stored = Floats(head_dim), scores;
        for (std::int64_t task = begin; task < end; ++task) {
          const std::int64_t r = task / kv.kv_heads;
          const int kv_head = static_cast<int>(task % kv.kv_heads);
          const int position = args.rows->position[r], session = args.rows->session[r];
          const int first = args.window > 0 ? std::max(0, position - args.window + 1) : 0, keys = position - first + 1;
          const std::int64_t at = (r * args.heads + std::int64_t{kv_head} * group) * head_dim;
          if (session < 0) {
            std::fill(out.begin(), out.end(), 0.0f);
            StoreOperand(args.out, precision_.operands, at, out.data(), std::int64_t{group} * head_dim);
            continue;
          }
          LoadOperand(q.data(), precision_.operands, args.q, at, std::int64_t{group} * head_dim);
          scores.assign(std::int64_t{group} * keys, 0.0f);
          for (int j = 0; j < keys; ++j) {
            LoadOperand(stored.data(), precision_.kv, kv.keys, kv.Offset(session, kv_head, first + j), head_dim);
            Dots(scores.data() + j, keys, stored.data(), q.data(), group, head_dim);
          }
          std::fill(out.begin(), out.end(), 0.0f);
          for (int g = 0; g < group; ++g) {
            float* score = scores.data() + std::int64_t{g} * keys;
            const float largest = *std::max_element(score, score + keys);
            float sum = 0.0f;
            for (int j = 0; j < keys; ++j) sum += score[j] = std::exp((score[j] - largest) * args.scale);
            for (int j = 0; j < keys; ++j) score[j] /= sum;
          }
          for (int j = 0; j < keys; ++j) {
            LoadOperand(stored.data(), precision_.kv, kv.values, kv.Offset(session, kv_head, first + j), head_dim);
            for (int g = 0; g < group; ++g)
              Axpy(out.data() + std::int64_t{g} * head_dim, scores[g * keys + j], stored.data(), head_dim);
          }
          StoreOperand(args.out, precision_.operands, at, out.data(), std::int64_t{group} * head_dim);
        }
      });
}

void HostOps::Logits(const LogitsArgs& args) {
  ++counters_.calls;
  ParallelFor(args.rows, Grain(kTranscendental * args.vocab), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const float* raw = args.raw + r * args.vocab;
      std::int32_t best = -1;
      float best_value = 0.0f;
      for (int i = 0; i < args.vocab; ++i) {
        const float value = args.cap > 0.0f ? args.cap * std::tanh(raw[i] / args.cap) : raw[i];
        if (args.capped != nullptr) args.capped[r * args.vocab + i] = value;
        if (!std::isnan(value) && (best < 0 || value > best_value)) {
          best = i;
          best_value = value;
        }
      }
      if (args.best != nullptr) args.best[r] = std::max(best, 0);
    }
  });
}

void HostOps::GatherRows(void* out, const void* in, const std::int32_t* index, int count, std::int64_t row_bytes) {
  ++counters_.calls;
  for (std::int64_t i = 0; i < count; ++i)
    std::memcpy(static_cast<std::byte*>(out) + i * row_bytes, static_cast<const std::byte*>(in) + index[i] * row_bytes,
                row_bytes);
}

void HostOps::Advance(const AdvanceArgs& args) {
  ++counters_.calls;
  for (int r = 0; r < args.rows; ++r) {
    args.token[r] = args.best[r];
    args.position[r] += 1;
    args.segment[r].first_position = args.position[r];
    args.history[std::int64_t{*args.step} * args.rows + r] = args.best[r];
  }
  *args.step += 1;
}

std::unique_ptr<StepGraph> HostOps::Capture(const std::function<void()>& body) {
  return std::make_unique<HostGraph>(body, counters_);
}

std::unique_ptr<OpsClock> HostOps::MakeClock() { return std::make_unique<HostClock>(); }

}  // namespace assay
