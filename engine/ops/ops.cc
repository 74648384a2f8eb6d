#include "engine/ops/ops.h"

#include "engine/base/check.h"

namespace assay {

DType OperandType(Precision precision) {
  switch (precision) {
    case Precision::kFp16:
      return DType::kF16;
    case Precision::kBf16:
      return DType::kBF16;
    case Precision::kFp32:
      break;
  }
  return DType::kF32;
}

DType KeptType(DType stored, Precision precision, WeightUse use, bool on_host) {
  if (use == WeightUse::kTable || stored == DType::kQ8_0 || stored == DType::kQ4_0) return stored;
  if (precision == Precision::kFp32 && (on_host || stored == DType::kF16 || stored == DType::kBF16)) return stored;
  return OperandType(precision);
}

const char* Name(Precision precision) {
  switch (precision) {
    case Precision::kFp16:
      return "fp16";
    case Precision::kBf16:
      return "bf16";
    case Precision::kFp32:
      break;
  }
  return "fp32";
}

Precision PrecisionFromName(const std::string& name) {
  for (const Precision precision : {Precision::kFp32, Precision::kFp16, Precision::kBf16})
    if (name == Name(precision)) return precision;
  Throw("dtype '{}': expected fp32, fp16 or bf16", name);
}

}  // namespace assay
