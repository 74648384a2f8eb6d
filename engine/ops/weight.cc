#include "engine/ops/weight.h"

#include "engine/ops/kept_format.h"

namespace assay {

DType KeptType(DType stored, Precision precision, WeightUse use, bool on_host) {
  if (use == WeightUse::kTable || (IsQuantised(stored) && FindKeptFormat(stored) != nullptr)) return stored;
  if (precision.operands == DType::kF32 && (on_host || stored == DType::kF16 || stored == DType::kBF16)) return stored;
  return OperandType(precision);
}

}  // namespace assay
