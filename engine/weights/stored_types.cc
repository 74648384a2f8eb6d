#include "engine/weights/stored_types.h"

#include <algorithm>

namespace assay {

TensorNames::TensorNames(const ModelSpec& spec) {
  for (const TensorEntry& entry : Catalogue(spec)) {
    keys_.emplace(Name(entry.key), entry.key);
    for (const std::string& name : HuggingFaceNames(spec, entry.key)) keys_.emplace(name, entry.key);
    for (const std::string& name : GgufNames(spec, entry.key)) keys_.emplace(name, entry.key);
  }
}

std::optional<TensorKey> TensorNames::Find(const std::string& listed) const {
  // The longest suffix first: "norm.weight" is the final norm only when nothing longer is known.
  for (std::size_t at = 0; at != std::string::npos; at = listed.find('.', at)) {
    if (listed[at] == '.') ++at;
    if (const auto found = keys_.find(listed.substr(at)); found != keys_.end()) return found->second;
  }
  return std::nullopt;
}

std::map<TensorKey, DType> StoredTypes(const WeightStore& store) {
  const TensorNames names(store.spec());
  std::map<TensorKey, DType> types;
  std::map<DType, int> matrices;
  for (const StoredTensorInfo& tensor : store.Listing()) {
    if (!tensor.used) continue;
    if (tensor.shape.size() > 1) ++matrices[tensor.type];
    if (const std::optional<TensorKey> key = names.Find(tensor.name)) types.emplace(*key, tensor.type);
  }
  const auto most = std::max_element(matrices.begin(), matrices.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  for (const TensorEntry& entry : Catalogue(store.spec())) {
    if (entry.required && entry.rows > 1 && most != matrices.end()) types.emplace(entry.key, most->first);
  }
  return types;
}

}  // namespace assay
