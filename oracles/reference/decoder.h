// Reference decoders: one user, one token at a time, straight line, readable next to the published formulas. They share
// with the engine the facts (ModelSpec, WeightStore) and nothing of its mechanism: history is kept by absolute
// position, grows and is masked; nothing wraps, nothing is aliased. Weights stay float32 as read; everything else is
// float64.
//
// The calibrated twin is the same program in float32 that rounds where the engine rounds; its distance from the
// reference is what tolerances are derived from.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/tensor.h"
#include "engine/ops/precision.h"
#include "engine/weights/store.h"

namespace assay {

// What a decoder has to say after one token.
struct ReferenceStep {
  std::vector<double> raw;     // [vocab] logits before the softcap; empty after Skip
  std::vector<double> capped;  // [vocab] after it; equal to raw without one
  // [layers + 1][hidden] with keep_hidden: the embedding, then the output of each layer but the last, then the final
  // norm of the last layer's output, as transformers orders them.
  std::vector<std::vector<double>> hidden;
};

// How activations of a product are rounded where its matrix is stored in blocks, beyond the operand type.
enum class ActivationRounding {
  kNone,      // as operands
  kQ8,        // blocks of 32 int8 with one 16-bit scale: ggml's q8_0, and q8_1, which adds a sum
  kQ8K,       // blocks of 256 int8 with one float32 scale: ggml's q8_K
  kByWeight,  // as ggml pairs them on a host: kQ8K with K- and I-quants, kQ8 with other blocks; fp16 and bf16 with
              // matrices of that type
};

// What a twin rounds. A mode of the engine is one, and so is a DType alone, kF32, kF16 or kBF16: all in that type.
struct TwinArithmetic {
  TwinArithmetic(Precision mode) : operands(mode.operands), cache(mode.kv) {}  // NOLINT: a mode is one
  TwinArithmetic(DType operand_type) : TwinArithmetic(Precision{operand_type, operand_type}) {}  // NOLINT
  DType operands;              // of products, as are matrices
  DType cache;                 // keys and values, and, unless it is F8_E4M3, what is multiplied with them
  DType stream = DType::kF32;  // what one operation hands to the next: products, sums, norms, logits
  ActivationRounding activations = ActivationRounding::kNone;
  bool gelu_table = false;  // GELU of a 16-bit float, as a 16-bit float; 0 below -10, x above 10
  // As sums in another order would, operands move before they are rounded: by up to 2^-20 of themselves, in float32 by
  // 2^-24, drawn from this number. 0: not at all.
  int order = 0;
  auto operator<=>(const TwinArithmetic&) const = default;
};
// "fp32", "fp32, activations by weight, gelu by fp16 table".
std::string Describe(const TwinArithmetic& arithmetic);

struct ReferenceOptions {
  bool keep_hidden = false;
  std::optional<TwinArithmetic> twin;  // nothing: the float64 reference
};

// Sees the router's probabilities of every layer with experts and the experts it chose, and may change these.
using RoutingHook =
    std::function<void(int layer, std::span<const double> probabilities, std::vector<std::size_t>& chosen)>;

// A decoder and its history. Copies made by Fork share the weights and may be used from different threads; one decoder
// may not.
class ReferenceDecoder {
 public:
  virtual ~ReferenceDecoder() = default;
  // Appends one token. Throws InputError, with the history unchanged, for an id outside the vocabulary.
  ReferenceStep Step(std::int32_t token) { return Append(token, true); }
  // Appends one token without computing its logits.
  void Skip(std::int32_t token) { Append(token, false); }
  // Appends all of `tokens` and returns what follows the last. Throws InputError when there are none.
  ReferenceStep Prefill(std::span<const std::int32_t> tokens);
  // Forgets the tokens from `length` on. Throws InputError for a length that was never reached.
  void Truncate(int length);
  int length() const { return length_; }
  // From now on; forks take it along. Routing is a decision, and logits can be judged under another decoder's
  // decisions.
  void SetRouting(RoutingHook hook) { routing_ = std::move(hook); }
  virtual const ModelSpec& spec() const = 0;
  virtual std::unique_ptr<ReferenceDecoder> Fork() const = 0;

 protected:
  // The token's forward pass at position length(), which overwrites whatever the history holds from there on.
  virtual ReferenceStep Forward(std::int32_t token, bool want_logits) = 0;
  // The top_k largest, ties to the lower index, unless the hook says otherwise.
  std::vector<std::size_t> Choose(int layer, std::span<const double> probabilities, int top_k) const;

 private:
  ReferenceStep Append(std::int32_t token, bool want_logits);
  int length_ = 0;
  RoutingHook routing_;
};

// Reads the weights (all but the per-layer embedding table, of which rows are read when looked up) and picks the
// program of the spec's family. Keeps no reference to `store`. Throws InputError for a spec that neither program
// covers.
std::unique_ptr<ReferenceDecoder> MakeReference(const WeightStore& store, const ReferenceOptions& options = {});

// "float64 reference" or "bf16 twin": for provenance and messages.
std::string Describe(const ReferenceOptions& options);

}  // namespace assay
