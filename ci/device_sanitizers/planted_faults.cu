// One fault for each tool of compute-sanitizer: ci/device_sanitizers/run.sh believes a tool only after it has seen its
// own. Usage: assay_planted_faults memcheck|racecheck|initcheck|synccheck
#include <cstdio>
#include <cstring>

namespace {

constexpr int kThreads = 64;

__global__ void WritesPastTheEnd(float* values) { values[threadIdx.x + 1] = 1.0f; }

__global__ void ReadsWhatAnotherWrites(float* values) {
  __shared__ float shared[kThreads];
  shared[threadIdx.x] = static_cast<float>(threadIdx.x);  // no barrier
  values[threadIdx.x] = shared[kThreads - 1 - threadIdx.x];
}

__global__ void ReadsWhatNobodyWrote(float* values) { values[threadIdx.x] += 1.0f; }

// Lane 16 waits with a mask that it is not in.
__global__ void WaitsForOthersOnly(float* values) {
  const unsigned mask = __ballot_sync(0xffffffffu, threadIdx.x % 32 < 16);
  if (threadIdx.x % 32 <= 16) __syncwarp(mask);
  values[threadIdx.x] = 1.0f;
}

struct Fault {
  const char* tool;
  void (*kernel)(float*);
};
constexpr Fault kFaults[] = {{"memcheck", WritesPastTheEnd},
                             {"racecheck", ReadsWhatAnotherWrites},
                             {"initcheck", ReadsWhatNobodyWrote},
                             {"synccheck", WaitsForOthersOnly}};

}  // namespace

int main(int argc, char** argv) {
  for (const Fault& fault : kFaults) {
    if (argc != 2 || std::strcmp(argv[1], fault.tool) != 0) continue;
    float* values = nullptr;
    if (cudaMalloc(&values, kThreads * sizeof(float)) != cudaSuccess) break;
    fault.kernel<<<1, kThreads>>>(values);
    const cudaError_t status = cudaDeviceSynchronize();
    std::printf("%s: %s\n", fault.tool, cudaGetErrorString(status));
    return 0;
  }
  std::fprintf(stderr, "usage: assay_planted_faults memcheck|racecheck|initcheck|synccheck, on a machine with a GPU\n");
  return 2;
}
