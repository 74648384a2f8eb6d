// A store's tensors as its listing says they are, without their values: for plans.
#pragma once

#include <map>

#include "engine/model/tensors.h"
#include "engine/weights/store.h"

namespace assay {

// Matrices are recipes, whatever is asked for, the rest zeros. Types as in StoredTypes. `store` must outlive it.
class ListedStore final : public WeightStore {
 public:
  explicit ListedStore(const WeightStore& store);
  const ModelSpec& spec() const override { return store_.spec(); }
  bool Has(TensorKey key) const override { return store_.Has(key); }
  HostTensor Load(TensorKey key, bool recipe_only) const override;
  std::vector<StoredTensorInfo> Listing() const override { return store_.Listing(); }
  std::string format() const override { return store_.format(); }

 protected:
  std::string Digested(IdentityExtent extent) const override { return store_.Identity(extent); }

 private:
  const WeightStore& store_;
  std::map<TensorKey, DType> types_;
  std::map<TensorKey, TensorEntry> entries_;
};

}  // namespace assay
