// What the tensor cores of compute capability 9.0a need: products of a warpgroup (wgmma), barriers in shared memory,
// and copies into shared memory that complete on them.
#pragma once

#include "engine/ops/kernels/launch.cuh"

namespace assay {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define ASSAY_WARPGROUP 1
#endif

__device__ __forceinline__ std::uint32_t SharedAddress(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

// A barrier in shared memory (mbarrier) that completes phases of a fixed number of arrivals.
__device__ __forceinline__ void InitBarrier(std::uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals));
}
__device__ __forceinline__ void Arrive(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
// At the barrier that block `block` of the cluster has at this place. Orders what threads have read from shared memory,
// but nothing else: release in the cluster's scope would wait for all stores of the thread.
__device__ __forceinline__ void ArriveAt(std::uint32_t barrier, int block) {
  asm volatile(
      "{\n.reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [there];\n}" ::"r"(barrier),
      "r"(block)
      : "memory");
}
// All threads of all blocks of a cluster; what they have done before, arrivals included, comes first.
__device__ __forceinline__ void SyncCluster() {
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}
// Arrives when all earlier copies of the calling thread have been written.
__device__ __forceinline__ void ArriveAfterCopies(std::uint32_t barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}
__device__ __forceinline__ void WaitBarrier(std::uint32_t barrier, std::uint32_t phase) {
  asm volatile(
      "{\n.reg .pred done;\n"
      "again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra end;\nbra again;\nend:\n}" ::"r"(barrier),
      "r"(phase)
      : "memory");
}

// Copies 16, 8 or 4 bytes, or writes zeros where `present` is false; `from` must be readable all the same.
template <int kBytes>
__device__ __forceinline__ void CopyAsync(std::uint32_t to, const void* from, bool present) {
  const int bytes = present ? kBytes : 0;
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(kBytes), "r"(bytes)
                 : "memory");
  }
}

#ifdef ASSAY_WARPGROUP
__device__ __forceinline__ void FenceProducts() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void CommitProducts() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kPending>
__device__ __forceinline__ void WaitProducts() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
// Makes what copies and stores have written to shared memory visible to products.
__device__ __forceinline__ void FenceShared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
// Makes initialised barriers visible to the cluster and to copies.
__device__ __forceinline__ void FenceBarriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  FenceShared();
}

template <int kRegisters>
__device__ __forceinline__ void TakeRegisters() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void GiveRegisters() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// Lane t of quad g has elements 2 t and 2 t + 1 of row g of a matrix of 8 x 8 16-bit elements. Its columns become rows
// of 16 bytes, of which lane i < 8 says where the i-th goes.
__device__ __forceinline__ void StoreTransposed(std::uint32_t to, std::uint32_t pair) {
  asm volatile("stmatrix.sync.aligned.m8n8.x1.trans.shared.b16 [%0], {%1};" ::"r"(to), "r"(pair) : "memory");
}

// Operand in shared memory: rows of 64 16-bit elements (128 bytes) along k, 8-row groups one after the other, 16-byte
// chunk c of row r at c ^ (r % 8); `address` is a multiple of 1024 plus where in the row the product begins. The lower
// half of what says so to a product, in units of 16 bytes, from which the whole is made where it is used: so an
// addition of 32 bits leads from one product to the next.
__device__ __forceinline__ std::uint32_t SharedOperandLow(std::uint32_t address) {
  return (1u << 16) | ((address & 0x3ffffu) >> 4);
}
__device__ __forceinline__ std::uint64_t SharedOperandOf(std::uint32_t low) {
  return (std::uint64_t{1} << 62) | (std::uint64_t{1024 >> 4} << 32) | low;
}

// sum[N / 2] (+)= 64 rows of a by N rows of b, over 16 columns. Lane t of quad g of warp w has the sums of rows 16 w +
// g (sum[4 j], sum[4 j + 1]) and 16 w + g + 8 (sum[4 j + 2], sum[4 j + 3]) of a, rows 8 j + 2 t and + 1 of b. Both come
// from shared memory, or a from registers in the layout of mma.m16n8k16.
template <class T, int N>
struct Warpgroup;

