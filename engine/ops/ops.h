// The op seam: batched operations at the grain of fused kernels. The trunk calls nothing else. HostOps is short plain
// loops, CudaOps is kernels and cuBLAS; probes decorate Ops to trace and to inject faults.
//
// Conventions. Outputs come first. All pointers are memory of ops.memory(). "operand" is an array in the mode's type
// (fp32, fp16 or bf16, see Precision): what products take. Caches are in a type of their own. Everything else is
// float32: the residual stream x, product outputs, norms' weights. Products accumulate in float32. Rounding happens
// exactly where an op writes an operand or a cache; nowhere else. Calls are ordered; they may return before the work is
// done (Synchronize waits). Ops never allocate in a step that asks for no more workspace than Reserve has set aside.
// Unless said otherwise outputs must not overlap inputs. Rows are independent: row r of an output depends on row r of
// the inputs and, in attention, on its session's cache.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/activation.h"
#include "engine/base/device.h"
#include "engine/base/tensor.h"
#include "engine/memory/memory.h"
#include "engine/ops/precision.h"
#include "engine/ops/rows.h"
#include "engine/ops/weight.h"

namespace assay {

// Where a call belongs; carried by errors, traces and faults.
struct Site {
  int layer = -1;         // -1 outside layers
  const char* step = "";  // static string: "attention", "ffn"
};

// A recorded sequence of calls that replays as one launch where the device can.
class StepGraph {
 public:
  virtual ~StepGraph() = default;
  virtual void Launch() = 0;
  virtual std::int64_t nodes() const = 0;  // kernels, copies and fills of one launch on a device; 0 on the host
  // Distinct names of the kernels of one launch, libraries' included, sorted. A kernel whose name cannot be had is
  // "unnamed kernel". Empty on the host.
  virtual std::vector<std::string> kernels() const = 0;
};

// A clock in the time of the ops' own device. Mark names the moment when the work so far is done; it does not wait and
// is not for captures.
class OpsClock {
 public:
  virtual ~OpsClock() = default;
  virtual void Mark() = 0;
  // Waits for the last mark. Seconds from each mark to the next; then the marks are forgotten.
  virtual std::vector<double> Intervals() = 0;
};

// Counts since construction. Host ops count calls, graph launches and packed segments.
struct OpsCounters {
  std::int64_t calls = 0;  // op calls made through the seam
  std::int64_t kernel_launches = 0;
  std::int64_t graph_launches = 0;
  std::int64_t host_syncs = 0;  // times the host waited for the device
  // Most segments that one launch of attention's packed kernel took (on the host: would take). That kernel is for
  // segments of more than 8 rows, outside batch-invariant mode: split_keys.h.
  std::int64_t packed_segments = 0;
};

class Ops {
 public:
  virtual ~Ops() = default;
  virtual Memory& memory() = 0;
  virtual Precision precision() const = 0;
  virtual Device device_id() const = 0;
  virtual bool on_host() const { return device_id().on_host(); }
  virtual std::string device() const = 0;  // its name for people: "host", "NVIDIA H100 80GB HBM3"
  virtual OpsCounters counters() const = 0;

  // Which kernels were launched between LogKernels(true), which starts an empty list, and LogKernels(false): distinct
  // names, sorted, those of recorded graphs that were launched included. A product that the library computes outside a
  // graph is named by what its choice of a kernel follows from: "cublas MxNxK bf16" with M result columns, N rows and
  // inner length K. The host has no kernels.
  virtual void LogKernels(bool on) = 0;
  virtual std::vector<std::string> LoggedKernels() const = 0;

  // Stacks `parts` by rows (all of one cols and expert count) into one weight. Synthetic parts may come as recipes.
  // KeptType says what they are kept as.
  virtual std::unique_ptr<Weight> Prepare(const std::vector<HostTensor>& parts, WeightUse use) = 0;
  // Ops of the same kind and settings for the same device that compute nothing: `memory()` counts what is allocated and
  // calls take the workspace that they would take. For memory plans.
  virtual std::unique_ptr<Ops> Planning() const = 0;
  // What these ops have allocated for themselves: workspace, semaphores, a library's memory.
  virtual std::size_t own_bytes() const = 0;
  // The most workspace that a call has asked for so far. Reserve sets so much aside for calls to come.
  virtual std::size_t workspace_bytes() const = 0;
  virtual void Reserve(std::size_t workspace_bytes) = 0;
  // Whether a kernel may start before its predecessor has ended, where the device can; at first it may. Changes no
  // result. For measurements.
  virtual void LetOverlap(bool on) { static_cast<void>(on); }

