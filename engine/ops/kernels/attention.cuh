// What decode and prefill attention share on the host side.
#pragma once

#include "engine/ops/kernels/kernels.h"
#include "engine/ops/kernels/launch.cuh"

namespace assay {

// The shapes of one attention call, which kernels take by value.
struct AttentionShape {
  int heads;     // query heads
  int group;     // query heads of a kv head
  int window;    // 0: all keys
  float scale2;  // scale * log2(e): weights are powers of 2
  bool aligned;  // chunks of keys begin at multiples of their length: batch-invariant mode, DecodeKind::kTogether
  int joined;    // chunks of keys that are taken as one
};

// Calls f(integral_constant) with the head_dim of a tensor-core path; false when there is none for this mode.
template <class F>
bool WithFastHeadDim(Precision precision, int head_dim, F&& f) {
  if (precision.operands == DType::kF32) return false;
  switch (head_dim) {
    case 64:
      f(std::integral_constant<int, 64>{});
      return true;
    case 128:
      f(std::integral_constant<int, 128>{});
      return true;
    case 256:
      f(std::integral_constant<int, 256>{});
      return true;
    case 512:
      f(std::integral_constant<int, 512>{});
      return true;
    default:
      return false;
  }
}

// Calls f with a value of the 16-bit operand type and one of the type of keys and values.
template <class F>
void WithHalfOperand(Precision precision, F&& f) {
  const auto with = [&](auto type) { WithCached<decltype(type)>(precision, [&](auto cached) { f(type, cached); }); };
  if (precision.operands == DType::kF16) return with(__half{});
  with(__nv_bfloat16{});
}

AttentionShape ShapeOf(const KernelContext& ctx, const Ops::AttentionArgs& args);

// The most chunks that the keys of any row of the call are cut into.
int ChunkCapacity(const KernelContext& ctx, const Ops::AttentionArgs& args, int joined = 1);

// Takes any even head_dim in any mode, on CUDA cores in float32. With `split` the keys of a row are split over blocks
// as in decode; else each row has one block.
void LaunchAttentionGeneric(const KernelContext& ctx, const Ops::AttentionArgs& args, bool split);

}  // namespace assay
