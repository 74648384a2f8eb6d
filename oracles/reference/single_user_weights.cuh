// Weights of the single-user CUDA reference: one device array for each tensor of the catalogue.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/quant.h"
#include "engine/model/tensors.h"
#include "engine/weights/store.h"
#include "oracles/reference/single_user_kernels.cuh"
#include "oracles/reference/single_user_memory.cuh"

namespace assay::single_user {

struct DeviceTensor {
  DType type = DType::kF32;  // kF32, kF16 or kBF16
  std::int64_t experts = 1, rows = 0, cols = 0;
  bool rounded = false;  // a twin rounds its elements to the mode's type
  DeviceArray<std::byte> data;

  const void* Row(std::int64_t row) const { return data.data() + row * cols * Info(type).bytes; }
};

// Calls body(pointer to the first element of `row`) with the tensor's type.
template <class Body>
void WithType(const DeviceTensor& w, std::int64_t row, const Body& body) {
  switch (w.type) {
    case DType::kF16:
      return body(static_cast<const __half*>(w.Row(row)));
    case DType::kBF16:
      return body(static_cast<const __nv_bfloat16*>(w.Row(row)));
    default:
      return body(static_cast<const float*>(w.Row(row)));
  }
}

inline void Generate(const DeviceTensor& w, const SyntheticFill& fill) {
  WithType(w, 0, [&](auto* first) {
    using W = std::remove_const_t<std::remove_pointer_t<decltype(first)>>;
    RecipeKernel<<<8192, 256>>>(const_cast<W*>(first), fill.key, fill.scale, fill.offset, w.experts * w.rows * w.cols);
  });
  Check(cudaGetLastError(), "recipe");
}

// Whole rows decoded and copied, some 64 MB at a time.
inline void Decode(const DeviceTensor& w, const HostTensor& from) {
  const std::size_t row_bytes = StoredBytes(from.type, 1, from.cols);
  const std::int64_t rows = from.experts * from.rows,
                     most = std::max<std::int64_t>(1, (std::int64_t{1} << 24) / from.cols);
  std::vector<float> piece(std::min(most, rows) * from.cols);
  for (std::int64_t row = 0; row < rows; row += most) {
    const std::int64_t now = std::min(most, rows - row);
    for (std::int64_t r = 0; r < now; ++r)
      DequantiseRow(from.type, from.data.get() + (row + r) * row_bytes, piece.data() + r * from.cols, from.cols);
    Check(cudaMemcpy(w.data.data() + row * from.cols * 4, piece.data(), now * from.cols * sizeof(float),
                     cudaMemcpyHostToDevice),
          from.where.c_str());
  }
}

inline DeviceTensor UploadTensor(const WeightStore& store, const TensorEntry& entry) {
  HostTensor from = store.Load(entry.key, /*recipe_only=*/true);
  Require(from.experts == entry.experts && from.rows == entry.rows && from.cols == entry.cols,
          "{}: {} has shape [{}, {}, {}], expected [{}, {}, {}]", from.where, Name(entry.key), from.experts, from.rows,
          from.cols, entry.experts, entry.rows, entry.cols);
  const bool quantised = IsQuantised(from.type), matrix = entry.rows > 1;
  if (quantised && from.data == nullptr) from = store.Load(entry.key);
  DeviceTensor w;
  w.type = quantised ? DType::kF32 : from.type;
  w.experts = from.experts, w.rows = from.rows, w.cols = from.cols;
  w.rounded = matrix && from.type != DType::kQ8_0 && from.type != DType::kQ4_0 && entry.key.role != Role::kRouter &&
              entry.key.role != Role::kPleEmbed;
  if (!matrix) {  // norms, biases, scalars: float32
    const std::vector<float> values = ToFloats(from);
    w.type = DType::kF32;
    w.data = DeviceArray<std::byte>(values.size() * sizeof(float), from.where);
    Check(cudaMemcpy(w.data.data(), values.data(), w.data.bytes(), cudaMemcpyHostToDevice), from.where.c_str());
    return w;
  }
  w.data = DeviceArray<std::byte>(StoredBytes(w.type, w.experts * w.rows, w.cols), from.where);
  if (from.data == nullptr) {
    Require(from.fill.has_value(), "{}: neither bytes nor a recipe", from.where);
    Generate(w, *from.fill);
  } else if (quantised) {
    Decode(w, from);
  } else {
    Require(from.bytes >= w.data.bytes(), "{}: {} bytes, expected {}", from.where, from.bytes, w.data.bytes());
    Check(cudaMemcpy(w.data.data(), from.data.get(), w.data.bytes(), cudaMemcpyHostToDevice), from.where.c_str());
  }
  return w;
}

}  // namespace assay::single_user

namespace assay {

class CudaReferenceWeights {
 public:
  // `device_index` is the current device.
  CudaReferenceWeights(const WeightStore& store, int device_index) : spec(store.spec()), device(device_index) {
    for (const TensorEntry& entry : Catalogue(spec)) {
      if (!entry.required && !store.Has(entry.key)) continue;
      tensors_.emplace(entry.key, single_user::UploadTensor(store, entry));
      // Factors that are used one by one.
      if (entry.key.role == Role::kLayerScalar || entry.key.role == Role::kExpertScale)
        factors_.emplace(entry.key, ToFloats(store.Load(entry.key)));
    }
    for (const RopeSpec& rope : spec.ropes) inv_freq.emplace_back(rope.inv_freq, "rope frequencies");
    single_user::Check(cudaDeviceSynchronize(), "upload");
  }

  // Throws InputError when the checkpoint has none: absence is an error unless the caller has asked Has.
  const single_user::DeviceTensor& At(Role role, int layer = -1) const {
    const auto found = tensors_.find({role, layer});
    Require(found != tensors_.end(), "{}: no {}", spec.name, Name(TensorKey{role, layer}));
    return found->second;
  }
  const float* Vector(Role role, int layer = -1) const { return static_cast<const float*>(At(role, layer).Row(0)); }
  // Element `index` of a layer scalar or an expert scale; 1 when the checkpoint has none.
  float Factor(Role role, int layer, std::size_t index) const {
    const auto found = factors_.find({role, layer});
    return found == factors_.end() ? 1.0f : found->second.at(index);
  }

  const ModelSpec spec;
  const int device;
  std::vector<single_user::DeviceArray<float>> inv_freq;  // of each rope

 private:
  std::map<TensorKey, single_user::DeviceTensor> tensors_;
  std::map<TensorKey, std::vector<float>> factors_;
};

}  // namespace assay
