// A model with its matrices quantised when they are loaded: any store becomes a Q8_0 or Q4_0 one without a file being
// written.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/weights/store.h"

namespace assay {

// Every matrix of a product (embedding, head and experts too) whose rows are whole blocks becomes `type`, which is Q8_0
// or Q4_0: values are QuantiseRow of the base's. Norms, biases, the router and the per-layer embedding table stay as
// they are. The spec's name gains the suffix.
std::unique_ptr<WeightStore> Requantise(std::unique_ptr<WeightStore> base, DType type);

// "gemma4-nano@q8_0" is "gemma4-nano" in Q8_0: the name without the suffix, the suffix as typed (empty: none) and its
// type.
struct QuantisedName {
  std::string base, suffix;
  std::optional<DType> type;
};
// Throws InputError naming the suffixes there are when it ends in another type of blocks ("@q4_k").
QuantisedName SplitQuantisedName(const std::string& model);

}  // namespace assay
