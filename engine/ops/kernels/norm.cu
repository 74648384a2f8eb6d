// Norm, Residual and Join, one block for each row. The row stays in registers between the two reductions, so each array
// is read once and written once; weights are loaded before the predecessors are waited for. Rows that do not come in
// aligned quads, or are longer than the registers hold, take the strided variant.
#include "engine/ops/kernels/kernels.h"
#include "engine/ops/kernels/reduce.cuh"

namespace assay {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int kStridedThreads = 256;

template <class T, int kPer>
__global__ void __launch_bounds__(kMaxThreads)
    NormKernel(T* operand, const float* x, const float* weight, int width, float eps) {
  __shared__ float scratch[32];
  const int quads = width / 4, t = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const std::int64_t row = std::int64_t{blockIdx.x} * width;
  float4 w[kPer] = {}, v[kPer] = {};
#pragma unroll
  for (int i = 0; i < kPer; ++i)
    if (t + i * threads < quads) w[i] = Load4(weight + 4 * (t + i * threads));
  LetSuccessorsStart();
  WaitForPredecessors();
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kPer; ++i)
    if (t + i * threads < quads) v[i] = Load4(x + row + 4 * (t + i * threads));
#pragma unroll
  for (int i = 0; i < kPer; ++i) sum += Dot4(v[i], v[i]);
  const float inverse = InverseRms(BlockSum(sum, scratch), width, eps);
#pragma unroll
  for (int i = 0; i < kPer; ++i)
    if (t + i * threads < quads) Store4(operand + row + 4 * (t + i * threads), Times(Times(v[i], inverse), w[i]));
}

template <class T>
__global__ void __launch_bounds__(kStridedThreads)
    NormStrided(T* operand, const float* x, const float* weight, int width, float eps) {
  __shared__ float scratch[32];
  const std::int64_t row = std::int64_t{blockIdx.x} * width;
  const int t = static_cast<int>(threadIdx.x);
  LetSuccessorsStart();
  WaitForPredecessors();
  float sum = 0.0f;
  for (int i = t; i < width; i += kStridedThreads) sum += x[row + i] * x[row + i];
  const float inverse = InverseRms(BlockSum(sum, scratch), width, eps);
  for (int i = t; i < width; i += kStridedThreads) operand[row + i] = RoundTo<T>(x[row + i] * inverse * weight[i]);
}

template <class T, int kPer>
__global__ void __launch_bounds__(kMaxThreads)
    ResidualKernel(float* x, T* operand, const float* delta, const float* post, const float* next, float scale,
                   int width, float eps) {
  __shared__ float scratch[2][32];
  const int quads = width / 4, t = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const std::int64_t row = std::int64_t{blockIdx.x} * width;
  float4 post_w[kPer] = {}, next_w[kPer] = {}, v[kPer] = {}, d[kPer] = {};
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
    const int quad = t + i * threads;
    if (quad >= quads) continue;
    if (post != nullptr) post_w[i] = Load4(post + 4 * quad);
    if (next != nullptr) next_w[i] = Load4(next + 4 * quad);
  }
  LetSuccessorsStart();
  WaitForPredecessors();
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
    const int quad = t + i * threads;
    if (quad >= quads) continue;
    d[i] = Load4(delta + row + 4 * quad);
    v[i] = Load4(x + row + 4 * quad);
  }
  if (post != nullptr) {  // uniform over the block
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < kPer; ++i) sum += Dot4(d[i], d[i]);
    const float inverse = InverseRms(BlockSum(sum, scratch[0]), width, eps);
#pragma unroll
    for (int i = 0; i < kPer; ++i) d[i] = Times(Times(d[i], inverse), post_w[i]);
  }
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
    const int quad = t + i * threads;
    v[i] = Times(Plus(v[i], d[i]), scale);
    sum += Dot4(v[i], v[i]);
    if (quad < quads) *reinterpret_cast<float4*>(x + row + 4 * quad) = v[i];
  }
  if (operand == nullptr) return;
  if (next != nullptr) {
    const float inverse = InverseRms(BlockSum(sum, scratch[1]), width, eps);
#pragma unroll
    for (int i = 0; i < kPer; ++i) v[i] = Times(Times(v[i], inverse), next_w[i]);
  }
#pragma unroll
  for (int i = 0; i < kPer; ++i) {
    const int quad = t + i * threads;
    if (quad < quads) Store4(operand + row + 4 * quad, v[i]);
  }
}

