#include "suites/faults/faulty_system.h"

#include <cstring>

namespace assay {

HookedStore::HookedStore(const WeightStore& inner, StoreHooks hooks, Witness engaged)
    : inner_(inner), hooks_(std::move(hooks)), engaged_(std::move(engaged)), spec_(inner.spec()) {
  if (!hooks_.spec) return;
  hooks_.spec(spec_);
  *engaged_ = *engaged_ || spec_ != inner.spec();
}

HostTensor HookedStore::Load(TensorKey key, bool recipe_only) const {
  if (!hooks_.tensor) return inner_.Load(key, recipe_only);
  HostTensor tensor = inner_.Load(key, false);
  std::vector<float> values = ToFloats(tensor);
  const std::vector<float> before = values;
  hooks_.tensor(key, values, tensor.cols);
  if (values == before) return tensor;
  *engaged_ = true;
  tensor.type = DType::kF32;
  tensor.bytes = values.size() * sizeof(float);
  const std::shared_ptr<std::byte[]> block(new std::byte[tensor.bytes]);
  std::memcpy(block.get(), values.data(), tensor.bytes);
  tensor.data = std::shared_ptr<const std::byte>(block, block.get());
  tensor.fill.reset();
  return tensor;
}

}  // namespace assay
