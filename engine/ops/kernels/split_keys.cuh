// Where the partial results of rows whose keys are split (split_keys.h) lie.
#pragma once

#include "engine/ops/split_keys.h"

namespace assay {

// Values [rows, heads, capacity, head_dim], then (largest score, sum of weights) [rows,
// heads, capacity].
struct Partials {
  float* values;
  float2* stats;
  int capacity;  // chunks of a row there is room for
  ASSAY_HD long long Index(long long row, int heads, int head, int chunk) const {
    return (row * heads + head) * capacity + chunk;
  }
};

}  // namespace assay
