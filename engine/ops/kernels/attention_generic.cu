// Attention for all that tensor cores do not take: any even head_dim and any operand type, in float32 on CUDA cores. A
// block computes four query heads over tiles of 32 keys.
#include "engine/ops/kernels/attention_split.cuh"
#include "engine/ops/kernels/reduce.cuh"

namespace assay {
namespace {

constexpr int kGenericHeads = 4;
constexpr int kGenericKeys = 32;
constexpr int kGenericThreads = 32 * kGenericHeads;  // a warp per head in the softmax

template <class T, class Cached>
__global__ void __launch_bounds__(kGenericThreads)
    GenericKernel(T* out, const T* q, KvView kv, const std::int32_t* position, const std::int32_t* session,
                  Partials partials, AttentionShape shape, std::uint64_t* fault) {
  extern __shared__ float floats[];
  const int head_dim = kv.head_dim, thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  float* queries = floats;                               // [kGenericHeads, head_dim]
  float* gathered = queries + kGenericHeads * head_dim;  // [kGenericHeads, head_dim]
  __shared__ float weights[kGenericHeads][kGenericKeys];
  __shared__ float rescale[kGenericHeads];
  WaitForPredecessors();
  LetSuccessorsStart();
  const std::int64_t row = blockIdx.x;
  KeySpan span = SpanOf(position[row], shape.window, shape.aligned);
  if (partials.values == nullptr) {  // not split
    span.start = span.first;
    span.length = span.end - span.first;
    span.chunks = 1;
  }
  const int chunks = ChunksOf(span, partials, session[row], fault);
  if (static_cast<int>(blockIdx.z) >= chunks) return;
  const int tiles = (shape.group + kGenericHeads - 1) / kGenericHeads;
  const int kv_head = static_cast<int>(blockIdx.y) / tiles, tile = static_cast<int>(blockIdx.y) % tiles;
  const int first_head = kv_head * shape.group + tile * kGenericHeads;
  const int heads = min(kGenericHeads, shape.group - tile * kGenericHeads);
  const T* mine = q + (row * shape.heads + first_head) * head_dim;
  for (int i = thread; i < kGenericHeads * head_dim; i += kGenericThreads)
    queries[i] = i < heads * head_dim ? AsFloat(mine[i]) : 0.0f;
  const auto* keys = static_cast<const Cached*>(kv.keys);
  const auto* values = static_cast<const Cached*>(kv.values);
  const int owner = max(session[row], 0);  // padding reads what is there; nobody reads what it yields
  for (int chunk = static_cast<int>(blockIdx.z); chunk < chunks; chunk += static_cast<int>(gridDim.z)) {
    const int begin = span.start + chunk * span.length, lo = max(begin, span.first),
              hi = min(begin + span.length, span.end);
    for (int i = thread; i < kGenericHeads * head_dim; i += kGenericThreads) gathered[i] = 0.0f;
    float largest = -INFINITY, sum = 0.0f;  // of head `warp`
    for (int start = lo; start < hi; start += kGenericKeys) {
      const int count = min(kGenericKeys, hi - start);
      __syncthreads();
      for (int k = warp; k < count; k += kGenericHeads) {
        const Cached* key = keys + kv.Offset(owner, kv_head, start + k);
        float dot[kGenericHeads] = {};
        for (int d = lane; d < head_dim; d += 32) {
          const float v = AsFloat(key[d]);
#pragma unroll
          for (int h = 0; h < kGenericHeads; ++h) dot[h] = fmaf(v, queries[h * head_dim + d], dot[h]);
        }
#pragma unroll
        for (int h = 0; h < kGenericHeads; ++h) {
          const float total = WarpSum(dot[h]);
          if (lane == 0) weights[h][k] = total;
        }
      }
      __syncthreads();
      const float score = lane < count ? weights[warp][lane] : -INFINITY;
      float top = fmaxf(largest, score);
#pragma unroll
      for (int step = 16; step > 0; step /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, step));
      const float factor = exp2f((largest - top) * shape.scale2), weight = exp2f((score - top) * shape.scale2);
      sum = sum * factor + WarpSum(weight);
      largest = top;
      weights[warp][lane] = weight;
      if (lane == 0) rescale[warp] = factor;
      __syncthreads();
      for (int d = thread; d < head_dim; d += kGenericThreads) {
        float total[kGenericHeads];
#pragma unroll
        for (int h = 0; h < kGenericHeads; ++h) total[h] = gathered[h * head_dim + d] * rescale[h];
        for (int k = 0; k < count; ++k) {
          const float v = AsFloat(values[kv.Offset(owner, kv_head, start + k) + d]);
#pragma unroll
          for (int h = 0; h < kGenericHeads; ++h) total[h] = fmaf(weights[h][k], v, total[h]);
        }
#pragma unroll
        for (int h = 0; h < kGenericHeads; ++h) gathered[h * head_dim + d] = total[h];
      }
    }
    __syncthreads();
    if (warp < heads) {
      const int head = first_head + warp;
      const float inverse = 1.0f / sum;
      const std::int64_t index = partials.Index(row, shape.heads, head, chunk);
      for (int d = lane; d < head_dim; d += 32) {
        const float v = gathered[warp * head_dim + d];
        if (chunks == 1) {
          out[(row * shape.heads + head) * head_dim + d] = RoundTo<T>(v * inverse);
        } else {
          partials.values[index * head_dim + d] = v;
        }
      }
      if (chunks > 1 && lane == 0) partials.stats[index] = {largest, sum};
    }
    __syncthreads();
  }
}

}  // namespace

void LaunchAttentionGeneric(const KernelContext& ctx, const Ops::AttentionArgs& args, bool split) {
  const Partials partials = split ? PartialsIn(ctx, args) : Partials{nullptr, nullptr, 1};
  const AttentionShape shape = ShapeOf(ctx, args);
  const int blocks = args.kv->kv_heads * ((shape.group + kGenericHeads - 1) / kGenericHeads);
  const std::size_t shared = 2 * kGenericHeads * args.kv->head_dim * sizeof(float);
  WithOperand(ctx.precision, [&](auto type) {
    using T = decltype(type);
    WithCached<T>(ctx.precision, [&](auto cached) {
      Launch(GenericKernel<T, decltype(cached)>,
             dim3(U(args.rows->count), U(blocks),
                  ChunkBlocks(ctx, std::int64_t{args.rows->count} * blocks, partials.capacity)),
             dim3(kGenericThreads), shared, ctx, static_cast<T*>(args.out), static_cast<const T*>(args.q), *args.kv,
             args.rows->position, args.rows->session, partials, shape, ctx.fault);
    });
  });
  LaunchMerge(ctx, args, shape, partials);
}

}  // namespace assay