#define ASSAY_S4(i) "+f"(s[i]), "+f"(s[i + 1]), "+f"(s[i + 2]), "+f"(s[i + 3])
#define ASSAY_S8(i) ASSAY_S4(i), ASSAY_S4(i + 4)
#define ASSAY_S12(i) ASSAY_S8(i), ASSAY_S4(i + 8)
#define ASSAY_S16(i) ASSAY_S12(i), ASSAY_S4(i + 12)
#define ASSAY_S20(i) ASSAY_S16(i), ASSAY_S4(i + 16)
#define ASSAY_S24(i) ASSAY_S20(i), ASSAY_S4(i + 20)
#define ASSAY_S28(i) ASSAY_S24(i), ASSAY_S4(i + 24)
#define ASSAY_S32(i) ASSAY_S28(i), ASSAY_S4(i + 28)
#define ASSAY_S36(i) ASSAY_S32(i), ASSAY_S4(i + 32)
#define ASSAY_S40(i) ASSAY_S36(i), ASSAY_S4(i + 36)
#define ASSAY_S44(i) ASSAY_S40(i), ASSAY_S4(i + 40)
#define ASSAY_S48(i) ASSAY_S44(i), ASSAY_S4(i + 44)
#define ASSAY_S56(i) ASSAY_S48(i), ASSAY_S8(i + 48)
#define ASSAY_S64(i) ASSAY_S56(i), ASSAY_S8(i + 56)
#define ASSAY_S80(i) ASSAY_S64(i), ASSAY_S16(i + 64)
#define ASSAY_S96(i) ASSAY_S80(i), ASSAY_S16(i + 80)
#define ASSAY_S128(i) ASSAY_S96(i), ASSAY_S32(i + 96)
#define ASSAY_L4 "%0, %1, %2, %3"
#define ASSAY_L8 ASSAY_L4 ", %4, %5, %6, %7"
#define ASSAY_L12 ASSAY_L8 ", %8, %9, %10, %11"
#define ASSAY_L16 ASSAY_L12 ", %12, %13, %14, %15"
#define ASSAY_L20 ASSAY_L16 ", %16, %17, %18, %19"
#define ASSAY_L24 ASSAY_L20 ", %20, %21, %22, %23"
#define ASSAY_L28 ASSAY_L24 ", %24, %25, %26, %27"
#define ASSAY_L32 ASSAY_L28 ", %28, %29, %30, %31"
#define ASSAY_L36 ASSAY_L32 ", %32, %33, %34, %35"
#define ASSAY_L40 ASSAY_L36 ", %36, %37, %38, %39"
#define ASSAY_L44 ASSAY_L40 ", %40, %41, %42, %43"
#define ASSAY_L48 ASSAY_L44 ", %44, %45, %46, %47"
#define ASSAY_L56 ASSAY_L48 ", %48, %49, %50, %51, %52, %53, %54, %55"
#define ASSAY_L64 ASSAY_L56 ", %56, %57, %58, %59, %60, %61, %62, %63"
#define ASSAY_L80 \
  ASSAY_L64       \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define ASSAY_L96 \
  ASSAY_L80       \
  ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define ASSAY_L128                                                                                 \
  ASSAY_L96                                                                                        \
  ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

// O0 to O5: the numbers of the operands behind the sums.
#define ASSAY_WARPGROUP_PRODUCT(T, TYPE, N, SUMS, O0, O1, O2, O3, O4, O5)                                            \
  template <>                                                                                                        \
  struct Warpgroup<T, N> {                                                                                           \
    static __device__ __forceinline__ void Multiply(float (&s)[N / 2], std::uint64_t a, std::uint64_t b, bool add) { \
      asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %" #O2                                                      \
                   ", 0;\n"                                                                                          \
                   "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" ASSAY_L##SUMS                \
                   "}, %" #O0 ", %" #O1 ", add, 1, 1, 0, 0;\n}"                                                      \
                   : ASSAY_S##SUMS(0)                                                                                \
                   : "l"(a), "l"(b), "r"(static_cast<int>(add)));                                                    \
    }                                                                                                                \
    static __device__ __forceinline__ void Multiply(float (&s)[N / 2], const std::uint32_t (&a)[4], std::uint64_t b, \
                                                    bool add) {                                                      \
      asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %" #O5                                                      \
                   ", 0;\n"                                                                                          \
                   "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" ASSAY_L##SUMS                \
                   "}, {%" #O0 ", %" #O1 ", %" #O2 ", %" #O3 "}, %" #O4 ", add, 1, 1, 0;\n}"                         \
                   : ASSAY_S##SUMS(0)                                                                                \
                   : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)));                \
    }                                                                                                                \
  };
#define ASSAY_WARPGROUP_PRODUCTS(T, TYPE)                             \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 8, 4, 4, 5, 6, 7, 8, 9)            \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 16, 8, 8, 9, 10, 11, 12, 13)       \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 24, 12, 12, 13, 14, 15, 16, 17)    \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 32, 16, 16, 17, 18, 19, 20, 21)    \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 40, 20, 20, 21, 22, 23, 24, 25)    \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 48, 24, 24, 25, 26, 27, 28, 29)    \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 56, 28, 28, 29, 30, 31, 32, 33)    \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 64, 32, 32, 33, 34, 35, 36, 37)    \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 72, 36, 36, 37, 38, 39, 40, 41)    \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 80, 40, 40, 41, 42, 43, 44, 45)    \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 88, 44, 44, 45, 46, 47, 48, 49)    \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 96, 48, 48, 49, 50, 51, 52, 53)    \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 112, 56, 56, 57, 58, 59, 60, 61)   \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 128, 64, 64, 65, 66, 67, 68, 69)   \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 160, 80, 80, 81, 82, 83, 84, 85)   \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 192, 96, 96, 97, 98, 99, 100, 101) \
  ASSAY_WARPGROUP_PRODUCT(T, TYPE, 256, 128, 128, 129, 130, 131, 132, 133)
ASSAY_WARPGROUP_PRODUCTS(__half, "f16")
ASSAY_WARPGROUP_PRODUCTS(__nv_bfloat16, "bf16")
#undef ASSAY_WARPGROUP_PRODUCTS
#undef ASSAY_WARPGROUP_PRODUCT
#endif

}  // namespace assay
