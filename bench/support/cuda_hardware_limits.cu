#include <algorithm>
#include <functional>
#include <vector>

#include "bench/support/hardware_limits.h"
#include "engine/base/random.h"
#include "engine/memory/cuda_device.h"
#include "engine/memory/cuda_memory.h"
#include "engine/memory/cuda_stream.h"

namespace assay {
namespace {

constexpr int kSide = 8192;
constexpr int kRepeats = 15;
constexpr std::size_t kLargest = std::size_t{2} << 30;

// Random bits in every half word with exponents near one: products on zeros run faster than on data.
__global__ void Randomise(std::uint32_t* out, std::size_t words, bool wide) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < words;
       i += std::size_t{gridDim.x} * blockDim.x) {
    const auto bits = static_cast<std::uint32_t>(RandomBits(17, i));
    out[i] = wide ? (bits & 0x807fffffu) | 0x3f000000u : (bits & 0x83ff83ffu) | 0x3c003c00u;
  }
}

__global__ void Sum(float* out, const float4* in, std::size_t count) {
  float sum = 0;
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x;
  for (; i + 3 * step < count; i += 4 * step) {
    float4 v[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) v[k] = __ldg(in + i + k * step);
#pragma unroll
    for (int k = 0; k < 4; ++k) sum += v[k].x + v[k].y + v[k].z + v[k].w;
  }
  for (; i < count; i += step) {
    const float4 v = in[i];
    sum += v.x + v.y + v.z + v.w;
  }
  out[blockIdx.x * std::size_t{blockDim.x} + threadIdx.x] = sum;
}

// The shortest: a limit is what the device can do, and a median moved by 15 % from process to process.
double BestSeconds(int device, cudaStream_t stream, const std::function<void()>& body) {
  const CudaEvent start = MakeEvent(device), end = MakeEvent(device);
  for (int i = 0; i < 5; ++i) body();
  std::vector<double> seconds;
  for (int i = 0; i < kRepeats; ++i) {
    ASSAY_CUDA(cudaEventRecord(start.get(), stream));
    body();
    ASSAY_CUDA(cudaEventRecord(end.get(), stream));
    ASSAY_CUDA(cudaEventSynchronize(end.get()));
    seconds.push_back(static_cast<double>(ElapsedMs(start, end)) * 1e-3);
  }
  return *std::min_element(seconds.begin(), seconds.end());
}

}  // namespace

HardwareLimits MeasureCudaLimits(int device, Precision precision) {
  const DeviceScope scope(device);
  const CudaStream stream = MakeStream(device);
  std::int64_t syncs = 0;
  CudaMemory memory(device, stream.get(), &syncs);
  const bool wide = precision.operands == DType::kF32;
  const std::size_t matrix = std::size_t{kSide} * kSide * (wide ? 4 : 2);
  const std::size_t bytes = std::min(kLargest, memory.FreeBytes() / 3) & ~std::size_t{4095};
  Require(bytes >= matrix, "hardware limits: {} bytes of device memory are free, too few to measure with",
          memory.FreeBytes());
  const Buffer from(memory, bytes, "limit source"), to(memory, bytes, "limit target");
  for (const Buffer* buffer : {&from, &to})
    Randomise<<<1024, 256, 0, stream.get()>>>(buffer->as<std::uint32_t>(), bytes / 4, wide);
  ASSAY_CUDA(cudaGetLastError());
  HardwareLimits limits;
  limits.copy_bytes_per_s =
      2.0 * static_cast<double>(bytes) / BestSeconds(device, stream.get(), [&] {
        ASSAY_CUDA(cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice, stream.get()));
      });
  cudaDeviceProp properties = {};
  ASSAY_CUDA(cudaGetDeviceProperties(&properties, device));
  const unsigned blocks = 8u * static_cast<unsigned>(properties.multiProcessorCount);
  const Buffer sums(memory, std::size_t{blocks} * 256 * sizeof(float), "limit sums");
  limits.read_bytes_per_s =
      static_cast<double>(bytes) / BestSeconds(device, stream.get(), [&] {
        Sum<<<blocks, 256, 0, stream.get()>>>(sums.as<float>(), from.as<float4>(), bytes / sizeof(float4));
        ASSAY_CUDA(cudaGetLastError());
      });
  const Buffer workspace(memory, std::size_t{32} << 20, "limit workspace"), out(memory, matrix, "limit product");
  const CublasHandle cublas = MakeCublas(device, stream.get(), workspace.data(), workspace.bytes());
  const cudaDataType_t type = wide ? CUDA_R_32F : precision.operands == DType::kF16 ? CUDA_R_16F : CUDA_R_16BF;
  const float one = 1.0f, zero = 0.0f;
  limits.gemm_flops_per_s =
      2.0 * kSide * kSide * kSide / BestSeconds(device, stream.get(), [&] {
        ASSAY_CUBLAS(cublasGemmEx(cublas.get(), CUBLAS_OP_T, CUBLAS_OP_N, kSide, kSide, kSide, &one, from.data(), type,
                                  kSide, to.data(), type, kSide, &zero, out.data(), type, kSide, CUBLAS_COMPUTE_32F,
                                  CUBLAS_GEMM_DEFAULT));
      });
  limits.how = fmt::format("copy and sum of {} MiB, {} product of {}^3 by cuBLAS on random data, best of {}",
                           bytes >> 20, Name(precision), kSide, kRepeats);
  return limits;
}

}  // namespace assay
