// Ops with one fault built in: what a suite must turn red on. Faults are arithmetic (a wrong argument
// or a wrong result of one op) or failures (an op that throws).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "oracles/probes/forwarding_ops.h"

namespace assay {

enum class Fault {
  kNone,
  kWindowPlusOne,     // sliding window of W + 1 keys
  kWindowMinusOne,    // sliding window of W - 1 keys
  kWindowIsRing,      // mask by the ring's size instead of the window
  kScaleOff,          // attention scale multiplied by 1.1
  kFirstRowPosition,  // the first row's position used for all rows
  kLateStep,          // keys and values of a decode step land one slot late
  kNewestKeyDropped,  // the query does not see its own key
  kNeighbourCache,    // the last row reads the first row's cache
  kRowSwap,           // logits of the first two rows exchanged
  kNoSoftcap,         // logits not capped
  kNoValueNorm,       // values not normed
  kNormedValueIsKey,  // where values are keys, they are the key after its norm instead of before
  kNoLayerScalar,     // the last layer's scalar skipped
  kNoPostNorm,        // sandwich norm of one layer's attention skipped
  kPleFirstRow,       // every row gets the first row's per-layer embedding
  kWrongActivation,   // silu for gelu and the reverse
  kExpertWeights,     // the chosen experts' weights not renormalised
  kStaleRow,          // a product does not write the last row when there are three or more
  kLastTokenAgain,    // every row embeds the last row's token
};
struct FaultInfo {
  Fault fault;
  const char* name;  // "window-plus-one"
};
const std::vector<FaultInfo>& Faults();

class FaultyOps : public ForwardingOps {
 public:
  FaultyOps(Ops& inner, Fault fault) : ForwardingOps(inner), fault_(fault) {}

  // The call of the seam with this number (from 0, counted from Arm on) throws DeviceError{lost}; -1: none does.
  void Arm(std::int64_t call, bool lost = false) {
    throw_at_ = call;
    lost_ = lost;
    calls_ = 0;
  }
  std::int64_t calls() const { return calls_; }  // of ops since the last Arm
  // True once the fault has changed an argument or result: a suite that stays green without this proves nothing.
  bool engaged() const { return engaged_; }

  void Embed(const EmbedArgs& args) override;
  void PleInput(const PleInputArgs& args) override;
  void Residual(const ResidualArgs& args) override;
  void MatMul(float* out, const Weight& w, const void* x, int rows) override;
  void GatedMatMul(void* operand, const Weight& w, const void* x, int rows, Activation activation) override;
  void Qkv(const QkvArgs& args) override;
  void Attention(const AttentionArgs& args) override;
  void Route(const RouteArgs& args) override;
  void Logits(const LogitsArgs& args) override;

 private:
  bool Is(Fault fault) const { return fault_ == fault; }
  bool Before(const char* op) override;  // counts and, when armed, throws
  // A copy of one of the rows' device arrays, changed by `edit`; lives until the next call for the same `slot`.
  using Ints = std::vector<std::int32_t>;
  const std::int32_t* Edited(const std::int32_t* values, int count, int slot, const std::function<void(Ints&)>& edit);

  void NormValues(const QkvArgs& args);

  Fault fault_;
  std::int64_t throw_at_ = -1, calls_ = 0;
  bool lost_ = false, engaged_ = false;
  Buffer edited_[3];  // token, position, session
};

}  // namespace assay
