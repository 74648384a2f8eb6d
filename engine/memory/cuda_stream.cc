#include "engine/memory/cuda_stream.h"

#include "engine/memory/cuda_device.h"
#include "engine/memory/cuda_kernel_names.h"

namespace assay {

void StreamTraits::Destroy(cudaStream_t stream) noexcept { ASSAY_CUDA_NOEXCEPT(cudaStreamDestroy(stream)); }
void EventTraits::Destroy(cudaEvent_t event) noexcept { ASSAY_CUDA_NOEXCEPT(cudaEventDestroy(event)); }
void GraphTraits::Destroy(cudaGraph_t graph) noexcept { ASSAY_CUDA_NOEXCEPT(cudaGraphDestroy(graph)); }
void GraphExecTraits::Destroy(cudaGraphExec_t exec) noexcept { ASSAY_CUDA_NOEXCEPT(cudaGraphExecDestroy(exec)); }
void CublasTraits::Destroy(cublasHandle_t handle) noexcept { ASSAY_CUBLAS_NOEXCEPT(cublasDestroy(handle)); }

CudaStream MakeStream(int device) {
  const DeviceScope scope(device);
  cudaStream_t stream = nullptr;
  ASSAY_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return CudaStream(stream);
}

CudaEvent MakeEvent(int device) {
  const DeviceScope scope(device);
  cudaEvent_t event = nullptr;
  ASSAY_CUDA(cudaEventCreateWithFlags(&event, cudaEventDefault));
  return CudaEvent(event);
}

CublasHandle MakeCublas(int device, cudaStream_t stream, void* workspace, std::size_t workspace_bytes) {
  const DeviceScope scope(device);
  cublasHandle_t raw = nullptr;
  ASSAY_CUBLAS(cublasCreate(&raw));
  CublasHandle handle(raw);
  // Setting the stream resets the workspace: the order matters. An own workspace keeps cuBLAS from allocating in a
  // capture and makes its results repeat from run to run.
  ASSAY_CUBLAS(cublasSetStream(raw, stream));
  ASSAY_CUBLAS(cublasSetWorkspace(raw, workspace, workspace_bytes));
  ASSAY_CUBLAS(cublasSetMathMode(
      raw, static_cast<cublasMath_t>(CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION)));
  return handle;
}

float ElapsedMs(const CudaEvent& start, const CudaEvent& end) {
  float ms = 0;
  ASSAY_CUDA(cudaEventElapsedTime(&ms, start.get(), end.get()));
  return ms;
}

CapturedGraph CaptureGraph(int device, cudaStream_t stream, const std::function<void()>& body) {
  const DeviceScope scope(device);
  ASSAY_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  try {
    body();
  } catch (...) {
    cudaGraph_t dropped = nullptr;
    (void)cudaStreamEndCapture(stream, &dropped);
    (void)cudaGetLastError();  // the capture may have been invalidated by the failed call
    const CudaGraph owner(dropped);
    throw;
  }
  cudaGraph_t raw = nullptr;
  ASSAY_CUDA(cudaStreamEndCapture(stream, &raw));
  const CudaGraph graph(raw);
  CapturedGraph captured;
  ASSAY_CUDA(cudaGraphGetNodes(raw, nullptr, &captured.nodes));
  captured.kernels = GraphKernelNames(raw);
  cudaGraphExec_t exec = nullptr;
  ASSAY_CUDA(cudaGraphInstantiate(&exec, raw, 0));
  captured.exec = CudaGraphExec(exec);
  ASSAY_CUDA(cudaGraphUpload(exec, stream));
  return captured;
}

}  // namespace assay
