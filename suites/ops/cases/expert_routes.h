// Which experts the rows of an op case choose.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/random.h"

namespace assay {

struct ExpertLayer {
  int experts, top_k;
  std::int64_t hidden, ffn;
};

// Distinct experts a row; `skew`: as many rows as possible share the same.
inline std::vector<std::int32_t> ExpertRoutes(int rows, const ExpertLayer& layer, bool skew) {
  std::vector<std::int32_t> chosen;
  for (int r = 0; r < rows; ++r) {
    const auto start = skew ? 0
                            : static_cast<int>(RandomBits(5, static_cast<std::uint64_t>(r)) %
                                               static_cast<std::uint64_t>(layer.experts));
    const int step = skew || layer.experts % 3 == 0 ? 1 : 3;
    for (int k = 0; k < layer.top_k; ++k) chosen.push_back((start + k * step) % layer.experts);
  }
  return chosen;
}

}  // namespace assay
