#include "engine/memory/cuda_memory.h"

#include <algorithm>

#include "engine/base/device.h"
#include "engine/memory/cuda_device.h"

namespace assay {
namespace {

std::string Megabytes(std::size_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / 1048576.0); }

std::string Version(int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); }

}  // namespace

void* CudaMemory::Allocate(std::size_t bytes, const std::string& what) {
  const DeviceScope scope(device_);
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
  meter_.Add(data, bytes);
  return data;
}

void CudaMemory::Free(void* data) noexcept {
  const DeviceScope scope(device_, std::nothrow);
  meter_.Remove(data);
  ASSAY_CUDA_NOEXCEPT(cudaFree(data));
}

void CudaMemory::CopyIn(void* to, const void* host_from, std::size_t bytes) {
  if (bytes == 0) return;
  const DeviceScope scope(device_);
  cudaPointerAttributes attributes = {};
  ASSAY_CUDA(cudaPointerGetAttributes(&attributes, host_from));
  if (attributes.type == cudaMemoryTypeUnregistered) return staging_.CopyIn(to, host_from, bytes);
  ASSAY_CUDA(cudaMemcpyAsync(to, host_from, bytes, cudaMemcpyHostToDevice, stream_));
  ASSAY_CUDA(cudaStreamSynchronize(stream_));
}

void CudaMemory::CopyOut(void* host_to, const void* from, std::size_t bytes) {
  const Part part{host_to, from, bytes};
  CopyOutAll(std::span(&part, 1));
}

void CudaMemory::CopyOutAll(std::span<const Part> parts) {
  const DeviceScope scope(device_);
  const int waits = staging_.CopyOut(parts);
  if (waits == 0) ASSAY_CUDA(cudaStreamSynchronize(stream_));
  *host_syncs_ += std::max(waits, 1);
  if (faults_ != nullptr) faults_->Check();
}

void CudaMemory::Copy(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  const DeviceScope scope(device_);
  ASSAY_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_));
}

void CudaMemory::Fill(void* to, unsigned char byte, std::size_t bytes) {
  if (bytes == 0) return;
  const DeviceScope scope(device_);
  ASSAY_CUDA(cudaMemsetAsync(to, byte, bytes, stream_));
}

std::size_t CudaMemory::FreeBytes() const {
  const DeviceScope scope(device_);
  std::size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) {
    (void)cudaGetLastError();
    return 0;
  }
  return free;
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
  if (Support support = IsAmong(Device::Cuda(device), count); !support) return support;
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
