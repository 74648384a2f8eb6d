// What only a device can show: where memory lands, what stays current, and the names of the kernels that ran.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/memory/cuda_check.h"
#include "engine/memory/cuda_device.h"
#include "engine/ops/ops_factory.h"
#include "engine/runtime/engine.h"
#include "engine/testing/small_engine.h"
#include "oracles/reference/single_user_cuda.h"

#define ASSAY_NEEDS_DEVICE(index) \
  if (const Support support = DeviceAvailable(Device::Cuda(index)); !support) GTEST_SKIP() << support.reason

namespace assay {
namespace {

int Current() {
  int device = -1;
  ASSAY_CUDA(cudaGetDevice(&device));
  return device;
}

TEST(CudaDevice, ScopesNestAndGoBack) {
  ASSAY_NEEDS_DEVICE(1);
  ASSAY_CUDA(cudaSetDevice(0));
  {
    const DeviceScope outer(1);
    EXPECT_EQ(Current(), 1);
    {
      const DeviceScope inner(0);
      EXPECT_EQ(Current(), 0);
    }
    EXPECT_EQ(Current(), 1);
  }
  EXPECT_EQ(Current(), 0);
  EXPECT_THROW(DeviceScope(1000), DeviceError);
  EXPECT_EQ(Current(), 0);
}

TEST(CudaDevice, OpsAllocateOnTheirOwnAndLeaveTheCallersCurrent) {
  ASSAY_NEEDS_DEVICE(1);
  ASSAY_CUDA(cudaSetDevice(0));
  const std::unique_ptr<Ops> ops = MakeOps(Device::Cuda(1), Precision::kBf16);
  EXPECT_EQ(ops->device_id(), Device::Cuda(1));
  EXPECT_FALSE(ops->on_host());
  {
    const Buffer buffer(ops->memory(), 1 << 20, "buffer");
    cudaPointerAttributes attributes = {};
    ASSAY_CUDA(cudaPointerGetAttributes(&attributes, buffer.data()));
    EXPECT_EQ(attributes.device, 1);
  }
  EngineOptions options = Options(60);
  Engine engine(*OpenModel("tiny-llama"), *ops, options);
  const SessionId session = engine.Open();
  engine.Prefill(session, Tokens{1, 2, 3, 4});
  const std::int32_t first = 5;
  engine.Decode(std::span(&session, 1), std::span(&first, 1), 4);
  cudaPointerAttributes cache = {};
  ASSAY_CUDA(cudaPointerGetAttributes(&cache, engine.Cache(session, 0).keys));
  EXPECT_EQ(cache.device, 1);
  EXPECT_EQ(Current(), 0);
}

TEST(CudaDevice, ReferencesOnTwoDevicesAgreeAndLeaveTheCallersCurrent) {
  ASSAY_NEEDS_DEVICE(1);
  ASSAY_CUDA(cudaSetDevice(0));
  const auto store = OpenModel("tiny-gemma4-ple");
  const auto first = MakeCudaReference(*store, {}, Device::Cuda(0)),
             second = MakeCudaReference(*store, {}, Device::Cuda(1));
  for (int token = 1; token < 6; ++token) {
    const ReferenceStep a = first->Step(token), b = second->Step(token);
    EXPECT_EQ(a.raw, b.raw);
    EXPECT_EQ(Current(), 0);
  }
  EXPECT_EQ(first->Fork()->Step(7).raw, second->Fork()->Step(7).raw);
}

TEST(CudaDevice, FactsAreOfTheDeviceAsked) {
  ASSAY_NEEDS_DEVICE(0);
  EXPECT_EQ(CudaBusId(0).size(), std::string("0000:1b:00.0").size());
  const CudaVersions versions = LoadedCudaVersions();
  for (const std::string& version : {versions.runtime, versions.driver_cuda, versions.cublas})
    EXPECT_NE(version.find('.'), std::string::npos) << version;
  if (CudaDeviceCount() > 1) {
    EXPECT_NE(CudaBusId(0), CudaBusId(1));
  }
}

bool Holds(const std::vector<std::string>& names, const std::string& start) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return name.starts_with(start); });
}

// Recorded and direct launches of the same calls are named alike; a library's kernel has its own name in a graph.
TEST(CudaKernels, OfGraphsAndOfLaunchesAreNamed) {
  ASSAY_NEEDS_DEVICE(0);
  const std::unique_ptr<Ops> ops = MakeOps(Device::Cuda(0), Precision::kBf16);
  constexpr int kWidth = 2048, kRows = 300;
  HostTensor part;
  part.type = DType::kBF16;
  part.rows = kWidth;
  part.cols = kWidth;
  part.where = "matrix";
  part.fill = SyntheticFill{1, 0.02f, 0.0f};
  const std::unique_ptr<Weight> w = ops->Prepare({part}, WeightUse::kMatrix);
  const Buffer x(ops->memory(), std::size_t{kRows} * kWidth * 4, "x"), n(ops->memory(), x.bytes(), "normed"),
      y(ops->memory(), x.bytes(), "y");
  ops->memory().Fill(x.data(), 0, x.bytes());
  const auto body = [&] {
    ops->Norm({.operand = n.data(),
               .x = x.as<float>(),
               .weight = x.as<float>(),
               .rows = kRows,
               .width = kWidth,
               .eps = 1e-6f});
    ops->MatMul(y.as<float>(), *w, n.data(), kRows);
  };
  body();
  EXPECT_TRUE(ops->LoggedKernels().empty()) << "nothing is logged unless asked for";
  ops->LogKernels(true);
  body();
  ops->LogKernels(false);
  const std::vector<std::string> launched = ops->LoggedKernels();
  ASSERT_EQ(launched.size(), 2u);
  EXPECT_TRUE(Holds(launched, "NormKernel<")) << launched[0];
  EXPECT_TRUE(Holds(launched, "cublas 2048x300x2048 bf16"));

  ops->LogKernels(true);
  const std::unique_ptr<StepGraph> graph = ops->Capture(body);
  EXPECT_TRUE(ops->LoggedKernels().empty()) << "what is recorded has not run";
  const std::vector<std::string> recorded = graph->kernels();
  ASSERT_GE(recorded.size(), 2u);
  EXPECT_TRUE(std::is_sorted(recorded.begin(), recorded.end()));
  EXPECT_TRUE(Holds(recorded, "NormKernel<"));
  EXPECT_FALSE(Holds(recorded, "unnamed kernel"));
  EXPECT_FALSE(Holds(recorded, "cublas ")) << "a graph knows the library's kernel by its own name";
  graph->Launch();
  ops->LogKernels(false);
  EXPECT_EQ(ops->LoggedKernels(), recorded);
  for (const std::string& name : recorded) RecordProperty(name.substr(0, 40), name);
}

TEST(CudaKernels, PackedSegmentsAreCountedAsOnTheHost) {
  ASSAY_NEEDS_DEVICE(0);
  const std::unique_ptr<Ops> ops = MakeOps(Device::Cuda(0), Precision::kBf16);
  EngineOptions options;
  options.max_sessions = 6;
  options.capacity = 64;
  options.max_chunk = 40;
  Engine engine(*OpenModel("tiny-llama"), *ops, options);
  const Tokens tokens(40, 1);
  std::vector<Feed> feeds;
  for (const int length : {3, 40, 1, 17, 33, 9}) feeds.push_back({engine.Open(), std::span(tokens).first(length)});
  engine.Step(feeds);
  EXPECT_EQ(ops->counters().packed_segments, 3);
}

}  // namespace
}  // namespace assay
