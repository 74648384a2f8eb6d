// Devices that plans are made for in tests, which need not be here.
#pragma once

#include "engine/ops/cuda_ops.h"

namespace assay {

inline CudaShape H100Shape() { return {"NVIDIA H100 80GB HBM3", 132, 90, 232448}; }
inline CudaShape L40sShape() { return {"NVIDIA L40S", 142, 89, 101376}; }  // 99 KiB of shared memory a block

}  // namespace assay
