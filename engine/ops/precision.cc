#include "engine/ops/precision.h"

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

int OperandBytes(Precision precision) { return Info(OperandType(precision)).bytes; }

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
