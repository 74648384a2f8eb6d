// The modes of an engine: the type in which products take their operands and in which keys and values are kept.
#pragma once

#include <string>

#include "engine/base/tensor.h"

namespace assay {

enum class Precision { kFp32, kFp16, kBf16 };
DType OperandType(Precision precision);
int OperandBytes(Precision precision);                 // of one element
const char* Name(Precision precision);                 // "fp32", "fp16", "bf16"
Precision PrecisionFromName(const std::string& name);  // throws InputError

}  // namespace assay
