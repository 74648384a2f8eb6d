// The CUDA reference of a build that has none.
#ifndef ASSAY_HAS_CUDA

#include "engine/base/check.h"
#include "oracles/reference/single_user_cuda.h"

namespace assay {

class CudaReferenceWeights {};

std::shared_ptr<const CudaReferenceWeights> UploadForReference(const WeightStore&, const Device&) {
  throw DeviceError("single-user CUDA reference: built without CUDA", false);
}

std::unique_ptr<ReferenceDecoder> MakeCudaReference(std::shared_ptr<const CudaReferenceWeights>,
                                                    const ReferenceOptions&) {
  throw DeviceError("single-user CUDA reference: built without CUDA", false);
}

std::unique_ptr<ReferenceDecoder> MakeCudaReference(const WeightStore& store, const ReferenceOptions& options,
                                                    const Device& device) {
  return MakeCudaReference(UploadForReference(store, device), options);
}

}  // namespace assay

#endif
