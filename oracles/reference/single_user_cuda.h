// The single-user reference on a GPU, for geometries that are out of the host reference's reach. The same promises as
// decoder.h: one user, one token at a time, history by absolute position that never wraps. Its kernels are its own: one
// dot product for each output, one score for each key, nothing fused, nothing of the engine.
//
// Arithmetic: without `twin` every activation, key, value and sum is float64. A twin keeps activations in float32, sums
// in float32, and rounds to the mode's operand type what the engine keeps in it: operands of products, queries,
// attention outputs, and matrices but for Q8_0 and Q4_0, which the engine keeps quantised; keys and values to the
// mode's type for them. Routers, norms and the per-layer embedding table are never rounded.
#pragma once

#include <memory>

#include "engine/base/device.h"
#include "oracles/reference/decoder.h"

namespace assay {

// A model's weights on one CUDA device: F32, F16 and BF16 as stored, block formats decoded to float32, recipes
// computed in place with no copy on the host. Immutable; shared by references and twins.
class CudaReferenceWeights;

// Keeps no reference to `store`. Throws InputError for a tensor that is not of the spec's shape, OutOfMemory with what
// was needed and free, DeviceError without a usable device or in a build without CUDA.
std::shared_ptr<const CudaReferenceWeights> UploadForReference(const WeightStore& store,
                                                               const Device& device = Device::Cuda());

// On the device of the weights, whatever device is current in the calling thread. The decoder and its forks own their
// histories, which grow by 256 positions at a time. Steps throw DeviceError and OutOfMemory beside what decoder.h says.
std::unique_ptr<ReferenceDecoder> MakeCudaReference(std::shared_ptr<const CudaReferenceWeights> weights,
                                                    const ReferenceOptions& options = {});
std::unique_ptr<ReferenceDecoder> MakeCudaReference(const WeightStore& store, const ReferenceOptions& options = {},
                                                    const Device& device = Device::Cuda());

}  // namespace assay
