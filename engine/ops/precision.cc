#include "engine/ops/precision.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "engine/base/check.h"

namespace assay {
namespace {

struct Mode {
  const char* name;
  Precision precision;
};
constexpr Mode kModes[] = {
    {"fp32", Precision::kFp32},
    {"fp16", Precision::kFp16},
    {"bf16", Precision::kBf16},
    {"fp32_fp8kv", Precision::kFp32Fp8Kv},
    {"fp16_fp8kv", Precision::kFp16Fp8Kv},
    {"bf16_fp8kv", Precision::kBf16Fp8Kv},
};

}  // namespace

int OperandBytes(Precision precision) { return Info(precision.operands).bytes; }

const char* Name(Precision precision) {
  const auto* const found =
      std::find_if(std::begin(kModes), std::end(kModes), [&](const Mode& mode) { return mode.precision == precision; });
  Require<Error>(found != std::end(kModes), "no mode has operands in {}, keys and values in {}",
                 assay::Name(precision.operands), assay::Name(precision.kv));
  return found->name;
}

const std::vector<std::string>& PrecisionNames() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Mode& mode : kModes) all.emplace_back(mode.name);
    return all;
  }();
  return names;
}

Precision PrecisionFromName(const std::string& name) {
  for (const Mode& mode : kModes)
    if (name == mode.name) return mode.precision;
  Throw("dtype '{}': expected one of {}", name, fmt::join(PrecisionNames(), ", "));
}

}  // namespace assay
