#include "engine/ops/weight.h"

#include "engine/base/check.h"
#include "engine/ops/kept_format.h"

namespace assay {
namespace {

const HostTensor& First(const std::vector<HostTensor>& parts) {
  Require(!parts.empty(), "weight without parts");
  return parts[0];
}

std::int64_t StackedRows(const std::vector<HostTensor>& parts) {
  const HostTensor& first = First(parts);
  std::int64_t rows = 0;
  for (const HostTensor& part : parts) {
    Require(part.cols == first.cols && part.experts == first.experts,
            "{}: cannot be stacked under {}: expected {} columns and {} experts, found {} and {}", part.where,
            first.where, first.cols, first.experts, part.cols, part.experts);
    Require(part.type != DType::kI32, "{}: a weight cannot be {}", part.where, Name(part.type));
    rows += part.rows;
  }
  return rows;
}

}  // namespace

Weight::Weight(const std::vector<HostTensor>& parts)
    : experts(First(parts).experts), rows(StackedRows(parts)), cols(First(parts).cols) {}

DType KeptType(DType stored, Precision precision, WeightUse use, bool on_host) {
  if (use == WeightUse::kTable || (IsQuantised(stored) && FindKeptFormat(stored) != nullptr)) return stored;
  if (precision.operands == DType::kF32 && (on_host || stored == DType::kF16 || stored == DType::kBF16)) return stored;
  return OperandType(precision);
}

}  // namespace assay
