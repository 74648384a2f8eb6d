#include "engine/runtime/weight_bytes.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <vector>

#include "engine/model/tensors.h"
#include "engine/ops/kept_format.h"
#include "engine/ops/weight.h"
#include "engine/weights/stored_types.h"

namespace assay {
namespace {

using Bytes = std::size_t;

class Sizes {
 public:
  Sizes(const WeightStore& store, Precision precision, bool on_host)
      : spec_(store.spec()), precision_(precision), on_host_(on_host), types_(StoredTypes(store)) {
    for (const TensorEntry& entry : Catalogue(spec_))
      if (entry.required || store.Has(entry.key)) entries_.emplace(entry.key, entry);
  }

  // Of the weight that the listed matrices are stacked into.
  Bytes Matrix(std::initializer_list<Role> roles, int layer, WeightUse use = WeightUse::kMatrix) const {
    std::vector<const TensorEntry*> parts;
    for (const Role role : roles)
      if (const auto found = entries_.find({role, layer}); found != entries_.end()) parts.push_back(&found->second);
    if (parts.empty()) return 0;
    const DType first = Stored(*parts[0]);
    const bool uniform =
        std::all_of(parts.begin(), parts.end(), [&](const TensorEntry* part) { return Stored(*part) == first; });
    Bytes sum = 0;
    for (const TensorEntry* part : parts) {
      const DType kept =
          uniform || on_host_ ? KeptType(Stored(*part), precision_, use, on_host_) : OperandType(precision_);
      sum += part->experts * part->rows * RowBytes(kept, part->cols, use);
    }
    return sum;
  }

  Bytes Vectors() const {
    Bytes elements = 0;
    for (const auto& [key, entry] : entries_)
      if (key.role == Role::kRouter || (entry.rows == 1 && key.role != Role::kLayerScalar))
        elements += entry.elements();
    for (const RopeSpec& rope : spec_.ropes) elements += rope.inv_freq.size();
    return elements * sizeof(float);
  }

 private:
  DType Stored(const TensorEntry& entry) const {
    const auto found = types_.find(entry.key);
    return found == types_.end() ? DType::kF32 : found->second;
  }
  Bytes RowBytes(DType kept, std::int64_t cols, WeightUse use) const {
    if (on_host_ || use == WeightUse::kTable) return StoredBytes(kept, 1, cols);
    const KeptFormat& format = KeptFormatOf(kept);
    return format.DataBytes(cols) + format.ScaleBytes(cols);
  }

  const ModelSpec& spec_;
  Precision precision_;
  bool on_host_;
  std::map<TensorKey, DType> types_;
  std::map<TensorKey, TensorEntry> entries_;
};

Bytes MatrixBytes(const ModelSpec& spec, const Sizes& sizes) {
  Bytes sum = sizes.Matrix({Role::kEmbed}, -1) + sizes.Matrix({Role::kHead}, -1) +
              sizes.Matrix({Role::kPleEmbed}, -1, WeightUse::kTable) + sizes.Matrix({Role::kPleProject}, -1);
  for (int l = 0; l < spec.layer_count(); ++l) {
    sum += sizes.Matrix({Role::kQuery, Role::kKey, Role::kValue}, l) + sizes.Matrix({Role::kGate, Role::kUp}, l);
    for (const Role role :
         {Role::kAttnOut, Role::kDown, Role::kExpertGateUp, Role::kExpertDown, Role::kPleGate, Role::kPleOut})
      sum += sizes.Matrix({role}, l);
  }
  return sum;
}

}  // namespace

WeightBytes MeasureWeights(const WeightStore& store, Precision precision, bool on_host) {
  const Sizes sizes(store, precision, on_host);
  return {MatrixBytes(store.spec(), sizes), sizes.Vectors()};
}

}  // namespace assay
