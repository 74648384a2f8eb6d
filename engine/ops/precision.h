// The modes of an engine.
#pragma once

#include <compare>
#include <string>
#include <vector>

#include "engine/base/tensor.h"

namespace assay {

// What a mode keeps in which type. Sums are float32 in every mode. e4m3 is stored with no scale and widened where
// attention reads it, to a type that holds each of its numbers.
struct Precision {
  DType operands = DType::kF32;  // of products and of attention: F32, F16 or BF16
  DType kv = DType::kF32;        // keys and values in the caches: as operands, or F8_E4M3
  static const Precision kFp32, kFp16, kBf16, kFp32Fp8Kv, kFp16Fp8Kv, kBf16Fp8Kv;
  auto operator<=>(const Precision&) const = default;
};
inline constexpr Precision Precision::kFp32{DType::kF32, DType::kF32};
inline constexpr Precision Precision::kFp16{DType::kF16, DType::kF16};
inline constexpr Precision Precision::kBf16{DType::kBF16, DType::kBF16};
inline constexpr Precision Precision::kFp32Fp8Kv{DType::kF32, DType::kF8_E4M3};
inline constexpr Precision Precision::kFp16Fp8Kv{DType::kF16, DType::kF8_E4M3};
inline constexpr Precision Precision::kBf16Fp8Kv{DType::kBF16, DType::kF8_E4M3};

inline DType OperandType(Precision precision) { return precision.operands; }
int OperandBytes(Precision precision);  // of one element
// "fp32", "fp16", "bf16", and each with "_fp8kv" behind it. A table: every mode there is.
const char* Name(Precision precision);
const std::vector<std::string>& PrecisionNames();
Precision PrecisionFromName(const std::string& name);  // throws InputError

}  // namespace assay
