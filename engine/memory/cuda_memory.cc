#include "engine/memory/cuda_memory.h"

#include <algorithm>

namespace assay {
namespace {

std::string Megabytes(std::size_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / 1048576.0); }

std::string Version(int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); }

}  // namespace

void* CudaMemory::Allocate(std::size_t bytes, const std::string& what) {
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, std::max<std::size_t>(bytes, 256));
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    const std::size_t free = FreeBytes();
    throw OutOfMemory(
        fmt::format("{}: needs {} of device memory, {} are free", what, Megabytes(bytes), Megabytes(free)), bytes,
        free);
  }
  ASSAY_CUDA(status);
  return data;
}

void CudaMemory::Free(void* data) noexcept { ASSAY_CUDA_NOEXCEPT(cudaFree(data)); }

void CudaMemory::CopyIn(void* to, const void* host_from, std::size_t bytes) {
  if (bytes == 0) return;
  ASSAY_CUDA(cudaMemcpyAsync(to, host_from, bytes, cudaMemcpyHostToDevice, stream_));
}

void CudaMemory::CopyOut(void* host_to, const void* from, std::size_t bytes) {
  if (bytes != 0) ASSAY_CUDA(cudaMemcpyAsync(host_to, from, bytes, cudaMemcpyDeviceToHost, stream_));
  ASSAY_CUDA(cudaStreamSynchronize(stream_));
  ++*host_syncs_;
}

void CudaMemory::Copy(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  ASSAY_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_));
}

void CudaMemory::Fill(void* to, unsigned char byte, std::size_t bytes) {
  if (bytes == 0) return;
  ASSAY_CUDA(cudaMemsetAsync(to, byte, bytes, stream_));
}

std::size_t CudaMemory::FreeBytes() const {
  std::size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) {
    (void)cudaGetLastError();
    return 0;
  }
  return free;
}

PinnedBuffer::PinnedBuffer(std::size_t bytes) : bytes_(bytes) {
  ASSAY_CUDA(cudaMallocHost(&data_, std::max<std::size_t>(bytes, 1)));
}

PinnedBuffer::~PinnedBuffer() {
  if (data_ != nullptr) ASSAY_CUDA_NOEXCEPT(cudaFreeHost(data_));
}

Support CudaAvailable(int device) {
  const auto failed = [](const char* call, cudaError_t status) {
    (void)cudaGetLastError();
    int driver = 0, runtime = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
    if (cudaRuntimeGetVersion(&runtime) != cudaSuccess) runtime = 0;
    (void)cudaGetLastError();
    const std::string versions =
        driver == 0 ? fmt::format("no CUDA driver; built with CUDA {}", Version(runtime))
                    : fmt::format("driver supports CUDA {}, built with {}", Version(driver), Version(runtime));
    return Support::No("no CUDA device: {}: {} ({})", call, cudaGetErrorString(status), versions);
  };
  int count = 0;
  cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) return failed("cudaGetDeviceCount", status);
  if (device < 0 || device >= count) return Support::No("no CUDA device {}: {} found", device, count);
  cudaDeviceProp properties = {};
  status = cudaGetDeviceProperties(&properties, device);
  if (status != cudaSuccess) return failed("cudaGetDeviceProperties", status);
  if (properties.major < 8) {
    return Support::No("{} has compute capability {}.{}; 8.0 or later is needed", properties.name, properties.major,
                       properties.minor);
  }
  return Support::Yes();
}

}  // namespace assay
