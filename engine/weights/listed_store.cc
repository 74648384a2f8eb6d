#include "engine/weights/listed_store.h"

#include "engine/weights/stored_types.h"

namespace assay {

ListedStore::ListedStore(const WeightStore& store) : store_(store), types_(StoredTypes(store)) {
  for (const TensorEntry& entry : Catalogue(store.spec())) entries_.emplace(entry.key, entry);
}

HostTensor ListedStore::Load(TensorKey key, bool) const {
  const TensorEntry& entry = entries_.at(key);
  const auto found = types_.find(key);
  HostTensor tensor;
  tensor.type = found == types_.end() ? DType::kF32 : found->second;
  tensor.experts = entry.experts, tensor.rows = entry.rows, tensor.cols = entry.cols;
  tensor.bytes = StoredBytes(tensor.type, entry.experts * entry.rows, entry.cols);
  tensor.where = Name(key);
  tensor.fill = SyntheticFill();
  if (entry.rows == 1 || key.role == Role::kRouter) {
    const std::shared_ptr<std::byte[]> zeros(new std::byte[tensor.bytes]());
    tensor.data = std::shared_ptr<const std::byte>(zeros, zeros.get());
  }
  return tensor;
}

}  // namespace assay
