// Device memory and checks of the single-user CUDA reference. Its own, so that a fault in the engine's cannot hide
// here.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/check.h"

namespace assay::single_user {

// Throws DeviceError with CUDA's own text unless `status` is cudaSuccess. The device counts as lost when it still fails
// after the error has been taken.
inline void Check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();
  const bool lost = cudaDeviceSynchronize() != cudaSuccess;
  (void)cudaGetLastError();
  throw DeviceError(fmt::format("single-user CUDA reference: {}: {} ({})", what, cudaGetErrorName(status),
                                cudaGetErrorString(status)),
                    lost);
}

// Elements on the device that is current when they are allocated. All work of the reference is ordered on that device's
// default stream. The destructor needs no current device: CUDA finds the owner of an address by itself.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(std::size_t count, const std::string& what) : count_(count), what_(what) {
    if (count == 0) return;
    const cudaError_t status = cudaMalloc(&data_, bytes());
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      std::size_t free = 0, total = 0;
      (void)cudaMemGetInfo(&free, &total);
      throw OutOfMemory(fmt::format("single-user CUDA reference: {} needs {} bytes, {} are free", what, bytes(), free),
                        bytes(), free);
    }
    Check(status, what.c_str());
  }
  DeviceArray(const std::vector<T>& values, const std::string& what) : DeviceArray(values.size(), what) {
    if (count_ > 0) Check(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice), what.c_str());
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray(DeviceArray&& other) noexcept { *this = std::move(other); }
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    std::swap(what_, other.what_);
    return *this;
  }
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() {
    if (data_ != nullptr) (void)cudaFree(data_);
  }

  T* data() const { return static_cast<T*>(data_); }
  std::size_t count() const { return count_; }
  std::size_t bytes() const { return count_ * sizeof(T); }
  // The first `count` elements, once all work is done.
  std::vector<T> Read(std::size_t count) const {
    std::vector<T> values(count);
    Check(cudaMemcpy(values.data(), data_, count * sizeof(T), cudaMemcpyDeviceToHost), what_.c_str());
    return values;
  }
  // Room for `count` elements; what was there stays.
  void Grow(std::size_t count) {
    if (count <= count_) return;
    DeviceArray larger(count, what_);
    if (count_ > 0) Check(cudaMemcpyAsync(larger.data_, data_, bytes(), cudaMemcpyDeviceToDevice), what_.c_str());
    *this = std::move(larger);
  }

 private:
  void* data_ = nullptr;
  std::size_t count_ = 0;
  std::string what_;
};

}  // namespace assay::single_user
