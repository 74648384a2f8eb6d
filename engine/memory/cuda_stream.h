// Owners of CUDA objects: stream, event, recorded graph, cuBLAS handles. Move-only; the destructor frees and reports,
// never throws. Each belongs to the device it was made for. Needs the CUDA toolkit.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "engine/memory/cuda_check.h"

namespace assay {

// Owns one handle of type H; `Traits::Destroy(H) noexcept` frees it. A null H owns nothing.
template <class H, class Traits>
class CudaOwner {
 public:
  CudaOwner() = default;
  explicit CudaOwner(H handle) : handle_(handle) {}
  CudaOwner(CudaOwner&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  CudaOwner& operator=(CudaOwner&& other) noexcept {
    CudaOwner taken(std::move(other));
    std::swap(handle_, taken.handle_);
    return *this;
  }
  CudaOwner(const CudaOwner&) = delete;
  CudaOwner& operator=(const CudaOwner&) = delete;
  ~CudaOwner() {
    if (handle_ != nullptr) Traits::Destroy(handle_);
  }
  H get() const { return handle_; }
  explicit operator bool() const { return handle_ != nullptr; }

 private:
  H handle_ = nullptr;
};

struct StreamTraits {
  static void Destroy(cudaStream_t stream) noexcept;
};
struct EventTraits {
  static void Destroy(cudaEvent_t event) noexcept;
};
struct GraphTraits {
  static void Destroy(cudaGraph_t graph) noexcept;
};
struct GraphExecTraits {
  static void Destroy(cudaGraphExec_t exec) noexcept;
};
struct CublasTraits {
  static void Destroy(cublasHandle_t handle) noexcept;
};
using CudaStream = CudaOwner<cudaStream_t, StreamTraits>;
using CudaEvent = CudaOwner<cudaEvent_t, EventTraits>;
using CudaGraph = CudaOwner<cudaGraph_t, GraphTraits>;
using CudaGraphExec = CudaOwner<cudaGraphExec_t, GraphExecTraits>;
using CublasHandle = CudaOwner<cublasHandle_t, CublasTraits>;

CudaStream MakeStream(int device);  // does not synchronise with the legacy default stream
CudaEvent MakeEvent(int device);    // timed
// `stream` and `workspace` are of `device`, which is current when the handle is used and when it is destroyed.
CublasHandle MakeCublas(int device, cudaStream_t stream, void* workspace, std::size_t workspace_bytes);

// Milliseconds from `start` to `end`, both recorded and done.
float ElapsedMs(const CudaEvent& start, const CudaEvent& end);

// An executable graph, how many nodes it has, and the distinct names of its kernels, sorted.
struct CapturedGraph {
  CudaGraphExec exec;
  std::size_t nodes = 0;
  std::vector<std::string> kernels;
};
// Captures what `body` enqueues on `stream` of `device` (thread-local mode). When body throws, the capture is ended and
// dropped, and the exception goes on.
CapturedGraph CaptureGraph(int device, cudaStream_t stream, const std::function<void()>& body);

}  // namespace assay
