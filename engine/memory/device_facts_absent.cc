// The facts of a build without CUDA.
#ifndef ASSAY_HAS_CUDA

#include "engine/memory/device_facts.h"

namespace assay {

int CudaDeviceCount() { return 0; }
CudaVersions LoadedCudaVersions() { return {}; }

}  // namespace assay

#endif
