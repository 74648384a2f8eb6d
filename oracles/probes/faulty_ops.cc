#include "oracles/probes/faulty_ops.h"

#include <algorithm>
#include <cmath>

#include "engine/base/check.h"
#include "engine/base/quant.h"

namespace assay {

const std::vector<FaultInfo>& Faults() {
  static const std::vector<FaultInfo> faults{
      {Fault::kWindowPlusOne, "window-plus-one"},
      {Fault::kWindowMinusOne, "window-minus-one"},
      {Fault::kWindowIsRing, "window-is-ring"},
      {Fault::kScaleOff, "attention-scale"},
      {Fault::kFirstRowPosition, "first-row-position"},
      {Fault::kLateStep, "append-one-late"},
      {Fault::kNewestKeyDropped, "newest-key-dropped"},
      {Fault::kNeighbourCache, "neighbour-cache"},
      {Fault::kRowSwap, "row-swap"},
      {Fault::kNoSoftcap, "no-softcap"},
      {Fault::kNoValueNorm, "no-value-norm"},
      {Fault::kNormedValueIsKey, "value-is-normed-key"},
      {Fault::kNoLayerScalar, "no-layer-scalar"},
      {Fault::kNoPostNorm, "no-post-norm"},
      {Fault::kPleFirstRow, "ple-first-row"},
      {Fault::kWrongActivation, "wrong-activation"},
      {Fault::kExpertWeights, "expert-weights"},
      {Fault::kStaleRow, "stale-row"},
      {Fault::kLastTokenAgain, "token-swap"},
  };
  return faults;
}

bool FaultyOps::Before(const char* op) {
  if (calls_++ != throw_at_) return true;
  engaged_ = true;
  throw DeviceError(fmt::format("{} of layer {}, {}: failure injected", op, site().layer, site().step), lost_);
}

const std::int32_t* FaultyOps::Edited(const std::int32_t* values, int count, int slot,
                                      const std::function<void(Ints&)>& edit) {
  Ints copy(static_cast<std::size_t>(count));
  memory().CopyOut(copy.data(), values, copy.size() * sizeof(std::int32_t));
  const Ints before = copy;
  edit(copy);
  engaged_ = engaged_ || copy != before;
  if (edited_[slot].bytes() < copy.size() * sizeof(std::int32_t))
    edited_[slot] = Buffer(memory(), copy.size() * sizeof(std::int32_t), "edited rows");
  memory().CopyIn(edited_[slot].data(), copy.data(), copy.size() * sizeof(std::int32_t));
  return edited_[slot].as<std::int32_t>();
}

void FaultyOps::Embed(const EmbedArgs& args) {
  if (!Is(Fault::kLastTokenAgain)) return ForwardingOps::Embed(args);
  Rows rows = *args.rows;
  rows.token =
      Edited(rows.token, rows.count, 0, [](Ints& token) { std::fill(token.begin(), token.end(), token.back()); });
  EmbedArgs changed = args;
  changed.rows = &rows;
  ForwardingOps::Embed(changed);
}

void FaultyOps::PleInput(const PleInputArgs& args) {
  if (!Is(Fault::kPleFirstRow)) return ForwardingOps::PleInput(args);
  Rows rows = *args.rows;
  rows.token =
      Edited(rows.token, rows.count, 0, [](Ints& token) { std::fill(token.begin(), token.end(), token.front()); });
  PleInputArgs changed = args;
  changed.rows = &rows;
  ForwardingOps::PleInput(changed);
}

void FaultyOps::Residual(const ResidualArgs& args) {
  ResidualArgs changed = args;
  if (Is(Fault::kNoLayerScalar) && args.scale != 1.0f) {
    changed.scale = 1.0f;
    engaged_ = true;
  }
  if (Is(Fault::kNoPostNorm) && site().layer == 1 && args.post_norm != nullptr) {
    changed.post_norm = nullptr;
    engaged_ = true;
  }
  ForwardingOps::Residual(changed);
}

void FaultyOps::MatMul(float* out, const Weight& w, const void* x, int rows) {
  const bool stale = Is(Fault::kStaleRow) && rows >= 3;
  engaged_ = engaged_ || stale;
  ForwardingOps::MatMul(out, w, x, stale ? rows - 1 : rows);
}

void FaultyOps::GatedMatMul(void* operand, const Weight& w, const void* x, int rows, Activation activation) {
  if (Is(Fault::kWrongActivation)) {
    engaged_ = true;
    activation = activation == Activation::kSilu ? Activation::kGeluTanh : Activation::kSilu;
  }
  ForwardingOps::GatedMatMul(operand, w, x, rows, activation);
}

void FaultyOps::Qkv(const QkvArgs& args) {
  QkvArgs changed = args;
  Rows rows = *args.rows;
  changed.rows = &rows;
  if (Is(Fault::kFirstRowPosition))
    rows.position = Edited(rows.position, rows.count, 1,
                           [](Ints& position) { std::fill(position.begin(), position.end(), position.front()); });
  if (Is(Fault::kLateStep) && rows.segments == rows.count)
    rows.position = Edited(rows.position, rows.count, 1, [](Ints& position) {
      for (std::int32_t& p : position) ++p;
    });
  if (Is(Fault::kLateStep)) ++rows.context_bound;  // so that a device does not refuse the position itself
  if (Is(Fault::kNoValueNorm) && args.v_norm && args.kv != nullptr) {
    changed.v_norm = false;
    engaged_ = true;
  }
  ForwardingOps::Qkv(changed);
  if (Is(Fault::kNormedValueIsKey) && args.value_is_key && args.kv != nullptr && args.k_norm != nullptr)
    NormValues(args);
}

// Values were norm(k); they become norm(norm(k) * weight): what a key is before it is rotated.
void FaultyOps::NormValues(const QkvArgs& args) {
  const auto dim = static_cast<std::size_t>(args.head_dim);
  std::vector<std::int32_t> position(args.rows->count), session = position;
  memory().CopyOut(position.data(), args.rows->position, position.size() * sizeof(std::int32_t));
  memory().CopyOut(session.data(), args.rows->session, session.size() * sizeof(std::int32_t));
  std::vector<float> weight(dim), value(dim);
  memory().CopyOut(weight.data(), args.k_norm, dim * sizeof(float));
  const DType type = precision().kv;
  std::vector<std::byte> stored(StoredBytes(type, 1, args.head_dim));
  for (std::size_t row = 0; row < position.size(); ++row)
    for (int head = 0; head < args.kv_heads && session[row] >= 0; ++head) {
      const std::int64_t at = args.kv->Offset(session[row], head, position[row]) * Info(type).bytes;
      std::byte* const place = static_cast<std::byte*>(args.kv->values) + at;
      memory().CopyOut(stored.data(), place, stored.size());
      DequantiseRow(type, stored.data(), value.data(), args.head_dim);
      double squares = 0;
      for (std::size_t d = 0; d < dim; ++d) {
        value[d] *= weight[d];
        squares += static_cast<double>(value[d]) * value[d];
      }
      const auto scale = static_cast<float>(1 / std::sqrt(squares / static_cast<double>(dim) + args.eps));
      for (float& v : value) v *= args.v_norm ? scale : 1.0f;
      QuantiseRow(type, value.data(), stored.data(), args.head_dim);
      memory().CopyIn(place, stored.data(), stored.size());
      engaged_ = true;
    }
}

void FaultyOps::Attention(const AttentionArgs& args) {
  AttentionArgs changed = args;
  Rows rows = *args.rows;
  changed.rows = &rows;
  const int window = args.window;
  if (window > 0) {
    if (Is(Fault::kWindowPlusOne)) changed.window = window + 1;
    if (Is(Fault::kWindowMinusOne)) changed.window = window - 1;
    if (Is(Fault::kWindowIsRing)) changed.window = args.kv->slots;
    engaged_ = engaged_ || changed.window != window;
  }
  if (Is(Fault::kScaleOff)) {
    changed.scale *= 1.1f;
    engaged_ = true;
  }
  if (Is(Fault::kNewestKeyDropped))
    rows.position = Edited(rows.position, rows.count, 1, [](Ints& position) {
      for (std::int32_t& p : position) p = std::max(0, p - 1);
    });
  if (Is(Fault::kNeighbourCache))
    rows.session = Edited(rows.session, rows.count, 2, [](Ints& session) { session.back() = session.front(); });
  ForwardingOps::Attention(changed);
}

void FaultyOps::Route(const RouteArgs& args) {
  ForwardingOps::Route(args);
  if (!Is(Fault::kExpertWeights)) return;
  const auto width = static_cast<std::size_t>(args.hidden);
  const auto read = [&](const float* from, std::size_t count) {
    std::vector<float> values(count);
    memory().CopyOut(values.data(), from, count * sizeof(float));
    return values;
  };
  std::vector<float> weight = read(args.weight, static_cast<std::size_t>(args.rows) * args.top_k);
  const std::vector<float> x = read(args.x, args.rows * width), router = read(args.router, args.experts * width),
                           scale = read(args.router_scale, width);
  std::vector<std::int32_t> expert(weight.size());
  memory().CopyOut(expert.data(), args.expert, expert.size() * sizeof(std::int32_t));
  for (int row = 0; row < args.rows; ++row) {
    const float* const input = x.data() + row * width;
    double squares = 0, all = 0, chosen = 0;
    for (std::size_t i = 0; i < width; ++i) squares += static_cast<double>(input[i]) * input[i];
    const double inverse =
        1 / std::sqrt((squares / static_cast<double>(width) + args.eps) * static_cast<double>(width));
    std::vector<double> p(static_cast<std::size_t>(args.experts));
    for (std::size_t e = 0; e < p.size(); ++e) {
      double z = 0;
      for (std::size_t i = 0; i < width; ++i) z += router[e * width + i] * scale[i] * input[i] * inverse;
      all += p[e] = std::exp(z);
    }
    for (int k = 0; k < args.top_k; ++k) chosen += p[expert[row * args.top_k + k]];
    for (int k = 0; k < args.top_k; ++k) weight[row * args.top_k + k] *= static_cast<float>(chosen / all);
  }
  memory().CopyIn(args.weight, weight.data(), weight.size() * sizeof(float));
  engaged_ = true;
}

void FaultyOps::Logits(const LogitsArgs& args) {
  LogitsArgs changed = args;
  if (Is(Fault::kNoSoftcap) && args.cap > 0.0f) {
    changed.cap = 0.0f;
    engaged_ = true;
  }
  if (Is(Fault::kRowSwap) && args.rows >= 2) {
    const std::size_t vocab = static_cast<std::size_t>(args.vocab);
    std::vector<float> two(2 * vocab);
    auto* raw = const_cast<float*>(args.raw);
    memory().CopyOut(two.data(), raw, two.size() * sizeof(float));
    std::rotate(two.begin(), two.begin() + static_cast<std::ptrdiff_t>(vocab), two.end());
    memory().CopyIn(raw, two.data(), two.size() * sizeof(float));
    engaged_ = true;
  }
  ForwardingOps::Logits(changed);
}

}  // namespace assay