template <class T>
__global__ void __launch_bounds__(kStridedThreads)
    ResidualStrided(float* x, T* operand, const float* delta, const float* post, const float* next, float scale,
                    int width, float eps) {
  __shared__ float scratch[2][32];
  const std::int64_t row = std::int64_t{blockIdx.x} * width;
  const int t = static_cast<int>(threadIdx.x);
  LetSuccessorsStart();
  WaitForPredecessors();
  float inverse = 1.0f, sum = 0.0f;
  if (post != nullptr) {
    for (int i = t; i < width; i += kStridedThreads) sum += delta[row + i] * delta[row + i];
    inverse = InverseRms(BlockSum(sum, scratch[0]), width, eps);
  }
  sum = 0.0f;
  for (int i = t; i < width; i += kStridedThreads) {
    const float joined = post != nullptr ? delta[row + i] * inverse * post[i] : delta[row + i];
    const float v = (x[row + i] + joined) * scale;
    x[row + i] = v;
    sum += v * v;
  }
  if (operand == nullptr) return;
  if (next != nullptr) inverse = InverseRms(BlockSum(sum, scratch[1]), width, eps);
  for (int i = t; i < width; i += kStridedThreads)
    operand[row + i] = RoundTo<T>(next != nullptr ? x[row + i] * inverse * next[i] : x[row + i]);
}

// Each thread reads its elements of a and b before it writes them: sum may be a or b.
__global__ void __launch_bounds__(kMaxThreads)
    JoinKernel(float* sum, const float* a, const float* b, const float* norm_a, const float* norm_b, int width,
               float eps) {
  __shared__ float scratch[2][32];
  const std::int64_t row = std::int64_t{blockIdx.x} * width;
  const int t = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  LetSuccessorsStart();
  WaitForPredecessors();
  float sum_a = 0.0f, sum_b = 0.0f;
  for (int i = t; i < width; i += threads) {
    const float va = a[row + i], vb = b[row + i];
    sum_a += va * va;
    sum_b += vb * vb;
  }
  const float of_a = InverseRms(BlockSum(sum_a, scratch[0]), width, eps);
  const float of_b = InverseRms(BlockSum(sum_b, scratch[1]), width, eps);
  for (int i = t; i < width; i += threads) sum[row + i] = a[row + i] * of_a * norm_a[i] + b[row + i] * of_b * norm_b[i];
}

// How many threads, in whole warps, cover a row with `per` quads each.
int QuadThreads(int width, int per) { return ((width / 4 + per - 1) / per + 31) / 32 * 32; }

// How many quads a thread of the register variant holds; 0 when the strided variant is needed. It depends on the width
// alone, so that a row's sum is taken in the same order whatever else is in the batch.
int QuadsPerThread(int width, bool aligned) {
  if (!aligned || width % 4 != 0) return 0;
  if (width <= 4 * kMaxThreads) return 1;
  return width <= 8 * kMaxThreads ? 2 : 0;
}

}  // namespace

void LaunchNorm(const KernelContext& ctx, const Ops::NormArgs& args) {
  const int per = QuadsPerThread(args.width, Aligned16(args.x) && Aligned16(args.weight) && Aligned16(args.operand));
  WithOperand(ctx.precision, [&](auto type) {
    using T = decltype(type);
    auto* operand = static_cast<T*>(args.operand);
    const dim3 grid(static_cast<unsigned>(args.rows));
    if (per == 0) {
      Launch(NormStrided<T>, grid, dim3(kStridedThreads), 0, ctx, operand, args.x, args.weight, args.width, args.eps);
    } else {
      Launch(per == 1 ? NormKernel<T, 1> : NormKernel<T, 2>, grid,
             dim3(static_cast<unsigned>(QuadThreads(args.width, per))), 0, ctx, operand, args.x, args.weight,
             args.width, args.eps);
    }
  });
}

void LaunchResidual(const KernelContext& ctx, const Ops::ResidualArgs& args) {
  const bool aligned = Aligned16(args.x) && Aligned16(args.delta) && Aligned16(args.post_norm) &&
                       Aligned16(args.next_norm) && Aligned16(args.operand);
  const int per = QuadsPerThread(args.width, aligned);
  WithOperand(ctx.precision, [&](auto type) {
    using T = decltype(type);
    auto* operand = static_cast<T*>(args.operand);
    const dim3 grid(static_cast<unsigned>(args.rows));
    if (per == 0) {
      Launch(ResidualStrided<T>, grid, dim3(kStridedThreads), 0, ctx, args.x, operand, args.delta, args.post_norm,
             args.next_norm, args.scale, args.width, args.eps);
    } else {
      Launch(per == 1 ? ResidualKernel<T, 1> : ResidualKernel<T, 2>, grid,
             dim3(static_cast<unsigned>(QuadThreads(args.width, per))), 0, ctx, args.x, operand, args.delta,
             args.post_norm, args.next_norm, args.scale, args.width, args.eps);
    }
  });
}

void LaunchJoin(const KernelContext& ctx, const Ops::JoinArgs& args) {
  const int threads = args.width >= 2048 ? kMaxThreads : kStridedThreads;
  Launch(JoinKernel, dim3(static_cast<unsigned>(args.rows)), dim3(static_cast<unsigned>(threads)), 0, ctx, args.sum,
         args.a, args.b, args.norm_a, args.norm_b, args.width, args.eps);
}

}  // namespace assay
