// Adds the bias, norms each head, rotates, and writes q and the cache. A block works on one (row, head), a thread on
// one pair of dimensions.
#include "engine/ops/kernels/fault.cuh"
#include "engine/ops/kernels/kernels.h"
#include "engine/ops/kernels/reduce.cuh"

namespace assay {
namespace {

constexpr int kMaxHeadDim = 1024;

struct QkvShape {
  int heads, kv_heads;  // kv_heads is 0 on layers that share another layer's cache
  int head_dim;
  bool value_is_key, v_norm;
  float eps;
  int context_bound;  // 0: none
};

// Dimensions d and d + head_dim / 2, which a half-split rotation turns together.
struct Pair {
  float low, high;
};

__device__ __forceinline__ Pair Scaled(Pair x, float factor, Pair weight) {
  return {x.low * (factor * weight.low), x.high * (factor * weight.high)};
}

template <class T>
__device__ __forceinline__ void StorePair(T* head, int d, int half, Pair v) {
  head[d] = RoundTo<T>(v.low);
  head[d + half] = RoundTo<T>(v.high);
}

// grid (rows, heads of qkv). All that does not depend on the projections is read and computed before the predecessors
// are waited for, because the kernel moves so little that its time is latency.
template <class T, class Cached>
__global__ void __launch_bounds__(kMaxHeadDim / 2)
    QkvKernel(T* q, KvView kv, const float* qkv, const float* bias, const float* q_norm, const float* k_norm,
              const float* inv_freq, const std::int32_t* position, const std::int32_t* session, QkvShape shape,
              std::uint64_t* fault) {
  __shared__ float scratch[kMaxHeadDim / 2 / 32];
  LetSuccessorsStart();
  const int task = static_cast<int>(blockIdx.y), tasks = static_cast<int>(gridDim.y);
  const int d = static_cast<int>(threadIdx.x), half = shape.head_dim / 2;
  const bool inside = d < half, query = task < shape.heads, key = !query && task < shape.heads + shape.kv_heads;
  const float* norm = query ? q_norm : key ? k_norm : nullptr;
  Pair weight = {1.0f, 1.0f}, shift = {0.0f, 0.0f};
  float frequency = 0.0f;
  if (inside) {
    if (norm != nullptr) weight = {norm[d], norm[d + half]};
    if (bias != nullptr) shift = {bias[task * shape.head_dim + d], bias[task * shape.head_dim + d + half]};
    if (query || key) frequency = inv_freq[d];
  }
  const std::int64_t row = blockIdx.x;
  const int at = position[row], owner = session[row];
  float sine = 0.0f, cosine = 1.0f;
  // This needs sincosf instead of the intrinsic, because angles reach the context length in radians.
  if (frequency != 0.0f) sincosf(static_cast<float>(at) * frequency, &sine, &cosine);
  WaitForPredecessors();
  Pair x = {0.0f, 0.0f};
  if (inside) {
    const float* in = qkv + (row * tasks + task) * shape.head_dim + d;
    x = {in[0] + shift.low, in[half] + shift.high};
  }
  const bool values = !query && (!key || shape.value_is_key);
  float inverse = 1.0f;
  if (norm != nullptr || (values && shape.v_norm))  // uniform over the block
    inverse = InverseRms(BlockSum(x.low * x.low + x.high * x.high, scratch), shape.head_dim, shape.eps);
  if (!inside) return;
  const auto rotated = [&] {
    const Pair v = norm != nullptr ? Scaled(x, inverse, weight) : x;
    return frequency == 0.0f ? v : Pair{v.low * cosine - v.high * sine, v.high * cosine + v.low * sine};
  };
  if (task == 0 && d == 0 && shape.context_bound > 0 && at >= shape.context_bound && owner >= 0)
    Report(fault, KernelFault::kContextBound, at + std::int64_t{1}, shape.context_bound);
  if (query) return StorePair(q + (row * shape.heads + task) * shape.head_dim, d, half, rotated());
  if (owner < 0) return;  // padding
  // Nothing outside the cache is written.
  if (kv.sessions > 0 && owner >= kv.sessions) {
    if (d == 0) Report(fault, KernelFault::kSession, owner, kv.sessions);
    return;
  }
  if (at < 0) {
    if (d == 0) Report(fault, KernelFault::kPosition, at, 0);
    return;
  }
  const int kv_head = (task - shape.heads) % shape.kv_heads;
  const std::int64_t to = kv.Offset(owner, kv_head, at);
  if (values)
    StorePair(static_cast<Cached*>(kv.values) + to, d, half, shape.v_norm ? Scaled(x, inverse, {1.0f, 1.0f}) : x);
  if (key) StorePair(static_cast<Cached*>(kv.keys) + to, d, half, rotated());
}

}  // namespace

void LaunchQkv(const KernelContext& ctx, const Ops::QkvArgs& args) {
  Require(args.head_dim % 2 == 0 && args.head_dim <= kMaxHeadDim, "qkv: head_dim {} must be even and at most {}",
          args.head_dim, kMaxHeadDim);
  const QkvShape shape = {args.heads,
                          args.kv != nullptr ? args.kv_heads : 0,
                          args.head_dim,
                          args.value_is_key,
                          args.v_norm,
                          args.eps,
                          args.rows->context_bound};
  const int tasks = shape.heads + shape.kv_heads * (args.value_is_key ? 1 : 2),
            threads = (args.head_dim / 2 + 31) / 32 * 32;
  WithOperand(ctx.precision, [&](auto type) {
    using T = decltype(type);
    WithCached<T>(ctx.precision, [&](auto cached) {
      Launch(QkvKernel<T, decltype(cached)>,
             dim3(static_cast<unsigned>(args.rows->count), static_cast<unsigned>(tasks)),
             dim3(static_cast<unsigned>(threads)), 0, ctx, static_cast<T*>(args.q),
             args.kv != nullptr ? *args.kv : KvView{}, args.qkv, args.bias, args.q_norm, args.k_norm, args.inv_freq,
             args.rows->position, args.rows->session, shape, ctx.fault);
    });
  });
}

}  // namespace assay
