// What a model's weights will take once an Ops has prepared them, said from the store's listing alone.
#pragma once

#include <cstddef>

#include "engine/ops/precision.h"
#include "engine/weights/store.h"

namespace assay {

struct WeightBytes {
  std::size_t matrices = 0;  // as the ops keep them, padding included
  std::size_t vectors = 0;   // norms, biases, routers, rope tables
};

// Exact but for matrices that a file keeps in parts of different types.
WeightBytes MeasureWeights(const WeightStore& store, Precision precision, bool on_host);

}  // namespace assay
