#include "engine/runtime/memory_plan.h"

#include <map>
#include <memory>

#include "engine/model/tensors.h"
#include "engine/runtime/engine.h"
#include "engine/weights/stored_types.h"

namespace assay {
namespace {

// A store's tensors as its listing says they are: matrices as recipes, the rest zeros.
class ListedStore final : public WeightStore {
 public:
  explicit ListedStore(const WeightStore& store) : store_(store), types_(StoredTypes(store)) {
    for (const TensorEntry& entry : Catalogue(store.spec())) entries_.emplace(entry.key, entry);
  }
  const ModelSpec& spec() const override { return store_.spec(); }
  bool Has(TensorKey key) const override { return store_.Has(key); }
  HostTensor Load(TensorKey key, bool) const override {
    const TensorEntry& entry = entries_.at(key);
    const auto found = types_.find(key);
    HostTensor tensor;
    tensor.type = found == types_.end() ? DType::kF32 : found->second;
    tensor.experts = entry.experts, tensor.rows = entry.rows, tensor.cols = entry.cols;
    tensor.bytes = StoredBytes(tensor.type, entry.experts * entry.rows, entry.cols);
    tensor.where = Name(key);
    tensor.fill = SyntheticFill();
    if (entry.rows == 1 || key.role == Role::kRouter)
      tensor.data.reset(new std::byte[tensor.bytes](), std::default_delete<std::byte[]>());
    return tensor;
  }
  std::vector<StoredTensorInfo> Listing() const override { return store_.Listing(); }
  std::string format() const override { return store_.format(); }

 protected:
  std::string Digested(IdentityExtent extent) const override { return store_.Identity(extent); }

 private:
  const WeightStore& store_;
  std::map<TensorKey, DType> types_;
  std::map<TensorKey, TensorEntry> entries_;
};

}  // namespace

MemoryPlan PlanMemory(const WeightStore& store, const Ops& ops, const EngineOptions& options) {
  const std::unique_ptr<Ops> planning = ops.Planning();
  return Engine::Counted(ListedStore(store), *planning, options).Taken();
}

}  // namespace assay
