// cuBLAS under its own names, loaded when the first of them is called: its libraries take 200 MB and half a second to
// load, which commands that multiply nothing and machines without a GPU should not pay.
#include <cublas_v2.h>
#include <dlfcn.h>

#include <string>

#include "engine/base/check.h"

namespace assay {
namespace {

void* Library() {
  static void* const library = [] {
    const std::string name = fmt::format("libcublas.so.{}", CUBLAS_VER_MAJOR);
    void* const found = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (found == nullptr) throw DeviceError(fmt::format("cuBLAS cannot be loaded: {}", ::dlerror()), false);
    return found;
  }();
  return library;
}

// The library's own function of the same name and type.
template <class Function>
Function* Loaded(Function*, const char* name) {
  void* const found = ::dlsym(Library(), name);
  if (found == nullptr) throw DeviceError(fmt::format("cuBLAS has no {}: {}", name, ::dlerror()), false);
  return reinterpret_cast<Function*>(found);
}

}  // namespace
}  // namespace assay

// Calls the library's `name` from this program's.
#define ASSAY_FORWARD(name, ...)                            \
  static const auto loaded = assay::Loaded(&(name), #name); \
  return loaded(__VA_ARGS__)

extern "C" {
cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) { ASSAY_FORWARD(cublasCreate_v2, handle); }
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) { ASSAY_FORWARD(cublasDestroy_v2, handle); }
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  ASSAY_FORWARD(cublasSetStream_v2, handle, stream);
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t bytes) {
  ASSAY_FORWARD(cublasSetWorkspace_v2, handle, workspace, bytes);
}
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  ASSAY_FORWARD(cublasSetMathMode, handle, mode);
}
cublasStatus_t cublasGetProperty(libraryPropertyType type, int* value) {
  ASSAY_FORWARD(cublasGetProperty, type, value);
}
const char* cublasGetStatusName(cublasStatus_t status) { ASSAY_FORWARD(cublasGetStatusName, status); }
const char* cublasGetStatusString(cublasStatus_t status) { ASSAY_FORWARD(cublasGetStatusString, status); }
cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,
                            int k, const void* alpha, const void* a, cudaDataType a_type, int lda, const void* b,
                            cudaDataType b_type, int ldb, const void* beta, void* c, cudaDataType c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t algo) {
  using Function = cublasStatus_t(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void*,
                                  const void*, cudaDataType, int, const void*, cudaDataType, int, const void*, void*,
                                  cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t);
  static const auto loaded =
      assay::Loaded(static_cast<Function*>(nullptr), "cublasGemmEx");  // the name alone is overloaded
  return loaded(handle, transa, transb, m, n, k, alpha, a, a_type, lda, b, b_type, ldb, beta, c, c_type, ldc, compute,
                algo);
}
}
