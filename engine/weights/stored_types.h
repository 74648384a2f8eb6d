// The stored type of every tensor of a model, from the listing alone: nothing is loaded.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "engine/weights/store.h"

namespace assay {

// Which tensor of the catalogue a listed name is, whatever prefix a checkpoint puts before it. Nothing for tensors that
// are not read and for parts of one (single experts).
class TensorNames {
 public:
  explicit TensorNames(const ModelSpec& spec);
  std::optional<TensorKey> Find(const std::string& listed) const;

 private:
  std::map<std::string, TensorKey> keys_;
};

// Tensors stored in parts count as of the type most matrices have.
std::map<TensorKey, DType> StoredTypes(const WeightStore& store);

}  // namespace assay
