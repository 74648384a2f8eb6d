#include "oracles/reference/decoder.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/half.h"
#include "oracles/reference/arithmetic.h"
#include "oracles/reference/dense_decoder.h"
#include "oracles/reference/gemma4_decoder.h"

namespace assay {

std::vector<float> Rounded::Operand(std::vector<float> values) const {
  for (float& value : values) {
    if (type == DType::kBF16) value = ToFloat(ToBF16(value));
    if (type == DType::kF16) value = ToFloat(ToF16(value));
  }
  return values;
}

ReferenceStep ReferenceDecoder::Append(std::int32_t token, bool want_logits) {
  Require(token >= 0 && token < spec().vocab, "{}: token id {} at position {} is outside the vocabulary of {}",
          spec().name, token, length_, spec().vocab);
  ReferenceStep step = Forward(token, want_logits);
  ++length_;
  return step;
}

ReferenceStep ReferenceDecoder::Prefill(std::span<const std::int32_t> tokens) {
  Require(!tokens.empty(), "{}: empty prompt: expected at least one token", spec().name);
  for (const std::int32_t token : tokens.first(tokens.size() - 1)) Skip(token);
  return Step(tokens.back());
}

void ReferenceDecoder::Truncate(int length) {
  Require(length >= 0 && length <= length_, "{}: cannot truncate to {} tokens: {} were fed", spec().name, length,
          length_);
  length_ = length;
}

std::vector<std::size_t> ReferenceDecoder::Choose(int layer, std::span<const double> p, int top_k) const {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] > p[b]; });
  order.resize(top_k);
  if (routing_) routing_(layer, p, order);
  return order;
}

std::unique_ptr<ReferenceDecoder> MakeReference(const WeightStore& store, const ReferenceOptions& options) {
  const bool gemma4 = store.spec().family == "gemma4";
  return gemma4 ? MakeGemma4Reference(store, options) : MakeDenseReference(store, options);
}

std::string Describe(const ReferenceOptions& options) {
  if (!options.twin) return "float64 reference";
  switch (*options.twin) {
    case DType::kF32:
      return "fp32 twin";
    case DType::kF16:
      return "fp16 twin";
    case DType::kBF16:
      return "bf16 twin";
    default:
      Throw<>("a twin's operand type is F32, F16 or BF16, not {}", Name(*options.twin));
  }
}

}  // namespace assay
