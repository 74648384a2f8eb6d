// Launchers of all kernels but the products: one function per method of Ops, with the same arguments and the same
// contract (see ops.h). They enqueue on ctx.stream and return; the Rows and KvView structs behind the arguments are
// read before they return, the device arrays in them when the kernels run. Errors: DeviceError when a launch is
// refused.
#pragma once

#include <cstddef>

#include "engine/ops/kernels/kernel_context.h"
#include "engine/ops/ops.h"

namespace assay {

// Nothing enqueued behind it starts before all ahead of it has ended and is visible, early starters included.
void LaunchFence(const KernelContext& ctx);
void LaunchEmbed(const KernelContext& ctx, const Ops::EmbedArgs& args);
void LaunchPleInput(const KernelContext& ctx, const Ops::PleInputArgs& args);
void LaunchNorm(const KernelContext& ctx, const Ops::NormArgs& args);
void LaunchResidual(const KernelContext& ctx, const Ops::ResidualArgs& args);
void LaunchAddBias(const KernelContext& ctx, float* x, const float* bias, int rows, int width);
void LaunchJoin(const KernelContext& ctx, const Ops::JoinArgs& args);
void LaunchQkv(const KernelContext& ctx, const Ops::QkvArgs& args);
void LaunchRoute(const KernelContext& ctx, const Ops::RouteArgs& args);
void LaunchLogits(const KernelContext& ctx, const Ops::LogitsArgs& args);
void LaunchGatherRows(const KernelContext& ctx, void* out, const void* in, const std::int32_t* index, int count,
                      std::int64_t row_bytes);
void LaunchAdvance(const KernelContext& ctx, const Ops::AdvanceArgs& args);

// Picks the path: keys split over blocks when every segment is short (decode), tiles of consecutive rows otherwise
// (prefill). A row's result depends on its session's cache and on the path; in decode, but not in batch-invariant mode,
// on N and context_bound too, which say how finely keys are split.
void LaunchAttention(const KernelContext& ctx, const Ops::AttentionArgs& args);
void LaunchAttentionDecode(const KernelContext& ctx, const Ops::AttentionArgs& args);   // any rows
void LaunchAttentionPrefill(const KernelContext& ctx, const Ops::AttentionArgs& args);  // any rows

// operand[r, o] = round(act(gate_up[r, o]) * gate_up[r, width + o]): what follows a gated product computed elsewhere.
void LaunchGate(const KernelContext& ctx, void* operand, const float* gate_up, int rows, std::int64_t width,
                Activation activation);
// operand[r, o] = round(act(gate[r, o]) * ple[r * ple_stride + o]).
void LaunchPleProduct(const KernelContext& ctx, void* operand, const float* gate, const float* ple,
                      std::int64_t ple_stride, int rows, std::int64_t width, Activation activation);

}  // namespace assay
