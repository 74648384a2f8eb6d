#include "oracles/reference/decoder.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/half.h"
#include "engine/base/random.h"
#include "oracles/reference/arithmetic.h"
#include "oracles/reference/dense_decoder.h"
#include "oracles/reference/gemma4_decoder.h"

namespace assay {

namespace {

std::vector<float> RoundedTo(DType type, std::vector<float> values) {
  for (float& value : values) {
    if (type == DType::kBF16) value = ToFloat(ToBF16(value));
    if (type == DType::kF16) value = ToFloat(ToF16(value));
    if (type == DType::kF8_E4M3) value = ToFloat(ToF8E4M3(value));
  }
  return values;
}

// Blocks of `size` whole numbers from -127 to 127 with one scale, kept in 16 bits or in 32.
std::vector<float> RoundedInBlocks(std::vector<float> values, std::size_t size, bool scale_of_16_bits) {
  for (std::size_t at = 0; at < values.size(); at += size) {
    const auto block = std::span(values).subspan(at, std::min(size, values.size() - at));
    float largest = 0;
    for (const float value : block) largest = std::max(largest, std::abs(value));
    const float scale = largest / 127, stored = scale_of_16_bits ? ToFloat(ToF16(scale)) : scale;
    for (float& value : block) value = scale == 0 ? 0 : std::nearbyint(value / scale) * stored;
  }
  return values;
}

bool InBlocksOf256(DType type) {
  switch (type) {
    case DType::kQ2_K:
    case DType::kQ3_K:
    case DType::kQ4_K:
    case DType::kQ5_K:
    case DType::kQ6_K:
    case DType::kIQ4_XS:
      return true;
    default:
      return false;
  }
}

const char* ModeName(DType type) {
  switch (type) {
    case DType::kF32:
      return "fp32";
    case DType::kF16:
      return "fp16";
    case DType::kBF16:
      return "bf16";
    default:
      Throw<>("a twin's operand type is F32, F16 or BF16, not {}", Name(type));
  }
}

}  // namespace

std::vector<float> Rounded::Operand(std::vector<float> values) const {
  if (type.order != 0) {
    const float most = type.operands == DType::kF32 ? 0x1p-24f : 0x1p-20f;
    const std::uint64_t key = Mix64(static_cast<std::uint64_t>(type.order));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint64_t bits = RandomBits(key, std::bit_cast<std::uint32_t>(values[i]) + (i << 32));
      values[i] += values[i] * most * (static_cast<float>(bits >> 40) * 0x1p-23f - 1);
    }
  }
  return RoundedTo(type.operands, std::move(values));
}

// Once: what is rounded to a longer type first can end at another number of 8 bits.
std::vector<float> Rounded::Stored(std::vector<float> values) const {
  if (type.cache == DType::kF8_E4M3) return RoundedTo(type.cache, std::move(values));
  return Attended(Operand(std::move(values)));
}

std::vector<float> Rounded::Attended(std::vector<float> values) const {
  const bool as_operands = type.cache == type.operands && type.stream == DType::kF32;
  return as_operands || type.cache == DType::kF8_E4M3 ? values : RoundedTo(type.cache, std::move(values));
}

std::vector<float> Rounded::Stream(std::vector<float> values) const {
  return RoundedTo(type.stream, std::move(values));
}

std::vector<float> Rounded::For(const Matrix& w, std::vector<float> values) const {
  const bool by_weight = type.activations == ActivationRounding::kByWeight;
  if (!IsQuantised(w.stored)) return by_weight ? RoundedTo(w.stored, std::move(values)) : values;
  if (type.activations == ActivationRounding::kNone) return values;
  const bool large = by_weight ? InBlocksOf256(w.stored) : type.activations == ActivationRounding::kQ8K;
  return RoundedInBlocks(std::move(values), large ? 256 : 32, !large);
}

std::string Describe(const TwinArithmetic& arithmetic) {
  constexpr const char* kActivations[] = {"", ", activations q8", ", activations q8_K", ", activations by weight"};
  std::string text =
      ModeName(arithmetic.operands) + std::string(kActivations[static_cast<int>(arithmetic.activations)]);
  if (arithmetic.cache != arithmetic.operands)
    text += std::string(", cache ") + (arithmetic.cache == DType::kF8_E4M3 ? "fp8" : ModeName(arithmetic.cache));
  if (arithmetic.stream != DType::kF32) text += std::string(", stream ") + ModeName(arithmetic.stream);
  return text + (arithmetic.gelu_table ? ", gelu by a table of fp16" : "");
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
  return options.twin ? Describe(*options.twin) + " twin" : "float64 reference";
}

}  // namespace assay
