// Bias, per-head norms, rotation, and the write of q and of the cache: a warp per (row, head), the head in registers.
#include "engine/ops/kernels/kernels.h"
#include "engine/ops/kernels/reduce.cuh"

namespace assay {
namespace {

constexpr int kWarps = 4;
constexpr int kMaxHeadDim = 1024;

struct QkvShape {
  int heads, kv_heads;   // kv_heads is 0 on layers that share another layer's cache
  int head_dim;
  int tasks;             // heads a row has in qkv
  bool value_is_key, v_norm;
  float eps;
};

// One head over a warp: pair p = lane + 32 i is (d, d + head_dim / 2). kFull: head_dim is exactly 64 kPairs, so that no lane
// needs a test and all loads of a head are in flight together.
template <int kPairs>
struct Head {
  float low[kPairs], high[kPairs];
};

template <bool kFull>
__device__ __forceinline__ bool Inside(int p, int half) {
  return kFull || p < half;
}

template <int kPairs>
__device__ __forceinline__ float HeadInverse(const Head<kPairs>& head, int head_dim, float eps) {
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kPairs; ++i) sum += head.low[i] * head.low[i] + head.high[i] * head.high[i];
  return InverseRms(WarpSum(sum), head_dim, eps);
}

template <bool kFull, class T, int kPairs>
__device__ __forceinline__ void StoreHead(T* to, const Head<kPairs>& head, int half, int lane) {
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int p = lane + 32 * i;
    if (!Inside<kFull>(p, half)) continue;
    to[p] = RoundTo<T>(head.low[i]);
    to[p + half] = RoundTo<T>(head.high[i]);
  }
}

template <bool kFull, int kPairs>
__device__ __forceinline__ void NormHead(Head<kPairs>& head, const float* weight, float inverse, int half, int lane) {
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int p = lane + 32 * i;
    if (!Inside<kFull>(p, half)) continue;
    head.low[i] *= inverse * (weight != nullptr ? weight[p] : 1.0f);
    head.high[i] *= inverse * (weight != nullptr ? weight[p + half] : 1.0f);
  }
}

// Half-split rotation. sincosf, not the intrinsic: angles reach the context length in radians.
template <bool kFull, int kPairs>
__device__ __forceinline__ void Rotate(Head<kPairs>& head, const float* inv_freq, float position, int half, int lane) {
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int p = lane + 32 * i;
    if (!Inside<kFull>(p, half)) continue;
    const float frequency = inv_freq[p];
    if (frequency == 0.0f) continue;
    float s, c;
    sincosf(position * frequency, &s, &c);
    const float a = head.low[i], b = head.high[i];
    head.low[i] = a * c - b * s;
    head.high[i] = b * c + a * s;
  }
}

template <class T, int kPairs, bool kFull>
__global__ void __launch_bounds__(kWarps * 32)
    QkvKernel(T* q, KvView kv, const float* qkv, const float* bias, const float* q_norm, const float* k_norm, const float* inv_freq,
              const std::int32_t* position, const std::int32_t* session, QkvShape shape) {
  LetSuccessorsStart();
  WaitForPredecessors();
  const int task = static_cast<int>(blockIdx.y) * kWarps + static_cast<int>(threadIdx.x) / 32;
  if (task >= shape.tasks) return;
  const int lane = static_cast<int>(threadIdx.x) % 32, half = shape.head_dim / 2;
  const std::int64_t row = blockIdx.x;
  const int at = position[row], owner = session[row];
  const float* in = qkv + (row * shape.tasks + task) * shape.head_dim;
  Head<kPairs> head = {};
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int p = lane + 32 * i;
    if (!Inside<kFull>(p, half)) continue;
    head.low[i] = in[p];
    head.high[i] = in[p + half];
    if (bias != nullptr) {
      head.low[i] += bias[task * shape.head_dim + p];
      head.high[i] += bias[task * shape.head_dim + p + half];
    }
  }
  const float inverse = HeadInverse(head, shape.head_dim, shape.eps);
  if (task < shape.heads) {
    if (q_norm != nullptr) NormHead<kFull>(head, q_norm, inverse, half, lane);
    Rotate<kFull>(head, inv_freq, static_cast<float>(at), half, lane);
    StoreHead<kFull>(q + (row * shape.heads + task) * shape.head_dim, head, half, lane);
    return;
  }
  if (owner < 0) return;  // padding
  const int kv_task = task - shape.heads;
  const bool key = kv_task < shape.kv_heads;
  const std::int64_t to = kv.Offset(owner, key ? kv_task : kv_task - shape.kv_heads, at);
  if (!key || shape.value_is_key) {
    Head<kPairs> value = head;
    if (shape.v_norm) NormHead<kFull>(value, nullptr, inverse, half, lane);
    StoreHead<kFull>(static_cast<T*>(kv.values) + to, value, half, lane);
    if (!key) return;
  }
  if (k_norm != nullptr) NormHead<kFull>(head, k_norm, inverse, half, lane);
  Rotate<kFull>(head, inv_freq, static_cast<float>(at), half, lane);
  StoreHead<kFull>(static_cast<T*>(kv.keys) + to, head, half, lane);
}

template <class T>
auto KernelFor(int head_dim) {
  if (head_dim == 64) return QkvKernel<T, 1, true>;
  if (head_dim == 128) return QkvKernel<T, 2, true>;
  if (head_dim == 256) return QkvKernel<T, 4, true>;
  if (head_dim == 512) return QkvKernel<T, 8, true>;
  if (head_dim <= 64) return QkvKernel<T, 1, false>;
  if (head_dim <= 256) return QkvKernel<T, 4, false>;
  return QkvKernel<T, 16, false>;
}

}  // namespace

void LaunchQkv(const KernelContext& ctx, const Ops::QkvArgs& args) {
  Require(args.head_dim % 2 == 0 && args.head_dim <= kMaxHeadDim, "qkv: head_dim {} must be even and at most {}", args.head_dim,
          kMaxHeadDim);
  QkvShape shape = {args.heads, args.kv != nullptr ? args.kv_heads : 0, args.head_dim, 0, args.value_is_key, args.v_norm, args.eps};
  shape.tasks = shape.heads + shape.kv_heads * (args.value_is_key ? 1 : 2);
  const dim3 grid(static_cast<unsigned>(args.rows->count), static_cast<unsigned>((shape.tasks + kWarps - 1) / kWarps));
  WithOperand(ctx.precision, [&](auto type) {
    using T = decltype(type);
    Launch(KernelFor<T>(args.head_dim), grid, dim3(kWarps * 32), 0, ctx, static_cast<T*>(args.q),
           args.kv != nullptr ? *args.kv : KvView{}, args.qkv, args.bias, args.q_norm, args.k_norm, args.inv_freq, args.rows->position,
           args.rows->session, shape);
  });
}

}  // namespace assay