  // Names what follows; no work.
  virtual void At(Site site) { site_ = site; }
  Site site() const { return site_; }

  // x[r] = table[token[r]] * scale, unrounded; operand[r] = round(x[r]) unless null.
  struct EmbedArgs {
    float* x;       // [rows, cols]
    void* operand;  // [rows, cols] or null
    const Weight* table;
    const Rows* rows;
    float scale;
  };
  virtual void Embed(const EmbedArgs& args) = 0;

  // ple[r, l] = (rms(context[r, l] * context_scale) * norm + table[token[r], l] * token_scale) * 2^-1/2, for each layer
  // l.
  struct PleInputArgs {
    float* ple;            // [rows, layers * width]
    const float* context;  // [rows, layers * width]: the projection of the scaled embedding
    const Weight* table;   // [vocab, layers * width], WeightUse::kTable
    const float* norm;     // [width]
    const Rows* rows;
    int layers, width;
    float token_scale, context_scale, eps;
  };
  virtual void PleInput(const PleInputArgs& args) = 0;

  // operand[r] = round(rms(x[r]) * weight), rms(x) = x * (mean(x^2) + eps)^-1/2.
  struct NormArgs {
    void* operand;        // [rows, width]
    const float* x;       // [rows, width]
    const float* weight;  // [width]
    int rows, width;
    float eps;
  };
  virtual void Norm(const NormArgs& args) = 0;

  // x[r] = (x[r] + norm(delta[r])) * scale, where norm is rms * post_norm, or the identity when post_norm is null;
  // then operand[r] = round(rms(x[r]) * next_norm), or round(x[r]) when next_norm is null. In place on x.
  struct ResidualArgs {
    float* x;                // [rows, width]
    void* operand;           // [rows, width] or null
    const float* delta;      // [rows, width]
    const float* post_norm;  // [width] or null
    const float* next_norm;  // [width] or null
    float scale;
    int rows, width;
    float eps;
  };
  virtual void Residual(const ResidualArgs& args) = 0;

  // x[r] += bias: of a product that is followed by a norm or joins the residual.
  virtual void AddBias(float* x, const float* bias, int rows, int width) = 0;

  // sum[r] = rms(a[r]) * norm_a + rms(b[r]) * norm_b: joins the dense and the expert branch. sum may be a or b.
  struct JoinArgs {
    float* sum;                    // [rows, width]
    const float *a, *b;            // [rows, width]
    const float *norm_a, *norm_b;  // [width]
    int rows, width;
    float eps;
  };
  virtual void Join(const JoinArgs& args) = 0;

  // out[r, o] = sum_i w[o, i] * x[r, i].
  virtual void MatMul(float* out, const Weight& w, const void* x, int rows) = 0;

  // operand[r, o] = round(act(gate_o . x[r]) * (up_o . x[r])), o < w.rows / 2; w prepared with WeightUse::kGated.
  virtual void GatedMatMul(void* operand, const Weight& w, const void* x, int rows, Activation activation) = 0;

  // operand[r, o] = round(act(w_o . x[r]) * ple[r * ple_stride + o]).
  struct PleGateArgs {
    void* operand;     // [rows, width]
    const Weight* w;   // [width, hidden]
    const void* x;     // operand [rows, hidden]
    const float* ple;  // first row's slice of this layer
    std::int64_t ple_stride;
    int rows;
    Activation activation;
  };
  virtual void PleGate(const PleGateArgs& args) = 0;

  // Splits qkv = [q heads | k heads | v heads] (no k, v on layers that share; no v when value_is_key), adds bias,
  // norms, rotates, rounds: q to `q` [rows, heads * head_dim], k and v into slot RingSlot(position, slots) of the row's
  // session. Order per head: + bias; v := raw k if value_is_key; q,k := rms * norm (when given); v := rms(v) (when
  // v_norm); rope on q and k, angle = float(position) * inv_freq[d]; round.
  struct QkvArgs {
    void* q;
    const KvView* kv;       // null on layers that share another layer's cache
    const float* qkv;       // [rows, (heads + 2 or 1 or 0 x kv_heads) * head_dim]
    const float* bias;      // as wide as a row of qkv, or null
    const float* q_norm;    // [head_dim] or null
    const float* k_norm;    // [head_dim] or null
    const float* inv_freq;  // [head_dim / 2]
    const Rows* rows;
    int heads, kv_heads, head_dim;
    bool value_is_key, v_norm;
    float eps;
  };
  virtual void Qkv(const QkvArgs& args) = 0;

  // out[r, h] = round(softmax(scale * q[r, h] . k_j) v_j) over positions j of the row's session with j <= position[r]
  // and, when window > 0, position[r] - j < window. Keys are where Qkv put them.
  struct AttentionArgs {
    void* out;      // operand [rows, heads * head_dim]
    const void* q;  // operand [rows, heads * head_dim]
    const KvView* kv;
    const Rows* rows;
    int heads;
    int window;
    float scale;
  };
  virtual void Attention(const AttentionArgs& args) = 0;

  // Router: r = rms(x) * router_scale * hidden^-1/2 in float32; p = softmax(w . r); the top_k of p, ties to the lower
  // index, in descending order; weight = p / (sum of the chosen p) * expert_scale[expert].
  struct RouteArgs {
    std::int32_t* expert;       // [rows, top_k]
    float* weight;              // [rows, top_k]
    const float* x;             // residual [rows, hidden]
    const float* router;        // [experts, hidden] float32
    const float* router_scale;  // [hidden]
    const float* expert_scale;  // [experts] or null (1)
    int rows, hidden, experts, top_k;
    float eps;
  };
  virtual void Route(const RouteArgs& args) = 0;

  // operand[r, k, o] = round(act(gate . x[r]) * (up . x[r])) with the matrices of expert[r, k]; w kGated with experts.
  struct ExpertGatedArgs {
    void* operand;  // [rows, top_k, w.rows / 2]
    const Weight* w;
    const void* x;               // operand [rows, w.cols]
    const std::int32_t* expert;  // [rows, top_k]
    int rows, top_k;
    Activation activation;
  };
  virtual void ExpertGated(const ExpertGatedArgs& args) = 0;

  // out[r] = sum_k weight[r, k] * (w_expert[r, k] x[r, k]), k in order.
  struct ExpertDownArgs {
    float* out;  // [rows, w.rows]
    const Weight* w;
    const void* x;               // operand [rows, top_k, w.cols]
    const std::int32_t* expert;  // [rows, top_k]
    const float* weight;         // [rows, top_k]
    int rows, top_k;
  };
  virtual void ExpertDown(const ExpertDownArgs& args) = 0;

  // capped[r] = cap * tanh(raw[r] / cap), or raw when cap is 0 (capped may be raw, or null: not written);
  // best[r] = lowest index of the largest capped value, NaN never wins (all NaN: 0); best may be null.
  struct LogitsArgs {
    float* capped;       // [rows, vocab] or null
    std::int32_t* best;  // [rows] or null
    const float* raw;    // [rows, vocab]
    int rows, vocab;
    float cap;
  };
  virtual void Logits(const LogitsArgs& args) = 0;

  // out[i] = in[index[i]], rows of `row_bytes` bytes.
  virtual void GatherRows(void* out, const void* in, const std::int32_t* index, int count, std::int64_t row_bytes) = 0;

  // Greedy feedback for a decode step: token[r] = best[r]; position[r] += 1; segment[r].first_position = position[r];
  // history[*step * rows + r] = best[r]; then *step += 1. All device memory.
  struct AdvanceArgs {
    std::int32_t* token;
    std::int32_t* position;
    Segment* segment;
    std::int32_t* history;
    std::int32_t* step;
    const std::int32_t* best;
    int rows;
  };
  virtual void Advance(const AdvanceArgs& args) = 0;

  // Records the calls `body` makes. A device captures them into one graph; the host keeps `body` and calls it on
  // Launch, so everything it captures must stay valid as long as the graph.
  virtual std::unique_ptr<StepGraph> Capture(const std::function<void()>& body) = 0;
  virtual void Synchronize() = 0;
  // Must not outlive the ops.
  virtual std::unique_ptr<OpsClock> MakeClock() = 0;

 protected:
  Site site_;
};

}  // namespace assay
